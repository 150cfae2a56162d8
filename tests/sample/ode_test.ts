import assert from "node:assert/strict";
import { combine } from "../../kernels/combine/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { meanSquare } from "../../kernels/mean_square/mod.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import type { Interpolant } from "../../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import type { Prediction } from "../../model/interpolants/prediction.ts";
import { sampleInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { countEvaluations, type Network } from "../../sample/network.ts";
import {
  type OdeSampler,
  sampleEuler,
  sampleHeun,
  sampleHeun3,
  sampleMidpoint,
  sampleRk4,
} from "../../sample/ode.ts";
import { sampleEulerMaruyama } from "../../sample/sde.ts";
import { odeTimes } from "../../sample/times.ts";
import { gpuTest } from "../_gpu.ts";
import { flowError, gaussianNetwork, gaussianStates } from "./_gaussian.ts";

interface Method {
  readonly name: string;
  readonly sampler: OdeSampler;
  readonly order: number;
  readonly evaluations: number;
  /** Steps that are halved: few enough for the error to stay above float32's rounding. */
  readonly steps: number;
}

const METHODS: readonly Method[] = [
  { name: "sampleEuler", sampler: sampleEuler, order: 1, evaluations: 1, steps: 32 },
  { name: "sampleHeun", sampler: sampleHeun, order: 2, evaluations: 2, steps: 16 },
  { name: "sampleMidpoint", sampler: sampleMidpoint, order: 2, evaluations: 2, steps: 16 },
  { name: "sampleHeun3", sampler: sampleHeun3, order: 3, evaluations: 3, steps: 12 },
  { name: "sampleRk4", sampler: sampleRk4, order: 4, evaluations: 4, steps: 8 },
];

/** The largest error at the end of the path, and the evaluations that it took. */
async function run(
  device: Device,
  { sampler, steps, interpolant, prediction = "velocity" }: {
    sampler: OdeSampler;
    steps: number;
    interpolant: Interpolant;
    prediction?: Prediction;
  },
): Promise<{ error: number; evaluations: number }> {
  const times = odeTimes({
    steps,
    interval: sampleInterval(interpolant, prediction, { epsilon: 0.1 }),
  });
  const { states, ones } = gaussianStates(device, { interpolant, t: times[0]! });
  const network = countEvaluations(gaussianNetwork(ones, { interpolant, prediction }));
  const sample = sampler(network, states, { interpolant, prediction, times });
  const error = flowError(await sample.read(), { interpolant, t: times.at(-1)! });
  for (const tensor of [states, ones, sample]) tensor.dispose();
  return { error, evaluations: network.evaluations };
}

for (const { name, sampler } of METHODS) {
  gpuTest(`a gradient goes back through all steps of ${name}()`, async (device) => {
    const values = Float32Array.of(0.5, -1, 2, 3), shape = [1, 1, 2, 2];
    const [sample, gradient] = device.scope(() => {
      const noise = device.tensor(values, shape), zeros = device.tensor(new Float32Array(4), shape);
      using tape = new Tape(device);
      tape.watch(noise);
      const { x, loss } = tape.record(() => {
        const x = sampler((x, t) => combine([[x, -1 - t]]), noise, { steps: 3 });
        return { x, loss: meanSquare(x, zeros) };
      });
      tape.backward(loss);
      return [x, tape.gradient(noise)] as const;
    });
    const ends = await sample.read(), slopes = await gradient.read();
    // The network is linear: a sample is r times its noise z, with a loss r² z² / 4 of each number.
    for (const [i, z] of values.entries()) {
      const expected = ends[i]! ** 2 / (2 * z);
      assert.ok(Math.abs(slopes[i]! - expected) < 100 * 2 ** -24 * Math.abs(expected), `${i}`);
    }
    for (const tensor of [sample, gradient]) tensor.dispose();
  });
}

for (const { name, sampler, order, evaluations, steps } of METHODS) {
  gpuTest(`${name}() converges with order ${order}`, async (device) => {
    // On the linear path the second-order error of the midpoint method happens to cancel.
    const coarse = await run(device, { sampler, steps, interpolant: gvpInterpolant });
    const fine = await run(device, { sampler, steps: 2 * steps, interpolant: gvpInterpolant });
    assert.equal(coarse.evaluations, steps * evaluations);
    assert.equal(fine.evaluations, 2 * steps * evaluations);
    const found = Math.log2(coarse.error / fine.error);
    // The next term of the error is a share of about 1 / steps of it.
    assert.ok(
      Math.abs(found - order) < 0.35,
      `${name} order ${found} from errors ${coarse.error}, ${fine.error}`,
    );
  });
}

gpuTest("sampleHeun() follows every path with every prediction", async (device) => {
  for (const interpolant of [linearInterpolant, gvpInterpolant, vpInterpolant]) {
    for (const prediction of ["velocity", "noise", "score"] as const) {
      const { error } = await run(device, {
        sampler: sampleHeun,
        steps: 64,
        interpolant,
        prediction,
      });
      // 64 steps of second order: 1 / 64² = 2.4e-4 times slopes of the flow, which are about 1.
      assert.ok(error < 5e-4, `${interpolant.name} ${prediction}: ${error}`);
    }
  }
});

gpuTest("samplers stay away from the ends where a path is singular", async (device) => {
  for (const interpolant of [linearInterpolant, gvpInterpolant, vpInterpolant]) {
    for (const prediction of ["velocity", "noise", "score"] as const) {
      const [start, end] = sampleInterval(interpolant, prediction);
      const { states, ones } = gaussianStates(device, { interpolant, t: start });
      const network = gaussianNetwork(ones, { interpolant, prediction });
      for (const { name, sampler } of METHODS) {
        const times: number[] = [];
        using sample = sampler(network, states, {
          interpolant,
          prediction,
          onStep: ({ t }) => times.push(t),
        });
        const label = `${name} ${interpolant.name} ${prediction}`;
        assert.deepEqual([times.length, times.at(-1)], [50, end], label);
        const error = flowError(await sample.read(), { interpolant, t: end });
        // A step is 1 / 50: that for Euler's first order and its square for the others, times states
        // and slopes of about 2.
        const bound = sampler === sampleEuler ? 4e-2 : 1.6e-3;
        assert.ok(error < bound, `${label}: ${error}`);
      }
      states.dispose();
      ones.dispose();
    }
  }
});

gpuTest("samplers take fifty steps unless told", (device) => {
  const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
  for (const { name, sampler, evaluations } of METHODS) {
    const network = countEvaluations(
      gaussianNetwork(ones, { interpolant: linearInterpolant, prediction: "velocity" }),
    );
    sampler(network, states).dispose();
    assert.equal(network.evaluations, 50 * evaluations, name);
  }
  states.dispose();
  ones.dispose();
});

gpuTest("samplers go back over falling times, and refuse times that are none", async (device) => {
  const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
  const network = gaussianNetwork(ones, { interpolant: linearInterpolant, prediction: "velocity" });
  const times = odeTimes({ steps: 8 }), before = await states.read();
  for (const { name, sampler, order } of METHODS) {
    const sample = sampler(network, states, { times });
    const back = sampler(network, sample, { times: times.toReversed() });
    const errors = (await back.read()).map((value, i) => Math.abs(value - before[i]!));
    // Sixteen steps of h = 1 / 8, each of which errs by h^(order + 1) times slopes of up to 4.
    const bound = 16 * 4 * 8 ** -(order + 1);
    assert.ok(Math.max(...errors) < bound, `${name}: ${Math.max(...errors)}`);
    sample.dispose();
    back.dispose();
    // Two times are the fewest: one step.
    using once = sampler(network, states, { times: [0, 1] });
    using same = sampler(network, states, { steps: 1 });
    assert.deepEqual(await once.read(), await same.read(), name);
    for (const refused of [[], [0], [0, NaN, 1], [0, Infinity]]) {
      assert.throws(() => sampler(network, states, { times: refused }), RangeError, name);
    }
  }
  states.dispose();
  ones.dispose();
});

gpuTest("samplers report each step and leave the noise as it was", async (device) => {
  const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
  const before = await states.read();
  const network = gaussianNetwork(ones, { interpolant: linearInterpolant, prediction: "velocity" });
  for (const { sampler } of METHODS) {
    const steps: number[] = [], times: number[] = [];
    const sample = sampler(network, states, {
      steps: 4,
      onStep({ step, t, x }) {
        assert.deepEqual(x.shape, states.shape);
        steps.push(step);
        times.push(t);
      },
    });
    assert.deepEqual(steps, [0, 1, 2, 3]);
    assert.deepEqual(times, [0.25, 0.5, 0.75, 1]);
    sample.dispose();
  }
  assert.deepEqual(await states.read(), before);
  states.dispose();
  ones.dispose();
});

gpuTest("samplers of fixed steps hold nothing once what they call has failed", (device) => {
  const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
  const network = gaussianNetwork(ones, { interpolant: linearInterpolant, prediction: "velocity" });
  const late: Network = (x, t) => {
    if (t > 0.5) throw new Error("enough");
    return network(x, t);
  };
  // The last step of an SDE is apart from the others.
  for (const sampler of [...METHODS.map(({ sampler }) => sampler), sampleEulerMaruyama]) {
    assert.throws(() => sampler(late, states, { steps: 4 }), /enough/, sampler.name);
    for (const failing of [1, 3]) {
      const onStep = ({ step }: { step: number }) => {
        if (step === failing) throw new Error("enough");
      };
      assert.throws(() => sampler(network, states, { steps: 4, onStep }), /enough/, sampler.name);
    }
  }
  states.dispose();
  ones.dispose();
});
