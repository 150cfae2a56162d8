import assert from "node:assert/strict";
import { combine } from "../../kernels/combine/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import {
  DIFFUSION_FORMS,
  type DiffusionForm,
  type Interpolant,
} from "../../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import type { Prediction } from "../../model/interpolants/prediction.ts";
import { sampleInterval } from "../../model/interpolants/time.ts";
import { vpInterpolant } from "../../model/interpolants/vp.ts";
import { diffusionCoefficient } from "../../sample/diffusion.ts";
import { countEvaluations } from "../../sample/network.ts";
import {
  type LastStep,
  sampleEulerMaruyama,
  sampleSdeHeun,
  type SdeOptions,
  type SdeSampler,
} from "../../sample/sde.ts";
import { linspace } from "../../sample/times.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import {
  DEVIATION,
  gaussianNetwork,
  gaussianPrediction,
  gaussianStates,
  MEAN,
} from "./_gaussian.ts";

const LAST_STEPS: readonly LastStep[] = ["none", "mean", "euler", "tweedie"];

interface SdeCase {
  readonly sampler: SdeSampler;
  readonly interpolant: Interpolant;
  readonly prediction: Prediction;
  readonly form: DiffusionForm;
  readonly lastStep: LastStep;
}

const STEPS = 6;
const NORM = 0.7;
const LAST_STEP_SIZE = 0.1;
const EPSILON = 0.15;

/** Drift v + w score of the Gaussian's SDE, from its formulas alone. */
function drift(x: number, t: number, { interpolant, form }: SdeCase): number {
  const velocity = gaussianPrediction(interpolant, "velocity", t);
  const score = gaussianPrediction(interpolant, "score", t);
  const w = diffusionCoefficient(form, t, { interpolant, norm: NORM });
  return velocity.a * x + velocity.b + w * (score.a * x + score.b);
}

/** The states after each step for one number, in float64. */
function expectedStates(start: number, noise: readonly number[], sde: SdeCase): number[] {
  const { sampler, interpolant, prediction, form, lastStep } = sde;
  const [first, end] = sampleInterval(interpolant, prediction, {
    sde: { form, lastStepSize: lastStep === "none" ? 0 : LAST_STEP_SIZE },
    epsilon: EPSILON,
  });
  const noisy = lastStep === "none" ? STEPS : STEPS - 1;
  const times = linspace([first, end], noisy + 1);
  const states: number[] = [];
  let x = start;
  for (let step = 0; step < noisy; step++) {
    const t = times[step]!, next = times[step + 1]!, h = next - t;
    const w = diffusionCoefficient(form, t, { interpolant, norm: NORM });
    const kick = Math.sqrt(2 * w) * Math.sqrt(h) * noise[step]!;
    if (sampler === sampleEulerMaruyama) {
      x = x + drift(x, t, sde) * h + kick;
    } else {
      const y = x + kick, k1 = drift(y, t, sde);
      x = y + h / 2 * (k1 + drift(y + h * k1, next, sde));
    }
    states.push(x);
  }
  const velocity = gaussianPrediction(interpolant, "velocity", end);
  const score = gaussianPrediction(interpolant, "score", end);
  const alpha = interpolant.alpha(end), sigma = interpolant.sigma(end);
  const last = {
    none: () => x,
    mean: () => x + drift(x, end, sde) * LAST_STEP_SIZE,
    euler: () => x + (velocity.a * x + velocity.b) * LAST_STEP_SIZE,
    tweedie: () => x / alpha + sigma ** 2 / alpha * (score.a * x + score.b),
  };
  if (lastStep !== "none") states.push(last[lastStep]());
  return states;
}

