/** A data distribution whose perfect network is known: every element N(mean, deviation²) alone. */

import { combine } from "../../kernels/combine/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import type { Interpolant } from "../../model/interpolants/interpolant.ts";
import type { Prediction } from "../../model/interpolants/prediction.ts";
import type { Network } from "../../sample/network.ts";

/** Mean of the data. */
export const MEAN = 0.4;
/** Standard deviation of the data. */
export const DEVIATION = 0.5;

/** A line a x + b. */
export interface Line {
  readonly a: number;
  readonly b: number;
}

/**
 * What a perfect network predicts at (x, t), a line in x: with x = α data + σ noise, data and noise are
 * jointly Gaussian with x, so that E[data | x] = m + (α s² / V)(x − α m) and
 * E[noise | x] = (σ / V)(x − α m), where V = α² s² + σ².
 */
export function gaussianPrediction(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): Line {
  const alpha = interpolant.alpha(t), sigma = interpolant.sigma(t);
  const variance = alpha ** 2 * DEVIATION ** 2 + sigma ** 2;
  const data = alpha * DEVIATION ** 2 / variance, noise = sigma / variance;
  const centred = (slope: number): Line => ({ a: slope, b: -slope * alpha * MEAN });
  if (prediction === "noise") return centred(noise);
  if (prediction === "score") return centred(-1 / variance);
  const { a, b } = centred(interpolant.dAlpha(t) * data + interpolant.dSigma(t) * noise);
  return { a, b: b + interpolant.dAlpha(t) * MEAN };
}

/** The perfect network on the GPU; `ones` is a tensor of ones of the states' shape. */
export function gaussianNetwork(
  ones: Tensor,
  { interpolant, prediction }: { interpolant: Interpolant; prediction: Prediction },
): Network {
  return (x, t) => {
    const { a, b } = gaussianPrediction(interpolant, prediction, t);
    return combine([[x, a], [ones, b]]);
  };
}

/** Where the ODE carries noise `x` to at time `t`: α m + √(α² s² + σ²) x. */
function gaussianFlow(interpolant: Interpolant, x: number, t: number): number {
  const alpha = interpolant.alpha(t), sigma = interpolant.sigma(t);
  return alpha * MEAN + Math.sqrt(alpha ** 2 * DEVIATION ** 2 + sigma ** 2) * x;
}

/** Noise that covers −2 to 2 evenly: 64 values. */
const NOISE: readonly number[] = Array.from({ length: 64 }, (_, i) => (i - 31.5) / 16);

/** The ODE's states at time `t` for {@linkcode NOISE}, and ones: [1, 1, 8, 8], the caller's. */
export function gaussianStates(
  device: Device,
  { interpolant, t }: { interpolant: Interpolant; t: number },
): { states: Tensor; ones: Tensor } {
  const states = Float32Array.from(NOISE, (x) => gaussianFlow(interpolant, x, t));
  return {
    states: device.tensor(states, [1, 1, 8, 8]),
    ones: device.tensor(new Float32Array(64).fill(1), [1, 1, 8, 8]),
  };
}

/** The largest distance of states from the ODE's at time `t`. */
export function flowError(
  states: ArrayLike<number>,
  { interpolant, t }: { interpolant: Interpolant; t: number },
): number {
  return NOISE.reduce(
    (worst, x, i) => Math.max(worst, Math.abs(states[i]! - gaussianFlow(interpolant, x, t))),
    0,
  );
}
