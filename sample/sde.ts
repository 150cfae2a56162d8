/**
 * Samplers of the reverse SDE dx = (v + w s) dt + √(2w) dW, whose marginals are the ODE's for every
 * diffusion w(t) ≥ 0 (SiT, section 2.1; GMem, appendix F.2, whose w is 2 w here).
 *
 * Drift v + w s is one affine combination of the state and the network's output, so each drift
 * costs one evaluation (the official code evaluates twice).
 *
 * @module
 */

import { combine } from "../kernels/combine/mod.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import { Stream } from "../kernels/core/random.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { randomNormal } from "../kernels/random_normal/mod.ts";
import { DIFFUSION_FORMS, type DiffusionForm } from "../model/interpolants/interpolant.ts";
import { dataCoefficients, velocityCoefficients } from "../model/interpolants/prediction.ts";
import { sampleInterval } from "../model/interpolants/time.ts";
import { diffusionCoefficient, driftCoefficients } from "./diffusion.ts";
import {
  type Advance,
  affine,
  integrate,
  type Network,
  resolvePath,
  type SamplerOptions,
} from "./network.ts";
import { odeTimes, sdeTimes } from "./times.ts";

/** Names of the last steps of SDE samplers. */
export const LAST_STEPS = ["none", "mean", "euler", "tweedie"] as const;

/** What ends an SDE sampler, without noise. */
export type LastStep = typeof LAST_STEPS[number];

/** Options of the SDE samplers. */
export interface SdeOptions extends SamplerOptions {
  /** Number of steps, at least 2; the last one, if there is one, is among them. Default 50. */
  readonly steps?: number | undefined;
  /** Form of the diffusion w(t) and its factor. Default `sigma`, 1. */
  readonly diffusion?:
    | { readonly form: DiffusionForm; readonly norm?: number | undefined }
    | undefined;
  /**
   * The last step from time 1 − `lastStepSize`: `mean` adds h times the drift, `euler` h times the
   * velocity, `tweedie` gives the expected data. With `none` all steps are noisy and end at
   * 1 − `epsilon`, which `sampleSdeHeun` needs to be below 1 unless w(1) is 0. Default `mean`.
   */
  readonly lastStep?: LastStep | undefined;
  /** Length h of the last step in time. Default 0.04, as in SiT. */
  readonly lastStepSize?: number | undefined;
  /** Seed of the noise. Default 0. */
  readonly seed?: number | undefined;
  /** Identity of the first image: image i draws the same noise whatever the batch. Default 0. */
  readonly firstSample?: number | undefined;
  /** Distance from the ends of time where the path is singular; the official value by default. */
  readonly epsilon?: number | undefined;
  /** Standard-normal noise [B, C, H, W] of a step, instead of noise drawn from `seed`. */
  readonly noise?: ((step: number) => Tensor) | undefined;
}

/** An SDE sampler: noise [B, C, H, W] at t = 0 to a sample. */
export type SdeSampler = (network: Network, x: Tensor, options?: SdeOptions) => Tensor;

/**
 * Euler–Maruyama: x += h a(x, t) + √(2 w h) n, of noise [B, C, H, W], with the drift a = v + w s. One
 * evaluation a step.
 *
 * Throws a RangeError where path or diffusion is singular at a time of the grid, for `steps` that are no
 * integer of at least 2 (1 without a last step), for another option that is out of its range or a name of none,
 * and where the last step and `epsilon` leave no time for noisy steps.
 *
 * @example
 * ```ts
 * import { Device, sampleEulerMaruyama } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(-1), [1, 1, 1, 1]);
 * using data = device.tensor(Float32Array.of(2), [1, 1, 1, 1]);
 * // All data are 2: v = (2 − x) / (1 − t), and whatever the noise of the steps, they end there.
 * using sample = sampleEulerMaruyama(
 *   (x, t) => combine([[data, 1 / (1 - t)], [x, -1 / (1 - t)]]),
 *   noise,
 *   { steps: 10, seed: 1, lastStep: "tweedie" },
 * );
 * console.log((await sample.read())[0]?.toFixed(4)); // 2.0000
 * ```
 */
export function sampleEulerMaruyama(
  network: Network,
  x: Tensor,
  options: SdeOptions = {},
): Tensor {
  const process = makeProcess(network, options);
  return process.run(x, (x, { t, next, step }) => {
    const h = next - t;
    return combine([
      [x, 1],
      [process.drift(x, t), h],
      [process.noise(x, step), Math.sqrt(2 * process.diffusion(t) * h)],
    ]);
  });
}

