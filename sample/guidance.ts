/**
 * Classifier-free guidance, as a wrapper of networks: no sampler knows of it.
 *
 * @module
 */

import { guide } from "../kernels/guide/mod.ts";
import { FULL_INTERVAL, type TimeInterval } from "../model/interpolants/time.ts";
import type { Network } from "./network.ts";

/** How far, when and where {@linkcode guided} pulls. */
export interface GuidedOptions {
  /** 1 is the conditional prediction itself, above 1 goes past it, away from the unconditional. */
  readonly scale: number;
  /** Times between which guidance applies, both included. Default all of [0, 1]. */
  readonly interval?: TimeInterval | undefined;
  /**
   * Channels that are guided, all or the first few (all where there are no more). Default all; the
   * released SiT and LightningDiT guide the first 3 only, a remnant of DiT.
   */
  readonly channels?: "all" | number | undefined;
}

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

/**
 * A network that is guided away from another: u + scale (c - u) with the conditional prediction c and
 * the unconditional u, both of states [B, C, H, W].
 *
 * Outside of the interval, and where the scale is 1, it is the conditional network alone: one
 * evaluation of B images in place of one of 2 B. Not differentiated where it guides: for a gradient combine the
 * predictions of two networks.
 *
 * @param conditional The network under the condition that is wanted.
 * @param both The network under the condition and then under the null class or the empty snippet, as
 * one batch: states [B, C, H, W] to predictions [2 B, C, H, W].
 * @param options Scale, interval and channels.
 * @throws {RangeError} If the scale is not finite, or the interval ends before it starts.
 *
 * @example
 * ```ts
 * import { concatenate, Device, guided } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // The conditional prediction is 2 x, the unconditional one x: 1 + 1.5 (2 − 1) = 2.5.
 * const network = guided(
 *   (x) => combine([[x, 2]]),
 *   (x) => concatenate(combine([[x, 2]]), x),
 *   { scale: 1.5, interval: [0.11, 1] },
 * );
 * using early = network(x, 0), late = network(x, 0.5);
 * console.log(await early.read(), await late.read());
 * // Float32Array(1) [ 2 ] Float32Array(1) [ 2.5 ]
 * ```
 */
export function guided(conditional: Network, both: Network, options: GuidedOptions): Network {
  const { scale, interval = FULL_INTERVAL, channels = "all" } = options;
  if (!Number.isFinite(scale)) {
    throw new RangeError(`Cannot guide: the scale is ${scale}, expected a finite number`);
  }
  if (!(interval[0] <= interval[1])) {
    throw new RangeError(
      `Cannot guide: the interval is [${interval}], expected start and then end`,
    );
  }
  if (scale === 1) return conditional;
  return (x, t) => {
    if (!guidanceActive(t, interval)) return conditional(x, t);
    const first = channels === "all" ? channels : Math.min(channels, x.shape[1] ?? 0);
    return guide(both(x, t), { scale, channels: first });
  };
}
