import assert from "node:assert/strict";
import { combine } from "../../kernels/combine/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import { sampleInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { sampleDopri5, type SampleDopri5Options } from "../../sample/dopri5.ts";
import { countEvaluations, type Network } from "../../sample/network.ts";
import { gpuTest } from "../_gpu.ts";
import { flowError, gaussianNetwork, gaussianStates } from "./_gaussian.ts";

const interpolant = linearInterpolant;

async function run(
  device: Device,
  options: SampleDopri5Options = {},
): Promise<{ errors: number[]; evaluations: number }> {
  const { times = [0, 1] } = options;
  const { states, ones } = gaussianStates(device, { interpolant, t: times[0]! });
  const network = countEvaluations(
    gaussianNetwork(ones, { interpolant, prediction: "velocity" }),
  );
  const seen: { t: number; x: Tensor }[] = [];
  const sample = await sampleDopri5(network, states, {
    ...options,
    onStep({ step, t, x }) {
      assert.equal(step, seen.length);
      const copy = device.empty(x.shape);
      device.copyInto(copy, x);
      seen.push({ t, x: copy });
    },
  });
  assert.deepEqual(seen.map(({ t }) => t), times.slice(1));
  assert.deepEqual(await sample.read(), await seen.at(-1)!.x.read());
  const errors = [];
  for (const { t, x } of seen) {
    errors.push(flowError(await x.read(), { interpolant, t }));
    x.dispose();
  }
  for (const tensor of [sample, states, ones]) tensor.dispose();
  return { errors, evaluations: network.evaluations };
}

gpuTest(
  "sampleDopri5() keeps the error near its tolerance, with more steps where it is tighter",
  async (device) => {
    const loose = await run(device, { relativeTolerance: 1e-3 });
    const tight = await run(device, { relativeTolerance: 1e-5 });
    // States are about 1, and the errors of four to seven steps add up.
    assert.ok(loose.errors[0]! < 4e-3, `${loose.errors}`);
    assert.ok(tight.errors[0]! < 7e-5, `${tight.errors}`);
    assert.ok(tight.evaluations > loose.evaluations);
    for (const { evaluations } of [loose, tight]) assert.equal((evaluations - 2) % 6, 0);
  },
);

gpuTest("sampleDopri5() stays away from the ends where a path is singular", async (device) => {
  for (const path of [linearInterpolant, gvpInterpolant, vpInterpolant]) {
    for (const prediction of ["velocity", "noise", "score"] as const) {
      const [start, end] = sampleInterval(path, prediction);
      const { states, ones } = gaussianStates(device, { interpolant: path, t: start });
      const network = gaussianNetwork(ones, { interpolant: path, prediction });
      using sample = await sampleDopri5(network, states, {
        interpolant: path,
        prediction,
        onStep: ({ t }) => assert.equal(t, end),
      });
      const error = flowError(await sample.read(), { interpolant: path, t: end });
      // States are about 1, and the errors of up to a dozen steps of 1e-3 add up.
      assert.ok(error < 1e-2, `${path.name} ${prediction}: ${error}`);
      states.dispose();
      ones.dispose();
    }
  }
});

gpuTest("sampleDopri5() interpolates at any times without more evaluations", async (device) => {
  const options = { relativeTolerance: 1e-5 };
  const { evaluations } = await run(device, options);
  const times = Array.from({ length: 41 }, (_, i) => i / 40);
  const dense = await run(device, { ...options, times });
  assert.equal(dense.evaluations, evaluations);
  // Between its ends a step is good to the fourth order only, of which its error says nothing.
  assert.ok(Math.max(...dense.errors) < 2e-4, `${Math.max(...dense.errors)}`);
});

gpuTest(
  "sampleDopri5() asks the network beyond the last time only where told so",
  async (device) => {
    const { states, ones } = gaussianStates(device, { interpolant, t: 0 });
    const network = gaussianNetwork(ones, { interpolant, prediction: "velocity" });
    let latest = 0;
    const watched: Network = (x, t) => {
      latest = Math.max(latest, t);
      return network(x, t);
    };
    for (const end of [0.1, 0.7, 1]) {
      latest = 0;
      const sample = await sampleDopri5(watched, states, { times: [0, end] });
      assert.equal(latest, end);
      sample.dispose();
      const past = await sampleDopri5(watched, states, { times: [0, end], ending: "interpolate" });
      assert.ok(latest > end);
      // The error of this ODE's steps at this tolerance, and that of the interpolation.
      assert.ok(flowError(await past.read(), { interpolant, t: end }) < 4e-3);
      past.dispose();
    }
    states.dispose();
    ones.dispose();
  },
);