/** Runs a case with given noise and compares every state with the float64 recursion. */
async function checkStates(device: Device, sde: SdeCase): Promise<void> {
  const { sampler, interpolant, prediction, form, lastStep } = sde;
  const { states, ones } = gaussianStates(device, { interpolant, t: 0 });
  const network = countEvaluations(gaussianNetwork(ones, { interpolant, prediction }));
  const noise = Array.from({ length: STEPS }, (_, step) => randomValues([64], 7 + step));
  const seen: Float32Array[] = [], reached: number[] = [], pending: Promise<void>[] = [];
  const sample = sampler(network, states, {
    interpolant,
    prediction,
    steps: STEPS,
    diffusion: { form, norm: NORM },
    lastStep,
    lastStepSize: LAST_STEP_SIZE,
    epsilon: EPSILON,
    noise: (step) => device.tensor(new Float32Array(noise[step]!), [1, 1, 8, 8]),
    onStep({ step, t, x }) {
      reached[step] = t;
      pending.push(x.read().then((values) => void (seen[step] = values)));
    },
  });
  await Promise.all(pending);
  assert.deepEqual(await sample.read(), seen.at(-1));
  assert.equal(seen.length, STEPS);
  assert.ok(reached.every((t, step) => step === 0 || t > reached[step - 1]!), `${reached}`);
  const [, end] = sampleInterval(interpolant, prediction, {
    sde: { form, lastStepSize: 0 },
    epsilon: EPSILON,
  });
  assert.equal(reached.at(-1), lastStep === "none" ? end : 1);
  const starts = await states.read();
  const expected = Array.from(
    starts,
    (start, i) => expectedStates(start, noise.map((values) => values[i]!), sde),
  );
  for (const [step, values] of seen.entries()) {
    assertClose(values, expected.map((states) => states[step]!), {
      // Twenty roundings a step, of numbers about as large as the states.
      tolerance: 20 * STEPS * ROUNDING,
      name: `${sampler.name} ${interpolant.name} ${prediction} ${form} ${lastStep} step ${step}`,
    });
  }
  const drifts = sampler === sampleSdeHeun ? 2 : 1;
  const evaluations = lastStep === "none" ? STEPS * drifts : (STEPS - 1) * drifts + 1;
  assert.equal(network.evaluations, evaluations);
  for (const tensor of [states, ones, sample]) tensor.dispose();
}

for (const sampler of [sampleEulerMaruyama, sampleSdeHeun]) {
  gpuTest(`${sampler.name}() steps as its formula says in every form`, async (device) => {
    const interpolant = linearInterpolant, prediction = "velocity";
    for (const form of DIFFUSION_FORMS) {
      await checkStates(device, { sampler, interpolant, prediction, form, lastStep: "mean" });
    }
  });

  gpuTest(`${sampler.name}() ends as each last step says, with one evaluation`, async (device) => {
    for (const lastStep of LAST_STEPS) {
      for (const interpolant of [linearInterpolant, vpInterpolant]) {
        const prediction = "velocity", form = "linear";
        await checkStates(device, { sampler, interpolant, prediction, form, lastStep });
      }
    }
  });

  gpuTest(`${sampler.name}() takes any path and prediction`, async (device) => {
    for (const interpolant of [linearInterpolant, gvpInterpolant, vpInterpolant]) {
      for (const prediction of ["velocity", "noise", "score"] as const) {
        const form = "sigma", lastStep = "mean";
        await checkStates(device, { sampler, interpolant, prediction, form, lastStep });
      }
    }
  });
}

gpuTest(
  "sampleSdeHeun() runs to the data without a last step where the noise ends there",
  async (device) => {
    const interpolant = linearInterpolant, last: number[] = [];
    const { states, ones } = gaussianStates(device, { interpolant, t: 0 });
    const network = gaussianNetwork(ones, { interpolant, prediction: "velocity" });
    for (const form of ["sigma", "linear", "decreasing", "increasing-decreasing"] as const) {
      using sample = sampleSdeHeun(network, states, {
        ...{ steps: 4, diffusion: { form }, lastStep: "none" },
        onStep: ({ t }) => void (last[0] = t),
      });
      assert.deepEqual(last, [1], form);
      assert.ok((await sample.read()).every(Number.isFinite), form);
    }
    // Elsewhere the score is asked for, which the data have none of.
    assert.throws(
      () =>
        sampleSdeHeun(network, states, {
          ...{ steps: 4, diffusion: { form: "constant" }, lastStep: "none" },
        }),
      RangeError,
    );
    states.dispose();
    ones.dispose();
  },
);

gpuTest("SDE samplers reach the data's mean and variance from their own noise", async (device) => {
  const shape = [64, 1, 32, 32], count = 64 * 32 * 32;
  const next = randomNormals(count);
  const noise = device.tensor(next, shape);
  const ones = device.tensor(new Float32Array(count).fill(1), shape);
  const network = gaussianNetwork(ones, {
    interpolant: linearInterpolant,
    prediction: "velocity",
  });
  for (
    const { sampler, steps } of [
      { sampler: sampleEulerMaruyama, steps: 200 },
      { sampler: sampleSdeHeun, steps: 60 },
    ]
  ) {
    const sample = sampler(network, noise, { steps, lastStepSize: 0.01, seed: 3 });
    const values = await sample.read();
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    // Four standard errors of 65,536 draws, and a hundredth for steps of finite length.
    assert.ok(Math.abs(mean - MEAN) < 4 * DEVIATION / 256 + 0.01, `${sampler.name} mean ${mean}`);
    const bound = DEVIATION ** 2 * (4 * Math.SQRT2 / 256 + 0.01);
    assert.ok(
      Math.abs(variance - DEVIATION ** 2) < bound,
      `${sampler.name} variance ${variance}, bound ${bound}`,
    );
    sample.dispose();
  }
  noise.dispose();
  ones.dispose();
});

