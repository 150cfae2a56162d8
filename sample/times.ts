/**
 * The times at which samplers of fixed steps evaluate the network.
 *
 * @module
 */

import { requireCount } from "../kernels/core/counted.ts";
import { FULL_INTERVAL, type TimeInterval } from "../model/interpolants/time.ts";

/** How an ODE's time grid is laid out. */
export interface OdeTimesOptions {
  /** Number of solver steps, at least 1; the grid has one point more. */
  readonly steps: number;
  /** Timestep shift as in `shiftTime`. Default 1, which is none. */
  readonly shift?: number | undefined;
  /** Where to integrate; `sampleInterval` knows the singular ends. Default all of [0, 1]. */
  readonly interval?: TimeInterval | undefined;
}

/** How an SDE's time grid with a last step is laid out. */
export interface SdeTimesOptions {
  /** Number of steps including the last one, at least 2. */
  readonly steps: number;
  /** Where the noisy steps are. */
  readonly interval: TimeInterval;
}

/**
 * Returns evenly spaced times from the start to the end of an interval, both exactly included.
 *
 * @param interval The first and the last time.
 * @param count Number of times, at least 2.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { linspace } from "./times.ts";
 *
 * assert.deepEqual(linspace([0, 1], 5), [0, 0.25, 0.5, 0.75, 1]);
 * ```
 */
export function linspace([start, end]: TimeInterval, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    // Weighting both ends by shares, unlike stepping from the start, hits both without rounding.
    const share = i / (count - 1);
    return start * (1 - share) + end * share;
  });
}

/**
 * Shifts a time towards noise (shift below 1) or towards data (shift above 1), keeping 0 and 1.
 *
 * t' = s t / (1 + (s - 1) t) (LightningDiT, with s = 0.3; Esser et al. 2024 with alpha = 1 / s in
 * reversed time). A shift of 1 changes nothing, and 0 means off, as in the official configurations.
 *
 * @param t Time in [0, 1]; 1 is data.
 * @param shift The factor s, at least 0.
 * @throws {RangeError} If shift is negative or not finite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { shiftTime } from "@gmem/gmem";
 *
 * assert.equal(shiftTime(0.5, 3), 0.75);
 * assert.equal(shiftTime(0.5, 0), 0.5);
 * ```
 */
export function shiftTime(t: number, shift: number): number {
  if (!Number.isFinite(shift) || shift < 0) {
    throw new RangeError(`Cannot shift time: shift is ${shift}, expected 0 or a positive number`);
  }
  if (shift === 0) return t;
  // Written as a share, the denominator makes t = 1 exactly 1.
  return shift * t / (shift * t + (1 - t));
}

/**
 * Returns the time grid of an ODE sampler: `steps + 1` times from the start to the end of the
 * interval. A shift moves the ends too, where they are not 0 and 1.
 *
 * The official SiT, LightningDiT and GMem code counts points, so its `num_steps = n` is `steps: n -
 * 1` here. REPA counts steps, from its time 1 (noise) down to 0: its grid is exactly this one read
 * as 1 - t.
 *
 * @param options Number of steps, the timestep shift, and the interval.
 * @throws {RangeError} If steps is not a positive integer, or the shift is negative.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { odeTimes } from "@gmem/gmem";
 *
 * assert.deepEqual(odeTimes({ steps: 2 }), [0, 0.5, 1]);
 * assert.deepEqual(odeTimes({ steps: 2, shift: 3 }), [0, 0.75, 1]);
 * ```
 */
export function odeTimes(
  { steps, shift = 1, interval = FULL_INTERVAL }: OdeTimesOptions,
): number[] {
  requireCount("Cannot make time grid: steps", steps, 1);
  return linspace(interval, steps + 1).map((t) => shiftTime(t, shift));
}

/**
 * Returns the time grid of an SDE sampler that ends in one noiseless step: `steps + 1` times,
 * `steps - 1` noisy steps over the interval and the last step from its end to 1.
 *
 * The interval's end is 1 minus the size of the last step, as `sampleInterval` returns it; official
 * sizes are 0.04 (SiT, REPA) and 0.004 (GMem). `num_steps = n` of the official SiT, GMem and REPA
 * code is `steps: n` here, and REPA's own grid, from its time 1 (noise) to 0.04 and then 0, is this
 * one read as 1 - t. An SDE without a last step has `odeTimes` for its grid.
 *
 * @param options Number of steps, and the interval.
 * @throws {RangeError} If steps is not an integer of at least 2, or the interval leaves no room for
 * the last step.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sdeTimes } from "@gmem/gmem";
 *
 * assert.deepEqual(sdeTimes({ steps: 3, interval: [0, 0.96] }), [0, 0.48, 0.96, 1]);
 * ```
 */
export function sdeTimes({ steps, interval }: SdeTimesOptions): number[] {
  if (interval[1] >= 1) {
    throw new RangeError(
      `Cannot make time grid: the interval ends at ${interval[1]}, ` +
        "expected an end below 1 that leaves room for the last step",
    );
  }
  requireCount("Cannot make time grid with a last step: steps", steps, 2);
  return [...linspace(interval, steps), 1];
}
