/**
 * The sinusoidal embedding of times.
 *
 * @module
 */

import cosSin from "../common/cos_sin.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./embed_time.wgsl.ts";

const EMBED_TIME = new Kernel({ source, includes: [cosSin] });

/** Options of {@linkcode embedTime}. */
export interface EmbedTimeOptions {
  /** Numbers that describe one time; default 256. */
  readonly width?: number | undefined;
  /** The longest period divided by 2π; default 10000. */
  readonly maxPeriod?: number | undefined;
}

/**
 * Describes times by waves of many lengths: [cos(t f_k)] ++ [sin(t f_k)] with
 * f_k = maxPeriod^(−k / half) for k < half = ⌊width / 2⌋; an odd width ends with a zero (Vaswani et
 * al., arXiv 1706.03762, section 3.5, with the cosines first, as DiT has them). `t` [B], result
 * [B, width]. Not differentiated.
 *
 * The error is at most 2^-22 (1 + |t f_k|) up to |t f_k| = 3000 and a width of 8192.
 *
 * Throws `TypeError` when `t` has more than one axis, and `RangeError` for a width below 2 or a
 * period outside 1 <= maxPeriod < 2^126.
 *
 * @example
 * ```ts
 * import { Device, embedTime } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using t = device.tensor(Float32Array.of(0), [1]);
 * using embedded = embedTime(t, { width: 5 }); // two cosines, two sines, a zero
 * console.log(embedded.shape, await embedded.read()); // [ 1, 5 ] Float32Array(5) [ 1, 1, 0, 0, 0 ]
 * ```
 */
export function embedTime(t: Tensor, options: EmbedTimeOptions = {}): Tensor {
  const { width = 256, maxPeriod = 10000 } = options;
  if (t.shape.length !== 1) {
    throw new TypeError(`Cannot embed times ${formatShape(t.shape)}: expected shape [B]`);
  }
  if (!Number.isInteger(width) || width < 2) {
    throw new RangeError(`Cannot embed times: the width is ${width}, expected an integer above 1`);
  }
  if (!(maxPeriod >= 1 && maxPeriod < 2 ** 126)) {
    throw new RangeError(
      `Cannot embed times: maxPeriod is ${maxPeriod}, expected 1 <= maxPeriod < 2^126`,
    );
  }
  const { device } = t;
  const batch = t.elements, half = Math.floor(width / 2);
  const rate = Math.log2(maxPeriod) / half;
  const rateHigh = roundToBits(rate, 12);
  const out = device.empty([batch, width]);
  device.dispatch(EMBED_TIME, {
    tensors: { t, out },
    params: { batch, width, rate_high: rateHigh, rate_low: rate - rateHigh },
    workgroups: spreadWorkgroups(Math.ceil(batch * half / 64)),
  });
  return out;
}

function roundToBits(x: number, bits: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(x)) + 1 - bits);
  return Math.round(x / unit) * unit;
}
