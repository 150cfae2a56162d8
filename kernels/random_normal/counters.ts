/**
 * Philox counters of a batch as the kernels take them.
 *
 * @module
 */

import { Random, type Stream } from "../core/random.ts";

/** Which random numbers a kernel draws for a batch; see {@linkcode Random}. */
export interface RandomNormalOptions {
  /** Seed of the run, 0 <= seed < 2^64. */
  readonly seed: number | bigint;
  /** What the numbers are for. */
  readonly stream: Stream;
  /** Training or sampling step, below 2^32. */
  readonly step: number;
  /** Identity of the batch's first sample; the others follow. */
  readonly firstSample: number;
}

/**
 * The fields of `Params` by which a kernel finds the counters of `samples` samples.
 *
 * Throws `RangeError` when a step or sample does not fit 32 bits, and what {@linkcode Random} throws
 * for the seed.
 */
export function counterParams(
  options: RandomNormalOptions,
  samples: number,
): Record<"key_low" | "key_high" | "stream" | "step" | "first_sample", number> {
  const { seed, stream, step, firstSample } = options;
  const { key } = new Random(seed, stream);
  if (step >>> 0 !== step) {
    throw new RangeError(
      `Cannot draw random numbers: the step is ${step}, expected an integer with 0 <= step < 2^32`,
    );
  }
  if (firstSample >>> 0 !== firstSample || firstSample + samples > 2 ** 32) {
    throw new RangeError(
      `Cannot draw random numbers: the samples are ${samples} from ${firstSample} on, ` +
        "expected integers with 0 <= sample < 2^32",
    );
  }
  return { key_low: key[0], key_high: key[1], stream, step, first_sample: firstSample };
}