gpuTest("sampleDopri5() begins at the first of the times", async (device) => {
  const { errors } = await run(device, { times: [0.3, 0.31, 0.6], relativeTolerance: 1e-5 });
  assert.ok(Math.max(...errors) < 7e-5, `${errors}`);
});

gpuTest("sampleDopri5() goes back over falling times", async (device) => {
  const loose = await run(device, { times: [1, 0.4, 0] });
  const tight = await run(device, { times: [1, 0.4, 0], relativeTolerance: 1e-5 });
  // As forth, but between the ends of a step, where its error says nothing.
  assert.ok(loose.errors.at(-1)! < 4e-3, `${loose.errors}`);
  assert.ok(tight.errors.at(-1)! < 7e-5 && tight.errors[0]! < 2e-4, `${tight.errors}`);
  assert.ok(tight.evaluations > loose.evaluations);
});

gpuTest("sampleDopri5() solves polynomials of its degree exactly in few steps", async (device) => {
  // dx/dt = 4 t³: steps and interpolation are exact, so that steps grow tenfold.
  const zero = device.tensor(new Float32Array(4), [1, 1, 2, 2]);
  const network = countEvaluations((x, t) =>
    x.device.tensor(new Float32Array(4).fill(4 * t ** 3), x.shape)
  );
  const sample = await sampleDopri5(network, zero, { relativeTolerance: 1e-4 });
  for (const value of await sample.read()) assert.ok(Math.abs(value - 1) < 1e-5, `${value}`);
  // From rest at 0 the first step is a hundred times the probe of 1e-6: 1e-4, 1e-3, 0.01, 0.1, the rest.
  assert.equal(network.evaluations, 2 + 6 * 5);
  zero.dispose();
  sample.dispose();
});

gpuTest("a step of sampleDopri5() has the polynomial of its method", async (device) => {
  // dx/dt = x over one step of 1, in which every weight of every stage has a part.
  using one = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
  const network = countEvaluations((x) => combine([[x, 1]]));
  const tolerances = { relativeTolerance: 100, absoluteTolerance: 100 };
  using sample = await sampleDopri5(network, one, tolerances);
  assert.equal(network.evaluations, 2 + 6);
  // exp(1) to the fifth order, and the 1/600 of this method for the sixth (Dormand and Prince 1980).
  const expected = 1 + 1 + 1 / 2 + 1 / 6 + 1 / 24 + 1 / 120 + 1 / 600;
  // Stages are sums of terms of up to 25, of which the step takes a third: some roundings of 2^-24 of 8.
  const [value] = await sample.read();
  assert.ok(Math.abs(value! - expected) < 2e-6, `${value! - expected}`);
});

gpuTest(
  "sampleDopri5() meets the last time in one step where its sum falls short",
  async (device) => {
    const one = device.tensor(new Float32Array(4).fill(1), [1, 1, 2, 2]);
    const network = countEvaluations((x) => combine([[x, 1e-3]]));
    const [start, end] = [0.05, 0.21];
    assert.ok(start + (end - start) < end);
    const sample = await sampleDopri5(network, one, { times: [start, end] });
    assert.equal(network.evaluations, 2 + 6);
    one.dispose();
    sample.dispose();
  },
);

gpuTest("sampleDopri5() shortens no step behind one whose error was allowed", async (device) => {
  const zero = device.tensor(new Float32Array(4), [1, 1, 2, 2]);
  const asked: number[] = [];
  const network: Network = (x, t) => {
    asked.push(t);
    return x.device.tensor(new Float32Array(4).fill(Math.sin(20 * t * t)), x.shape);
  };
  const sample = await sampleDopri5(network, zero, { relativeTolerance: 1e-4 });
  // Of the six evaluations of a step the first is a fifth on its way, the last at its end.
  const steps = Array.from({ length: (asked.length - 2) / 6 }, (_, i) => {
    const [first, last] = [asked[2 + 6 * i]!, asked[7 + 6 * i]!];
    return { start: last - (last - first) / 0.8, end: last };
  });
  let followed = 0;
  // The last step is cut to the end.
  for (const [i, { start, end }] of steps.slice(1, -1).entries()) {
    const before = steps[i]!;
    if (Math.abs(start - before.end) > 1e-9) continue;
    followed++;
    const growth = (end - start) / (before.end - before.start);
    assert.ok(growth > 1 - 1e-9, `step ${i + 1} is ${growth} times as long`);
  }
  assert.ok(followed > 5, `${followed} steps followed one whose error was allowed`);
  zero.dispose();
  sample.dispose();
});