/**
 * Stochastic Heun: y = x + √(2 w h) n, k₁ = a(y, t), k₂ = a(y + h k₁, t + h),
 * x = y + h (k₁ + k₂) / 2, of noise [B, C, H, W], with the drift a = v + w s. Two evaluations a step.
 *
 * Throws what {@linkcode sampleEulerMaruyama} throws.
 *
 * @example
 * ```ts
 * import { Device, sampleSdeHeun } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * const network = (x: typeof noise) => combine([[x, -1]]);
 * using first = sampleSdeHeun(network, noise, { steps: 4, seed: 0 });
 * using again = sampleSdeHeun(network, noise, { steps: 4, seed: 0 });
 * using other = sampleSdeHeun(network, noise, { steps: 4, seed: 1 });
 * const [a, b, c] = await Promise.all([first, again, other].map((sample) => sample.read()));
 * console.log(a![0] === b![0], a![0] === c![0]); // true false
 * ```
 */
export function sampleSdeHeun(network: Network, x: Tensor, options: SdeOptions = {}): Tensor {
  const process = makeProcess(network, options);
  return process.run(x, (x, { t, next, step }) => {
    const h = next - t;
    const scale = Math.sqrt(2 * process.diffusion(t) * h);
    const noisy = combine([[x, 1], [process.noise(x, step), scale]]);
    const k1 = process.drift(noisy, t);
    const k2 = process.drift(combine([[noisy, 1], [k1, h]]), next);
    return combine([[noisy, 1], [k1, h / 2], [k2, h / 2]]);
  });
}

interface Process {
  drift(x: Tensor, t: number): Tensor;
  diffusion(t: number): number;
  noise(x: Tensor, step: number): Tensor;
  /** All steps by `advance`, then the last one. */
  run(x: Tensor, advance: Advance): Tensor;
}

function makeProcess(network: Network, options: SdeOptions): Process {
  const { steps = 50, lastStep = "mean", lastStepSize = 0.04, seed = 0, firstSample = 0, onStep } =
    options;
  const { form, norm = 1 } = options.diffusion ?? { form: "sigma" };
  checkSde({ form, norm, lastStep, lastStepSize });
  const { interpolant, prediction } = resolvePath(options);
  const sde = { form, lastStepSize: lastStep === "none" ? 0 : lastStepSize };
  const interval = sampleInterval(interpolant, prediction, { sde, epsilon: options.epsilon });
  const times = lastStep === "none"
    ? odeTimes({ steps, interval })
    : sdeTimes({ steps, interval }).slice(0, -1);
  const end = interval[1];

  function diffusion(t: number): number {
    return diffusionCoefficient(form, t, { interpolant, norm });
  }
  function drift(x: Tensor, t: number): Tensor {
    const coefficients = driftCoefficients(interpolant, prediction, { t, diffusion: diffusion(t) });
    return affine(x, network(x, t), coefficients);
  }
  function finish(x: Tensor, lastStep: Exclude<LastStep, "none">): Tensor {
    switch (lastStep) {
      case "mean":
        return combine([[x, 1], [drift(x, end), lastStepSize]]);
      case "euler": {
        const v = affine(x, network(x, end), velocityCoefficients(interpolant, prediction, end));
        return combine([[x, 1], [v, lastStepSize]]);
      }
      case "tweedie":
        return affine(x, network(x, end), dataCoefficients(interpolant, prediction, end));
    }
  }
  return {
    drift,
    diffusion,
    noise: (x, step) =>
      options.noise?.(step) ??
        randomNormal(x.device, x.shape, {
          seed,
          stream: Stream.Sampler,
          step: step + 1,
          firstSample,
        }),
    run: (x, advance) =>
      x.device.scope(() => {
        const state = integrate(x, { times, onStep }, advance);
        if (lastStep === "none") return state;
        const last = integrate(state, { times: [end, 1] }, (x) => finish(x, lastStep));
        onStep?.({ step: steps - 1, t: 1, x: last });
        return last;
      }),
  };
}

/** Throws for names that there are none of, and for numbers with which states would be none. */
function checkSde(
  { form, norm, lastStep, lastStepSize }: {
    form: DiffusionForm;
    norm: number;
    lastStep: LastStep;
    lastStepSize: number;
  },
): void {
  requireOneOf("Cannot sample: diffusion.form", form, DIFFUSION_FORMS);
  requireOneOf("Cannot sample: lastStep", lastStep, LAST_STEPS);
  if (!(norm >= 0 && norm < Infinity)) {
    throw new RangeError(`Cannot sample: diffusion.norm is ${norm}, expected a number from 0`);
  }
  if (lastStep === "none" || (lastStepSize > 0 && lastStepSize < 1)) return;
  throw new RangeError(
    `Cannot sample: lastStepSize is ${lastStepSize}, expected a number above 0 and below 1`,
  );
}
