/**
 * Retrieval by the noise itself: the noise that an image starts from also says which snippet guides
 * it (GMem, figure 3, as its first release does it).
 *
 * @module
 */

import type { Bank } from "./bank.ts";
import { findFrequencyProblem } from "./records.ts";

/** What {@linkcode indexByNoise} is told beside the noise. */
export interface IndexByNoiseOptions {
  /** Number of noise images B. */
  readonly count: number;
  /** How often each of the N snippets is to be chosen, in any unit; at least one above 0. */
  readonly frequencies: ArrayLike<number>;
}

/**
 * Chooses a snippet for each noise image: standard normal `noise` [B, C, H, W] to indices [B]. The
 * image's quantile falls into the running sum of the frequencies' shares, so snippet i is chosen with
 * the probability of its frequency.
 *
 * Throws a TypeError if the noise is not whole images, and a RangeError if a frequency is negative or
 * not finite, or all are 0.
 *
 * @example
 * ```ts
 * import { indexByNoise } from "@gmem/gmem";
 *
 * const noise = Float32Array.of(0.5, 0.3, -0.5, -0.3); // two images [1, 1, 2]
 * console.log(indexByNoise(noise, { count: 2, frequencies: [1, 1, 1] }));
 * // Uint32Array(2) [ 2, 0 ]
 * ```
 */
export function indexByNoise(noise: Float32Array, options: IndexByNoiseOptions): Uint32Array {
  const { count, frequencies } = options;
  const problem = findFrequencyProblem(frequencies);
  if (problem !== undefined) throw new RangeError(`Cannot choose snippets: ${problem}`);
  const sums = new Float64Array(frequencies.length);
  let total = 0;
  for (let i = 0; i < sums.length; i++) sums[i] = total += frequencies[i]!;
  const last = sums.indexOf(total);
  return Uint32Array.from(noiseQuantiles(noise, count), (quantile) => {
    // A quantile that rounds to 1 still means the last snippet of any frequency.
    return Math.min(countUpTo(sums, quantile * total), last);
  });
}

/** How often retrieval by noise chooses each snippet of a bank [N]: equally often if the bank does not say. */
export function noiseFrequencies(bank: Pick<Bank, "size" | "frequencies">): ArrayLike<number> {
  return bank.frequencies ?? new Uint8Array(bank.size).fill(1);
}

/**
 * The quantile of each noise image among all: Φ(mean · √(C H W)), uniform on [0, 1] for standard normal
 * `noise` [B, C, H, W]. Returns [B].
 *
 * Throws a TypeError if the noise is not whole images.
 */
export function noiseQuantiles(noise: Float32Array, count: number): Float64Array {
  return noiseScores(noise, count).map(normalDistribution);
}

/**
 * The mean of each noise image times √(C H W), which is a standard normal number again: `noise`
 * [B, C, H, W] to [B].
 *
 * Throws a TypeError if the noise is not whole images.
 */
export function noiseScores(noise: Float32Array, count: number): Float64Array {
  const size = noise.length / count;
  if (!Number.isInteger(size) || size < 1) {
    throw new TypeError(
      `Cannot score noise of ${noise.length} values: expected ${count} images of equal size`,
    );
  }
  return Float64Array.from({ length: count }, (_, image) => {
    const values = noise.subarray(image * size, (image + 1) * size);
    return values.reduce((sum, value) => sum + value, 0) / Math.sqrt(size);
  });
}

/** Number of rising values that are at most `limit`, by bisection. */
function countUpTo(values: Float64Array, limit: number): number {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Φ, the standard normal distribution: its Taylor series where that is short (Marsaglia 2004), and
 * the continued fraction of the tail beyond (Abramowitz and Stegun 26.2.14). Good to 1e-14.
 */
function normalDistribution(x: number): number {
  const size = Math.abs(x);
  const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  if (size <= 3) {
    let sum = x;
    for (let term = x, k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
      sum += term *= x * x / k;
    }
    return 0.5 + density * sum;
  }
  let fraction = size;
  for (let k = 120; k > 0; k--) fraction = size + k / fraction;
  const tail = density / fraction;
  return x > 0 ? 1 - tail : tail;
}
