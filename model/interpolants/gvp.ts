/**
 * The generalised variance-preserving path.
 *
 * @module
 */

import type { Interpolant } from "./interpolant.ts";

const HALF_PI = Math.PI / 2;

function alpha(t: number): number {
  return Math.sin(HALF_PI * t);
}

// sin of the complement instead of cos: exactly 0 at t = 1, and full relative precision near it.
function sigma(t: number): number {
  return Math.sin(HALF_PI * (1 - t));
}

// (alpha'/alpha) sigma^2 - sigma sigma' shrinks to alpha'/alpha because alpha^2 + sigma^2 = 1.
function drift(t: number): number {
  return HALF_PI * sigma(t) / alpha(t);
}

/**
 * The generalised variance-preserving path alpha = sin(pi t / 2), sigma = cos(pi t / 2) (SiT;
 * REPA's "cosine" path in reversed time).
 *
 * `driftMean` and `driftVariance` are infinite at t = 0, where x holds no data.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { gvpInterpolant } from "@gmem/gmem";
 *
 * assert.equal(gvpInterpolant.alpha(1), 1);
 * assert.equal(gvpInterpolant.sigma(1), 0);
 * ```
 */
export const gvpInterpolant: Interpolant = {
  name: "gvp",
  alpha,
  sigma,
  dAlpha: (t) => HALF_PI * sigma(t),
  dSigma: (t) => -HALF_PI * alpha(t),
  driftMean: drift,
  driftVariance: drift,
};