gpuTest("sampleDopri5() leaves a tensor that the network keeps to itself alone", async (device) => {
  const one = device.tensor(new Float32Array(4).fill(1), [1, 1, 2, 2]);
  const sample = await sampleDopri5(() => one, one, {});
  for (const value of await sample.read()) assert.ok(Math.abs(value - 2) < 1e-6, `${value}`);
  assert.deepEqual([...await one.read()], [1, 1, 1, 1]);
  one.dispose();
  sample.dispose();
});

gpuTest("sampleDopri5() keeps nothing when its caller throws", async (device) => {
  const { states, ones } = gaussianStates(device, { interpolant, t: 0 });
  const network = gaussianNetwork(ones, { interpolant, prediction: "velocity" });
  const before = device.pool.liveBytes;
  const onStep = () => {
    throw new Error("enough");
  };
  await assert.rejects(sampleDopri5(network, states, { times: [0, 0.5, 1], onStep }), /enough/);
  assert.equal(device.pool.liveBytes, before);
  states.dispose();
  ones.dispose();
});

gpuTest(
  "sampleDopri5() asks the network for no time beyond the last, unless it interpolates",
  async (device) => {
    using x = device.tensor(Float32Array.of(1, -2), [2, 1, 1, 1]);
    const latest = async (rate: number, options: SampleDopri5Options) => {
      const asked: number[] = [];
      const network: Network = (x, t) => {
        asked.push(t);
        return combine([[x, rate]]);
      };
      using _ = await sampleDopri5(network, x, options);
      return Math.max(...asked);
    };
    assert.equal(await latest(1e-3, {}), 1);
    assert.equal(await latest(-1, { times: [0.995, 1] }), 1);
    assert.ok(await latest(1e-3, { ending: "interpolate" }) > 1);
  },
);

gpuTest("sampleDopri5() takes no images to none", async (device) => {
  using x = device.empty([0, 1, 2, 2]);
  using sample = await sampleDopri5((x) => combine([[x, -1]]), x);
  assert.deepEqual(sample.shape, [0, 1, 2, 2]);
});

gpuTest("sampleDopri5() refuses times, tolerances and velocities of no use", async (device) => {
  const x = device.tensor(new Float32Array(4).fill(1), [1, 1, 2, 2]);
  const still: Network = (x) => x.device.tensor(new Float32Array(4), x.shape);
  for (const times of [[], [0], [0, 0], [0, 0.5, 0.4], [1, 0.4, 0.5], [NaN, 1], [0, NaN]]) {
    await assert.rejects(sampleDopri5(still, x, { times }), {
      name: "RangeError",
      message: `Cannot integrate the ODE over the times [${times.join(", ")}]: ` +
        "expected two or more, all rising or all falling",
    });
  }
  for (const tolerance of [0, -1, NaN, Infinity]) {
    for (const name of ["relative", "absolute"]) {
      await assert.rejects(sampleDopri5(still, x, { [`${name}Tolerance`]: tolerance }), {
        name: "RangeError",
        message: `Cannot integrate the ODE: ${name} tolerance is ${tolerance}, ` +
          "expected a positive number",
      });
    }
  }
  await assert.rejects(sampleDopri5(still, x, { ending: "clip" as "cut" }), {
    name: "RangeError",
    message: "Cannot integrate the ODE: ending is clip, expected one of cut, interpolate",
  });
  const broken: Network = (x, t) =>
    x.device.tensor(new Float32Array(4).fill(t > 0.5 ? NaN : 1), x.shape);
  await assert.rejects(sampleDopri5(broken, x), {
    name: "RangeError",
    // Steps become shorter until they stand where the velocities end.
    message:
      /^Cannot integrate the ODE at t = 0\.(5|4999\d*): no step is short enough, expected finite/,
  });
  x.dispose();
});
