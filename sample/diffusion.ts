/**
 * How much noise an SDE sampler adds, and the drift that goes with it.
 *
 * @module
 */

import type { DiffusionForm, Interpolant } from "../model/interpolants/interpolant.ts";
import {
  type Prediction,
  scoreCoefficients,
  type StateCoefficients,
  velocityCoefficients,
} from "../model/interpolants/prediction.ts";

/** What a diffusion coefficient depends on besides its form and the time. */
export interface DiffusionOptions {
  /** The path; SBDM and sigma follow it. */
  readonly interpolant: Interpolant;
  /** Overall strength, 1 unless given. */
  readonly norm?: number | undefined;
}

/** Where an SDE's drift is evaluated, and with how much diffusion. */
export interface DriftOptions {
  /** Time in [0, 1]; 1 is data. */
  readonly t: number;
  /** The diffusion coefficient w(t), at least 0; 0 turns the SDE into the ODE. */
  readonly diffusion: number;
}

/**
 * Returns the diffusion coefficient w(t) of the reverse SDE dx = (v + w score) dt + sqrt(2 w) dW.
 *
 * constant: norm; SBDM: norm times the path's `driftVariance`; sigma: norm sigma(t); linear: norm
 * (1 - t); decreasing: (norm cos(pi t) + 1)^2 / 4; increasing-decreasing: norm sin(pi t)^2 (SiT,
 * where the noise term is sqrt(w) with half of the score).
 *
 * @param form The function of time.
 * @param t Time in [0, 1]; 1 is data.
 * @param options The path and the strength.
 * @throws {RangeError} If the form is SBDM and t is 0 on the linear or GVP path, where it is
 * infinite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant } from "../model/interpolants/linear.ts";
 * import { diffusionCoefficient } from "./diffusion.ts";
 *
 * assert.equal(diffusionCoefficient("linear", 0.25, { interpolant: linearInterpolant }), 0.75);
 * ```
 */
export function diffusionCoefficient(
  form: DiffusionForm,
  t: number,
  { interpolant, norm = 1 }: DiffusionOptions,
): number {
  switch (form) {
    case "constant":
      return norm;
    case "sbdm": {
      const variance = interpolant.driftVariance(t);
      if (!Number.isFinite(variance)) {
        throw new RangeError(
          `Cannot compute sbdm diffusion on the ${interpolant.name} path: ` +
            `it is infinite at t = ${t}, expected a sampling interval that starts later, ` +
            "by a larger epsilon",
        );
      }
      return norm * variance;
    }
    case "sigma":
      return norm * interpolant.sigma(t);
    case "linear":
      return norm * (1 - t);
    case "decreasing":
      return 0.25 * (norm * Math.cos(Math.PI * t) + 1) ** 2;
    case "increasing-decreasing":
      // Of the nearer end: exactly 0 at both.
      return norm * Math.sin(Math.PI * Math.min(t, 1 - t)) ** 2;
  }
}

/**
 * Returns the reverse SDE's drift v + w score in terms of x_t and one network output.
 *
 * Both terms come from the same output, so a drift costs one network evaluation (SiT).
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param options The time and the diffusion coefficient there.
 * @throws {RangeError} Where `velocityCoefficients` or, with diffusion, `scoreCoefficients` throws.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant } from "../model/interpolants/linear.ts";
 * import { driftCoefficients } from "./diffusion.ts";
 *
 * const drift = driftCoefficients(linearInterpolant, "velocity", { t: 0.5, diffusion: 0.5 });
 * assert.deepEqual(drift, { x: -1, output: 1.5 });
 * ```
 */
export function driftCoefficients(
  interpolant: Interpolant,
  prediction: Prediction,
  { t, diffusion }: DriftOptions,
): StateCoefficients {
  const velocity = velocityCoefficients(interpolant, prediction, t);
  if (diffusion === 0) return velocity;
  const score = scoreCoefficients(interpolant, prediction, t);
  return {
    x: velocity.x + diffusion * score.x,
    output: velocity.output + diffusion * score.output,
  };
}
