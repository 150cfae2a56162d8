/**
 * The straight path.
 *
 * @module
 */

import type { Interpolant } from "./interpolant.ts";

/**
 * The straight path alpha = t, sigma = 1 - t, of constant velocity data - noise (rectified flow;
 * SiT).
 *
 * `driftMean` and `driftVariance` are infinite at t = 0, where x holds no data.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant } from "@gmem/gmem";
 *
 * assert.equal(linearInterpolant.alpha(0.25), 0.25);
 * assert.equal(linearInterpolant.sigma(0.25), 0.75);
 * ```
 */
export const linearInterpolant: Interpolant = {
  name: "linear",
  alpha: (t) => t,
  sigma: (t) => 1 - t,
  dAlpha: () => 1,
  dSigma: () => -1,
  driftMean: (t) => 1 / t,
  driftVariance: (t) => (1 - t) / t,
};
