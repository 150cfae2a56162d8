/**
 * The variance-preserving path of score-based models.
 *
 * @module
 */

import type { Interpolant } from "./interpolant.ts";

/** Noise rate of the forward diffusion at data, in units of 1 / time. */
const BETA_MIN = 0.1;
/** Noise rate of the forward diffusion at noise, in units of 1 / time. */
const BETA_MAX = 20;

function logAlpha(t: number): number {
  const s = 1 - t;
  return -0.25 * s * s * (BETA_MAX - BETA_MIN) - 0.5 * s * BETA_MIN;
}

function halfBeta(t: number): number {
  return 0.5 * (BETA_MIN + (1 - t) * (BETA_MAX - BETA_MIN));
}

function alpha(t: number): number {
  return Math.exp(logAlpha(t));
}

// sqrt(1 - alpha^2) without the cancellation near t = 1, where alpha is close to 1; the absolute
// value turns the -0 of t = 1 into 0.
function sigma(t: number): number {
  return Math.sqrt(Math.abs(Math.expm1(2 * logAlpha(t))));
}

function dAlpha(t: number): number {
  return alpha(t) * halfBeta(t);
}

/**
 * The variance-preserving diffusion path (Song et al. 2021; SiT): alpha = exp(-(1 - t)^2 19.9 / 4 -
 * (1 - t) 0.1 / 2), sigma = sqrt(1 - alpha^2).
 *
 * Noise is not quite reached: `alpha(0)` is 0.0066. `driftMean` and `driftVariance` both equal beta
 * / 2 with beta = 0.1 + 19.9 (1 - t), finite on all of [0, 1]; `dSigma` is -Infinity at t = 1.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { vpInterpolant } from "@gmem/gmem";
 *
 * assert.equal(vpInterpolant.alpha(1), 1);
 * assert.equal(vpInterpolant.driftMean(1), 0.05);
 * ```
 */
export const vpInterpolant: Interpolant = {
  name: "vp",
  alpha,
  sigma,
  dAlpha,
  dSigma: (t) => -alpha(t) * dAlpha(t) / sigma(t),
  driftMean: halfBeta,
  driftVariance: halfBeta,
};
