import type { TimeInterval } from "../model/interpolants/time.ts";

/**
 * Tells whether classifier-free guidance applies at a time: at both ends of the interval and
 * between them.
 *
 * Outside, the conditional output alone is used (LightningDiT's and GMem's `cfg_interval_start` is
 * the start; REPA's `guidance_low` and `guidance_high`, counted from the data, are 1 - end and 1 -
 * start). The comparison is exact, so an end that is meant to fall on a grid point is better placed
 * between two points.
 *
 * @param t Time in [0, 1]; 1 is data.
 * @param interval Where guidance applies.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { guidanceActive } from "./guidance.ts";
 *
 * assert.equal(guidanceActive(0.1, [0.11, 1]), false);
 * assert.equal(guidanceActive(0.2, [0.11, 1]), true);
 * ```
 */
export function guidanceActive(t: number, [start, end]: TimeInterval): boolean {
  return start <= t && t <= end;
}
