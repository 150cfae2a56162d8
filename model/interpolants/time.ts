/**
 * Which times of a path are trained and sampled.
 *
 * @module
 */

import type { DiffusionForm, Interpolant } from "./interpolant.ts";
import type { Prediction } from "./prediction.ts";

/**
 * A closed interval of path times in [0, 1]; 1 is data, so the start is the end nearest to noise.
 */
export type TimeInterval = readonly [start: number, end: number];

/** Names of the distributions of training times. */
export const TIME_DISTRIBUTIONS = ["uniform", "logit-normal"] as const;

/**
 * How training times are distributed over their interval: uniformly, or as 1 / (1 + exp(-n)) of a standard
 * normal n, which favours the middle of the path.
 */
export type TimeDistribution = typeof TIME_DISTRIBUTIONS[number];

/** The whole path, from noise at 0 to data at 1. */
export const FULL_INTERVAL: TimeInterval = [0, 1];

/** What `sampleInterval` needs to know of the sampler. */
export interface SampleIntervalOptions {
  /** Diffusion form and size of the last, noiseless step of an SDE; absent for an ODE. */
  readonly sde?: { readonly form: DiffusionForm; readonly lastStepSize: number } | undefined;
  /** Distance to a singular end, the official value unless given. */
  readonly epsilon?: number | undefined;
}

/**
 * Maps a uniform draw to a training time, uniform on the interval.
 *
 * t = start + (end - start) u.
 *
 * @param draw A uniform draw u in [0, 1).
 * @param interval Where t may lie, all of [0, 1] unless given.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { uniformTime } from "./time.ts";
 *
 * assert.equal(uniformTime(0.5, [0.2, 0.4]), 0.30000000000000004);
 * ```
 */
export function uniformTime(
  draw: number,
  [start, end]: TimeInterval = FULL_INTERVAL,
): number {
  return start + (end - start) * draw;
}

/**
 * Maps a normal draw to a training time with the logit-normal distribution, which favours the
 * middle of the path.
 *
 * t = start + (end - start) / (1 + exp(-n)) (LightningDiT and GMem; Esser et al. 2024 with mean 0
 * and scale 1).
 *
 * REPA's "lognormal" times on its linear path, s / (1 + s) with s = exp(n), follow the same
 * distribution: REPA counts time from the data, so its draw n gives the project's time
 * `logitNormalTime(-n)`.
 *
 * @param normal A standard normal draw n.
 * @param interval Where t may lie, all of [0, 1] unless given.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { logitNormalTime } from "./time.ts";
 *
 * assert.equal(logitNormalTime(0), 0.5);
 * ```
 */
export function logitNormalTime(normal: number, interval: TimeInterval = FULL_INTERVAL): number {
  return uniformTime(1 / (1 + Math.exp(-normal)), interval);
}

/**
 * Returns the interval that training times are drawn from.
 *
 * Velocity on the linear and GVP paths is regular everywhere: [0, 1]. Noise and score on them keep
 * 1e-3 from both ends. The VP path is singular at data only and keeps 1e-5 from it, whatever is
 * predicted.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, trainInterval } from "@gmem/gmem";
 *
 * assert.deepEqual(trainInterval(linearInterpolant, "noise"), [0.001, 0.999]);
 * ```
 */
export function trainInterval(interpolant: Interpolant, prediction: Prediction): TimeInterval {
  if (interpolant.name === "vp") return [0, 1 - 1e-5];
  if (prediction === "velocity") return FULL_INTERVAL;
  return [1e-3, 1 - 1e-3];
}

/**
 * Returns the interval that a sampler integrates over, up to its last, noiseless step if it has
 * one.
 *
 * An ODE with velocity prediction on the linear and GVP paths covers [0, 1]. Otherwise the sampler
 * stops at `1 - lastStepSize`, or at 1 - epsilon without a last step, and starts at 0, or at
 * epsilon on the linear and GVP paths when the prediction is not the velocity or the form is SBDM.
 * The official epsilon is 1e-3, but 0 for velocity on the linear and GVP paths: an SBDM sampler
 * needs its own epsilon there, because SBDM is infinite at t = 0.
 *
 * @param interpolant The path.
 * @param prediction What the network's output means.
 * @param options The SDE, if it is one, and another distance to the singular ends.
 * @throws {RangeError} If epsilon and the last step leave no time between them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linearInterpolant, sampleInterval } from "@gmem/gmem";
 *
 * const sde = { form: "sigma", lastStepSize: 0.04 } as const;
 * assert.deepEqual(sampleInterval(linearInterpolant, "velocity", { sde }), [0, 0.96]);
 * ```
 */
export function sampleInterval(
  interpolant: Interpolant,
  prediction: Prediction,
  { sde, epsilon }: SampleIntervalOptions = {},
): TimeInterval {
  const velocity = prediction === "velocity" && interpolant.name !== "vp";
  if (velocity && sde === undefined) return FULL_INTERVAL;
  const distance = epsilon ?? (velocity ? 0 : 1e-3);
  const singularStart = interpolant.name !== "vp" && (!velocity || sde?.form === "sbdm");
  const start = singularStart ? distance : 0;
  const end = 1 - (sde !== undefined && sde.lastStepSize > 0 ? sde.lastStepSize : distance);
  if (start < end) return [start, end];
  throw new RangeError(
    `Cannot sample from time ${start} to ${end}: expected a smaller epsilon, or a shorter last step`,
  );
}
