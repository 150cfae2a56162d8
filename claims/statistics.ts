/**
 * Numbers with 95 % intervals, by the bootstrap over samples.
 *
 * Whatever is measured of an arm (a set of samples) is measured again on resampled rows of it.
 * Arms of one size draw the same rows, so what is derived from two arms that share their noises and
 * conditions, such as their difference, has the interval of a paired comparison.
 *
 * @module
 */

import { selectRows } from "../bank/select_rows.ts";
import { quantile } from "../evaluate/bootstrap.ts";
import { type FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import { Random, Stream } from "../kernels/core/random.ts";

/** A measured number, and what it is on each of the resampled sets. */
export interface Estimate {
  /** The number on the samples as they are. */
  readonly value: number;
  /** The number on each resampling. */
  readonly replicates: Float64Array;
}

/** A measured number with its 95 % interval. */
export interface Interval {
  /** The number. */
  readonly value: number;
  /** Lower end: 2.5 % of the resampled numbers are below. */
  readonly low: number;
  /** Upper end: 2.5 % of the resampled numbers are above. */
  readonly high: number;
}

/** The 95 % percentile interval of an estimate. */
export function intervalOf({ value, replicates }: Estimate): Interval {
  return { value, low: quantile(replicates, 0.025), high: quantile(replicates, 0.975) };
}

/** A number computed from others, on the samples and on every resampling. */
export function derive(
  estimates: readonly Estimate[],
  compute: (...values: number[]) => number,
): Estimate {
  const count = Math.min(...estimates.map(({ replicates }) => replicates.length));
  return {
    value: compute(...estimates.map(({ value }) => value)),
    replicates: Float64Array.from(
      { length: count },
      (_, i) => compute(...estimates.map(({ replicates }) => replicates[i]!)),
    ),
  };
}

/** `first` − `second`. */
export function difference(first: Estimate, second: Estimate): Estimate {
  return derive([first, second], (a, b) => a - b);
}

/** The rows that every resampling of `units` samples takes. */
export class Bootstrap {
  readonly #rows: readonly Uint32Array[];
  readonly #units: number;

  /** Draws, for each of `replicates`, as many rows of `units` with replacement. */
  constructor(options: { units: number; replicates: number; seed: number }) {
    const { units, replicates, seed } = options;
    const random = new Random(seed, Stream.Bootstrap);
    this.#units = units;
    this.#rows = Array.from(
      { length: replicates },
      (_, replicate) =>
        Uint32Array.from(
          { length: units },
          (_, unit) => Math.floor(units * random.uniform(replicate, unit, units)),
        ),
    );
  }

  /** The mean of one value for each unit. */
  mean(values: ArrayLike<number>): Estimate {
    if (values.length !== this.#units) {
      throw new TypeError(`Cannot resample ${values.length} values: expected ${this.#units}`);
    }
    const meanOf = (rows: Iterable<number>) => {
      let sum = 0;
      for (const row of rows) sum += values[row]!;
      return sum / this.#units;
    };
    return {
      value: meanOf(Array(this.#units).keys()),
      replicates: Float64Array.from(this.#rows, meanOf),
    };
  }

  /**
   * The Fréchet distance of vectors [units · m, dim] to a reference, which is not resampled; the m
   * vectors of a unit, which follow each other, are drawn together.
   *
   * A set of n samples lies too far from the reference by an amount that depends on n, and resampled
   * sets by about that much once more. What resampling adds on average is taken off the replicates,
   * so that the interval belongs to the distance as measured on n samples.
   */
  frechet(vectors: Float32Array, reference: FrechetReference): Estimate {
    const { dim } = reference;
    const width = vectors.length / this.#units;
    if (!Number.isInteger(width / dim) || width === 0) {
      throw new TypeError(
        `Cannot resample ${vectors.length} values: expected vectors of ${dim} for each of ` +
          `${this.#units} units`,
      );
    }
    const distance = (sample: Float32Array) =>
      reference.distanceTo(new GaussianStatistics(dim).add(sample));
    const value = distance(vectors);
    const replicates = Float64Array.from(
      this.#rows,
      (indices) => distance(selectRows(vectors, { indices, width })),
    );
    const mean = replicates.reduce((sum, each) => sum + each, 0) /
      replicates.length;
    return { value, replicates: replicates.map((each) => each - mean + value) };
  }
}
