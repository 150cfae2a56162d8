/**
 * What a network predicts on a path: targets, losses, and velocity and score of a prediction.
 *
 * @module
 */

import type { Interpolant } from "./interpolant.ts";

/** Names of what a network may predict. */
export const PREDICTIONS = ["velocity", "noise", "score"] as const;

/**
 * What the network's output means: the path's velocity alpha' data + sigma' noise, the noise in
 * x_t, or the score, the gradient of log p_t(x), whose conditional value is -noise / sigma.
 */
export type Prediction = typeof PREDICTIONS[number];

/** Names of the weightings of the loss. */
export const LOSS_WEIGHTINGS = ["none", "velocity", "likelihood"] as const;

/**
 * How the loss of a noise or score network is weighted over time: not at all, as a velocity loss
 * would weight it, or as the bound on the likelihood weights it (SiT).
 */
export type LossWeighting = typeof LOSS_WEIGHTINGS[number];

/** A quantity as `x * x_t + output * networkOutput`, element by element. */
export interface StateCoefficients {
  /** Factor of the state x_t. */
  readonly x: number;
  /** Factor of the network's output at (x_t, t). */
  readonly output: number;
}

/** A quantity as `data * data + noise * noise`, element by element. */
export interface EndpointCoefficients {
  /** Factor of the clean sample. */
  readonly data: number;
  /** Factor of the Gaussian noise. */
  readonly noise: number;
}

/**
 * Everything a loss kernel needs for one sample: with these three numbers the loss is
 * `mean((outputScale * networkOutput - (data * data + noise * noise))^2)` over the sample's
 * elements.
 *
 * One form covers every path, prediction and weighting: the square root of the weight is folded
 * into all three factors.
 */
export interface LossCoefficients extends EndpointCoefficients {
  /** Factor of the network's output. */
  readonly outputScale: number;
}

/** Which loss {@linkcode lossCoefficients} gives. */
export interface LossCoefficientsOptions {
  /** Weighting over time, `"none"` unless given. */
  readonly weighting?: LossWeighting | undefined;
}

// With x = alpha data + sigma noise and v = alpha' data + sigma' noise, this is the determinant of
// the two equations: it is positive on every path, so data and noise follow from x and v.
function determinant(interpolant: Interpolant, t: number): number {
  return interpolant.dAlpha(t) * interpolant.sigma(t) -
    interpolant.alpha(t) * interpolant.dSigma(t);
}

function finite<T extends object>(
  coefficients: T,
  { quantity, interpolant, t }: { quantity: string; interpolant: Interpolant; t: number },
): T {
  for (const value of Object.values(coefficients)) {
    if (!Number.isFinite(value)) {
      throw new RangeError(
        `Cannot compute ${quantity} on the ${interpolant.name} path: it is singular at t = ${t}, ` +
          "expected a time inside the path's training or sampling interval, whose ends epsilon moves",
      );
    }
  }
  return coefficients;
}

/**
 * Returns the probability-flow velocity, the drift of the sampling ODE, in terms of x_t and the
 * network's output.
 *
 * v = m x + w score with m, w the path's `driftMean`, `driftVariance` (SiT), and score = -noise /
 * sigma.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @throws {RangeError} Where the conversion is singular: at t = 0 on the linear and GVP paths, and
 * at t = 1 for noise on the VP path, unless the network predicts the velocity itself.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, velocityCoefficients } from "@gmem/gmem";
 *
 * assert.deepEqual(velocityCoefficients(linearInterpolant, "noise", 0.5), { x: 2, output: -2 });
 * ```
 */
export function velocityCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): StateCoefficients {
  if (prediction === "velocity") return { x: 0, output: 1 };
  // For noise, determinant / alpha is driftVariance / sigma without its 0 / 0 at t = 1.
  const output = prediction === "score"
    ? interpolant.driftVariance(t)
    : -determinant(interpolant, t) / interpolant.alpha(t);
  const coefficients = { x: interpolant.driftMean(t), output };
  return finite(coefficients, { quantity: `the velocity from the ${prediction}`, interpolant, t });
}

/**
 * Returns the score, the gradient of log p_t(x), in terms of x_t and the network's output.
 *
 * score = (v - m x) / w with m, w the path's `driftMean`, `driftVariance` (SiT); score = -noise /
 * sigma.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @throws {RangeError} At t = 1, where sigma is 0, unless the network predicts the score itself or
 * the path is VP with velocity prediction.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, scoreCoefficients } from "@gmem/gmem";
 *
 * assert.deepEqual(scoreCoefficients(linearInterpolant, "velocity", 0.5), { x: -2, output: 1 });
 * ```
 */
export function scoreCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): StateCoefficients {
  if (prediction === "score") return { x: 0, output: 1 };
  const sigma = interpolant.sigma(t);
  let coefficients: StateCoefficients;
  if (prediction === "noise") {
    coefficients = { x: 0, output: -1 / sigma };
  } else if (interpolant.alpha(t) === 0) {
    // x is sigma noise, so its score is known without the network; m and w are both infinite here.
    coefficients = { x: -1 / sigma ** 2, output: 0 };
  } else {
    const variance = interpolant.driftVariance(t);
    coefficients = { x: -interpolant.driftMean(t) / variance, output: 1 / variance };
  }
  return finite(coefficients, { quantity: `the score from the ${prediction}`, interpolant, t });
}

