/**
 * Everything that is measured of two sets of features.
 *
 * @module
 */

import { selectRows, spreadIndices } from "../bank/select_rows.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { permutation } from "../kernels/core/random.ts";
import { bootstrapFrechet, type Estimate, estimateShare } from "./bootstrap.ts";
import { distanceDevice } from "./distances.ts";
import { frechetDistance, type Gaussian, GaussianStatistics } from "./frechet.ts";
import { precisionRecall } from "./manifold.ts";

/** Rows that are copied at once. */
const COPIED_ROWS = 4096;

/** What {@linkcode compareFeatures} compares. */
export interface FeatureSets {
  /** Features of the samples [n, d]. */
  readonly samples: Float32Array;
  /** Features of the reference [N, d]; without them there are no precision and recall. */
  readonly reference?: Float32Array | undefined;
  /** Mean and covariance that the reference is known by; those of its features by default. */
  readonly statistics?: Gaussian | undefined;
}

/** Options of {@linkcode compareFeatures}. */
export interface CompareFeaturesOptions {
  /** Components d of a feature. */
  readonly dim: number;
  /** Takes the products of distances, where there are many. */
  readonly device?: Device | undefined;
  /** Which nearest neighbour gives a radius; 3 by default. */
  readonly neighbours?: number | undefined;
  /** Resamples for the interval of the Fréchet distance; 100 by default, 0 for none. */
  readonly resamples?: number | undefined;
  /**
   * Measure parts of the reference against each other as well, which takes two decompositions more;
   * `true` by default.
   */
  readonly chance?: boolean | undefined;
  /** Seed of everything random; 0 by default. */
  readonly seed?: number | undefined;
  /** Called with how much is done, and 1, which is all of it. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What chance makes of a distance, by two parts of the reference that are measured against each other. */
export interface ChanceDistance {
  /** Their Fréchet distance, brought to the number of the samples and of the whole reference. */
  readonly value: number;
  /** Vectors of the one part; the other has the rest. */
  readonly count: number;
}

/** What {@linkcode compareFeatures} finds. */
export interface FeatureComparison {
  /** Number n of samples. */
  readonly samples: number;
  /** Number N of references; undefined where statistics alone are known. */
  readonly reference: number | undefined;
  /** Components d. */
  readonly dim: number;
  /** Fréchet distance of the samples to the reference. */
  readonly frechet: Estimate;
  /** Share of the samples within the reference's manifold. */
  readonly precision: Estimate | undefined;
  /** Share of the reference within the samples' manifold. */
  readonly recall: Estimate | undefined;
  /** What n others of the reference's kind would have; undefined where it has no features. */
  readonly chance: ChanceDistance | undefined;
  /** What a person should know of the numbers. */
  readonly warnings: readonly string[];
}

/** Share of the progress that the distances take, the rest being resampling. */
const MANIFOLD_SHARE = 0.5;

/** References that make a manifold: as many as ADM's batches hold. Time grows with their square. */
const MOST_IN_MANIFOLD = 10_000;

/** Neighbours that make a manifold, by default. */
const NEIGHBOURS = 3;

/** The least number of vectors for the third neighbour and a covariance, with one to spare. */
const FEWEST = 5;

/** Throws a RangeError unless there are enough vectors of a set to measure by that many neighbours. */
export function requireVectors(count: number, name: string, neighbours: number = NEIGHBOURS): void {
  const fewest = Math.max(FEWEST, neighbours + 1);
  if (count >= fewest) return;
  throw new RangeError(`Cannot measure ${counted(count, name)}: expected at least ${fewest}`);
}

/**
 * Measures samples against a reference: Fréchet distance, precision and recall, each with a 95 %
 * interval, and the Fréchet distance that as many others of the reference's kind would have. That last one
 * tells the bias: it would be 0 for endless sets. Of more than 10,000 references 10,000 are taken for
 * precision and recall, spread evenly.
 *
 * Throws a RangeError if a set has fewer than five vectors or a value is not finite, and a TypeError
 * if a set is not of whole vectors.
 *
 * @example
 * ```ts
 * import { compareFeatures } from "@gmem/gmem";
 *
 * const samples = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i));
 * const reference = Float32Array.from({ length: 96 }, (_, i) => Math.cos(i * i));
 * const { frechet } = await compareFeatures({ samples, reference }, { dim: 2 });
 * console.log(frechet.value < 0.2); // true
 * ```
 */
export async function compareFeatures(
  sets: FeatureSets,
  options: CompareFeaturesOptions,
): Promise<FeatureComparison> {
  const { samples, reference } = sets;
  const { dim, device, neighbours = NEIGHBOURS, resamples = 100, seed = 0, onProgress } = options;
  for (const { length } of reference ? [samples, reference] : [samples]) {
    if (length % dim === 0) continue;
    throw new TypeError(`Cannot measure ${length} numbers: expected vectors of ${dim}`);
  }
  const n = samples.length / dim, size = reference && reference.length / dim;
  for (const [name, count] of [["sample", n], ["reference", size]] as const) {
    if (count !== undefined) requireVectors(count, name, neighbours);
  }
  const statistics = sets.statistics ??
    (reference && new GaussianStatistics(dim).add(reference));
  if (statistics === undefined) {
    throw new TypeError("Cannot measure samples without a reference: expected its features");
  }
  const near = reference && spreadRows(reference, { count: MOST_IN_MANIFOLD, dim });
  const most = Math.max(n, near ? near.length / dim : 0);
  const manifold = near && await precisionRecall({ samples, reference: near }, {
    dim,
    neighbours,
    device: distanceDevice(device, { rows: most, columns: most, dim }),
    onProgress: (done, total) => onProgress?.(MANIFOLD_SHARE * done / total, 1),
  });
  const frechet = bootstrapFrechet(samples, {
    resamples,
    seed,
    reference: statistics,
    onProgress: (done, total) =>
      onProgress?.(MANIFOLD_SHARE + (1 - MANIFOLD_SHARE) * done / total, 1),
  });
  const chance = reference && (options.chance ?? true)
    ? chanceDistance(reference, { dim, count: n, seed })
    : undefined;
  return {
    samples: n,
    reference: size,
    dim,
    frechet,
    precision: manifold && estimateShare(manifold.sampleInside),
    recall: manifold && estimateShare(manifold.referenceInside),
    chance,
    warnings: warningsOf({ n, size, dim, chance }),
  };
}

/** At most `count` rows of a table [N, dim], spread evenly. */
function spreadRows(
  table: Float32Array,
  { count, dim }: { count: number; dim: number },
): Float32Array {
  const size = table.length / dim;
  return size <= count
    ? table
    : selectRows(table, { indices: spreadIndices(count, size), width: dim });
}

/**
 * The Fréchet distance that n = `count` new vectors of one distribution with a set [N, d] would have to it, by
 * parts of the set: the distance of m of its vectors, n or at most half of them and chosen by the seed (0 by
 * default), to the N − m others. Two sets of one distribution are apart by about a constant times the sum of 1
 * over their numbers (Chong and Forsyth 2020), and parts are smaller than what is measured: their distance times
 * (1/n + 1/N) / (1/m + 1/(N − m)) is given.
 *
 * That holds to first order. Simulated normal vectors of 16 to 128 components are as far as it says, to a
 * twentieth, where the parts have more vectors than components. Where they have fewer and n is above N/2, it is
 * too low: 100 of 128 components are 1.3 times as far from 100 others, and 40 are 1.6 times as far from 40.
 *
 * Throws a RangeError for a set of fewer than four.
 *
 * @example
 * ```ts
 * import { chanceDistance } from "@gmem/gmem";
 *
 * const vectors = Float32Array.from({ length: 200 }, (_, i) => Math.sin(i * i));
 * const { value, count } = chanceDistance(vectors, { dim: 1, count: 500, seed: 0 });
 * console.log(value.toFixed(4), count); // 0.0025 100 are half of them
 * ```
 */
export function chanceDistance(
  vectors: Float32Array,
  options: { readonly dim: number; readonly count: number; readonly seed?: number | undefined },
): ChanceDistance {
  const { dim, seed = 0 } = options;
  const size = vectors.length / dim, count = Math.min(options.count, Math.floor(size / 2));
  if (size < 4) {
    throw new RangeError(`Cannot split ${counted(size, "vector")}: expected at least four`);
  }
  const order = permutation(size, seed, 1);
  const statisticsOf = (indices: Uint32Array) => {
    const statistics = new GaussianStatistics(dim);
    for (let first = 0; first < indices.length; first += COPIED_ROWS) {
      const some = indices.subarray(first, first + COPIED_ROWS);
      statistics.add(selectRows(vectors, { indices: some, width: dim }));
    }
    return statistics;
  };
  const [chosen, others] = [order.subarray(0, count), order.subarray(count)].map(statisticsOf);
  const spread = (n: number, m: number) => 1 / n + 1 / m;
  const scale = spread(options.count, size) / spread(count, size - count);
  return { value: scale * frechetDistance(chosen!, others!), count };
}

function warningsOf(
  sets: { n: number; size: number | undefined; dim: number; chance: ChanceDistance | undefined },
): string[] {
  const { n, size, dim, chance } = sets;
  const bias = chance === undefined
    ? ""
    : `; by chance it would be about ${chance.value.toPrecision(3)}`;
  return [["samples", n] as const, ["reference images", size] as const]
    .filter(([, count]) => count !== undefined && count <= dim)
    .map(([name, count]) =>
      `${count} ${name} for ${dim} components: their covariance has rank ` +
      `${count! - 1} at most, and the Fréchet distance comes out too large, by about a constant ` +
      `over their number${bias}`
    );
}