function randomNormals(count: number): Float32Array {
  const uniform = randomValues([2 * count], 5);
  return Float32Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(1 - (uniform[2 * i]! + 1) / 2));
    return radius * Math.cos(Math.PI * uniform[2 * i + 1]!);
  });
}

gpuTest(
  "SDE samplers draw the noise of a step behind that which they start from",
  async (device) => {
    const steps = 3, x = new Float32Array(8).fill(0.5);
    using start = device.tensor(x, [2, 1, 2, 2]),
      zeros = device.tensor(new Float32Array(8), [2, 1, 2, 2]);
    const random = new Random(9, Stream.Sampler), seen: Promise<Float32Array>[] = [];
    // Where the score is 0, the path's own factor of the state is left, and the noise.
    using _ = sampleEulerMaruyama(
      (x) => x.device.scope(() => combine([[zeros, 1], [x, 0]])),
      start,
      {
        ...{ steps, seed: 9, firstSample: 5, prediction: "score", epsilon: 0.2, lastStep: "none" },
        interpolant: vpInterpolant,
        diffusion: { form: "constant", norm: 0.5 },
        onStep: ({ x }) => void seen.push(x.read()),
      },
    );
    let want = [...x];
    const times = linspace([0, 0.8], steps + 1);
    for (const [step, states] of (await Promise.all(seen)).entries()) {
      const h = times[step + 1]! - times[step]!;
      want = want.map((value, i) =>
        value + h * vpInterpolant.driftMean(times[step]!) * value +
        Math.sqrt(h) * random.normal(step + 1, 5 + Math.floor(i / 4), i % 4)
      );
      // The noise may err by 2^-18 (randomNormal), all else by some roundings; the states grow.
      assertClose(states, want, { tolerance: 2 ** -17 * (step + 1), name: `step ${step}` });
    }
  },
);

gpuTest("SDE samplers take the official settings unless told", async (device) => {
  const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
  const network = gaussianNetwork(ones, { interpolant: linearInterpolant, prediction: "velocity" });
  for (const sampler of [sampleEulerMaruyama, sampleSdeHeun]) {
    const results: Float32Array[] = [];
    for (
      const options of [{}, {
        steps: 50,
        diffusion: { form: "sigma", norm: 1 },
        lastStep: "mean",
        lastStepSize: 0.04,
        seed: 0,
        firstSample: 0,
      }] satisfies SdeOptions[]
    ) {
      using sample = sampler(network, states, options);
      results.push(await sample.read());
    }
    assert.deepEqual(results[0], results[1]);
  }
  states.dispose();
  ones.dispose();
});

gpuTest(
  "SDE samplers draw other noise for another seed, and the same for the same",
  async (device) => {
    const { states, ones } = gaussianStates(device, { interpolant: linearInterpolant, t: 0 });
    const network = gaussianNetwork(ones, {
      interpolant: linearInterpolant,
      prediction: "velocity",
    });
    for (const sampler of [sampleEulerMaruyama, sampleSdeHeun]) {
      const draw = async (seed: number) => {
        const sample = sampler(network, states, { steps: 4, seed });
        const values = await sample.read();
        sample.dispose();
        return values;
      };
      const first = await draw(1);
      assert.deepEqual(await draw(1), first);
      assert.notDeepEqual(await draw(2), first);
    }
    states.dispose();
    ones.dispose();
  },
);

gpuTest("SDE samplers refuse options with which no number would come out", (device) => {
  using noise = device.tensor(new Float32Array(4), [1, 1, 2, 2]);
  const cases: [options: unknown, message: RegExp][] = [
    [{ diffusion: { form: "sigmas" } }, /diffusion\.form is sigmas, did you mean sigma\?/],
    [{ lastStep: "tweedy" }, /lastStep is tweedy, did you mean tweedie\?/],
    ...[-1, NaN, Infinity].map((norm): [unknown, RegExp] => [
      { diffusion: { form: "sigma", norm } },
      new RegExp(`diffusion\\.norm is ${norm}, expected a number from 0`),
    ]),
    ...[-0.5, 0, 1, 2, NaN].map((lastStepSize): [unknown, RegExp] => [
      { lastStepSize },
      new RegExp(`lastStepSize is ${lastStepSize}, expected a number above 0 and below 1`),
    ]),
    [
      { diffusion: { form: "sbdm" }, epsilon: 0.25, lastStepSize: 0.75 },
      /from time 0\.25 to 0\.25: expected a smaller epsilon, or a shorter last step/,
    ],
  ];
  for (const sampler of [sampleEulerMaruyama, sampleSdeHeun]) {
    for (const [options, message] of cases) {
      const draw = () => sampler((x) => x, noise, { steps: 3, ...options as SdeOptions });
      assert.throws(draw, { name: "RangeError", message });
    }
  }
});