/**
 * Returns the expected noise in x_t in terms of x_t and the network's output.
 *
 * noise = (alpha' x - alpha v) / (alpha' sigma - alpha sigma') = -sigma score.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, noiseCoefficients } from "@gmem/gmem";
 *
 * const noise = noiseCoefficients(linearInterpolant, "velocity", 0.25);
 * assert.deepEqual(noise, { x: 1, output: -0.25 });
 * ```
 */
export function noiseCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): StateCoefficients {
  if (prediction === "noise") return { x: 0, output: 1 };
  if (prediction === "score") return { x: 0, output: -interpolant.sigma(t) };
  const scale = 1 / determinant(interpolant, t);
  return { x: interpolant.dAlpha(t) * scale, output: -interpolant.alpha(t) * scale };
}

/**
 * Returns the expected data in x_t (Tweedie's estimate) in terms of x_t and the network's output.
 *
 * data = (sigma v - sigma' x) / (alpha' sigma - alpha sigma') = (x - sigma noise) / alpha = (x +
 * sigma^2 score) / alpha.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @throws {RangeError} Where the conversion is singular: for noise and score at t = 0 on the linear
 * and GVP paths, for the velocity at t = 1 on the VP path.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { dataCoefficients, linearInterpolant } from "@gmem/gmem";
 *
 * assert.deepEqual(dataCoefficients(linearInterpolant, "velocity", 0.25), { x: 1, output: 0.75 });
 * ```
 */
export function dataCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): StateCoefficients {
  const alpha = interpolant.alpha(t), sigma = interpolant.sigma(t);
  let coefficients: StateCoefficients;
  if (prediction === "velocity") {
    const scale = 1 / determinant(interpolant, t);
    coefficients = { x: -interpolant.dSigma(t) * scale, output: sigma * scale };
  } else {
    const output = prediction === "noise" ? -sigma / alpha : sigma * sigma / alpha;
    coefficients = { x: 1 / alpha, output };
  }
  return finite(coefficients, { quantity: `the data from the ${prediction}`, interpolant, t });
}

/**
 * Returns what the network's output is regressed on, in terms of one sample's data and noise.
 *
 * Velocity: alpha' data + sigma' noise (GMem, eq. 2 with the sign of its appendix F). Noise: the
 * noise. Score: -noise / sigma.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @throws {RangeError} At t = 1 for the score, and for the velocity on the VP path.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, targetCoefficients } from "@gmem/gmem";
 *
 * assert.deepEqual(targetCoefficients(linearInterpolant, "velocity", 0.3), { data: 1, noise: -1 });
 * ```
 */
export function targetCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
): EndpointCoefficients {
  if (prediction === "noise") return { data: 0, noise: 1 };
  const coefficients = prediction === "score"
    ? { data: 0, noise: -1 / interpolant.sigma(t) }
    : { data: interpolant.dAlpha(t), noise: interpolant.dSigma(t) };
  return finite(coefficients, { quantity: `the ${prediction} target`, interpolant, t });
}

/**
 * Returns the weight of the squared difference between the network's output and its target.
 *
 * With w the path's `driftVariance`: for noise 1, (w / sigma)^2 or w / sigma^2 under the weighting
 * `"none"`, `"velocity"` or `"likelihood"`; for the score the same times sigma^2, because that loss
 * compares sigma * output with -noise. A velocity loss is never weighted: every weighting gives 1,
 * as in the official code.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @param options The weighting.
 * @throws {RangeError} Where the weight is singular; times from `trainInterval` never are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant } from "./linear.ts";
 * import { lossWeight } from "./prediction.ts";
 *
 * assert.equal(lossWeight(linearInterpolant, "noise", 0.5, { weighting: "likelihood" }), 4);
 * assert.equal(lossWeight(linearInterpolant, "velocity", 0.5, { weighting: "likelihood" }), 1);
 * ```
 */
export function lossWeight(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
  { weighting = "none" }: LossCoefficientsOptions = {},
): number {
  if (prediction === "velocity") return 1;
  const variance = interpolant.driftVariance(t), sigma = interpolant.sigma(t);
  const weight = prediction === "noise"
    ? { none: 1, velocity: (variance / sigma) ** 2, likelihood: variance / sigma ** 2 }[weighting]
    : { none: sigma ** 2, velocity: variance ** 2, likelihood: variance }[weighting];
  return finite({ weight }, { quantity: `the ${prediction} loss weight`, interpolant, t }).weight;
}

/**
 * Returns the loss of one sample as three factors, so that one kernel serves every path, prediction
 * and weighting.
 *
 * loss = mean((outputScale out - (data data + noise noise))^2) = weight mean((out - target)^2),
 * with `lossWeight` and `targetCoefficients`.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param t Time in [0, 1]; 1 is data.
 * @param options The weighting; a velocity loss ignores the weighting.
 * @throws {RangeError} Where the weight or the target is singular; times from `trainInterval` never
 * are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, lossCoefficients } from "@gmem/gmem";
 *
 * const loss = lossCoefficients(linearInterpolant, "noise", 0.5, { weighting: "velocity" });
 * assert.deepEqual(loss, { outputScale: 2, data: 0, noise: 2 });
 * ```
 */
export function lossCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  t: number,
  options: LossCoefficientsOptions = {},
): LossCoefficients {
  const outputScale = Math.sqrt(lossWeight(interpolant, prediction, t, options));
  const target = targetCoefficients(interpolant, prediction, t);
  const coefficients = {
    outputScale,
    data: outputScale * target.data,
    noise: outputScale * target.noise,
  };
  return finite(coefficients, { quantity: `the ${prediction} loss`, interpolant, t });
}
