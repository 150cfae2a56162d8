/**
 * The Fréchet distance between two sets of vectors, as FID measures it.
 *
 * @module
 */

import { symmetricEigen } from "../bank/eigen.ts";
import { Moments } from "../bank/moments.ts";
import { dotProduct, meanRow } from "../bank/projection.ts";
import { selectRows, swapAxes } from "../bank/select_rows.ts";
import { counted, requireCount } from "../kernels/core/counted.ts";

/** Mean and covariance of a set of vectors, however they are known. */
export interface Gaussian {
  /** Components d of a vector. */
  readonly dim: number;
  /** The mean [d]. */
  mean(): Float64Array;
  /** The unbiased covariance [d, d]. */
  covariance(): Float64Array;
}

/**
 * Mean and covariance of a set of vectors, gathered in a stream, in float64. Memory: d² numbers,
 * 32 MiB for the 2,048 features of Inception, however many vectors there are.
 *
 * @example
 * ```ts
 * import { GaussianStatistics } from "@gmem/gmem";
 *
 * const statistics = new GaussianStatistics(2).add(Float32Array.of(0, 1, 2, 1));
 * console.log(statistics.mean(), statistics.covariance());
 * // Float64Array(2) [ 1, 1 ] Float64Array(4) [ 2, 0, 0, 0 ]
 * ```
 */
export class GaussianStatistics implements Gaussian {
  /** Components d of a vector. */
  readonly dim: number;
  readonly #moments: Moments;

  /** Starts empty. Throws a RangeError unless the length is a whole number from 1. */
  constructor(dim: number) {
    requireCount("Cannot gather statistics: dim", dim, 1);
    this.dim = dim;
    this.#moments = new Moments(dim);
  }

  /** Vectors seen so far. */
  get count(): number {
    return this.#moments.count;
  }

  /**
   * Adds vectors [n, d].
   *
   * Throws a TypeError if the values are not whole vectors, and a RangeError that names the vector if
   * a value is not finite.
   */
  add(vectors: Float32Array | Float64Array): this {
    requireWholeVectors(vectors, { dim: this.dim, firstIndex: this.count });
    this.#moments.add(vectors);
    return this;
  }

  /** The mean [d]. */
  mean(): Float64Array {
    return this.#moments.mean();
  }

  /** The unbiased covariance [d, d]; `RangeError` with fewer than two vectors. */
  covariance(): Float64Array {
    const { count } = this;
    requireTwo(count);
    const factor = count / (count - 1);
    return this.#moments.covariance().map((value) => value * factor);
  }
}

/**
 * Mean [d] and covariance [d, d] that are known from elsewhere, such as `mu` and `sigma` of ADM's
 * reference batches.
 *
 * Throws a TypeError if they do not fit each other, and a RangeError if a value is not finite or the
 * covariance is not symmetric to a millionth of its largest value.
 *
 * @example
 * ```ts
 * import { frechetDistance, knownGaussian } from "@gmem/gmem";
 *
 * const mean = Float64Array.of(0, 0), covariance = Float64Array.of(1, 0, 0, 4);
 * const a = knownGaussian({ mean, covariance });
 * const b = knownGaussian({ mean: Float64Array.of(3, 0), covariance });
 * console.log(frechetDistance(a, b)); // 9
 * ```
 */
export function knownGaussian(
  known: { readonly mean: Float64Array; readonly covariance: Float64Array },
): Gaussian {
  const { mean, covariance } = known;
  const dim = mean.length;
  if (dim === 0 || covariance.length !== dim * dim) {
    throw new TypeError(
      `Cannot use a covariance of ${covariance.length} values with a mean of ${dim}: ` +
        "expected d² and d, at least 1",
    );
  }
  for (const [name, values] of Object.entries({ mean, covariance })) {
    const wrong = values.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) {
      throw new RangeError(
        `Cannot use a ${name} that holds ${values[wrong]} at ${wrong}: expected finite numbers`,
      );
    }
  }
  const largest = covariance.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j < i; j++) {
      const difference = Math.abs(covariance[i * dim + j]! - covariance[j * dim + i]!);
      if (difference > 1e-6 * largest) {
        throw new RangeError(
          `Cannot use a covariance whose values at ${i}, ${j} and ${j}, ${i} differ by ` +
            `${difference}: expected a symmetric matrix`,
        );
      }
    }
  }
  return { dim, mean: () => mean, covariance: () => covariance };
}

/**
 * |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½), the squared 2-Wasserstein distance of two
 * Gaussians (Heusel et al. 2017, equation 6; Dowson and Landau 1982). Symmetric
 * eigen-decompositions, so no root of a general matrix can go astray.
 *
 * Throws a TypeError if the vectors differ in length.
 *
 * @example
 * ```ts
 * import { frechetDistance, GaussianStatistics } from "@gmem/gmem";
 *
 * const a = new GaussianStatistics(1).add(Float32Array.of(0, 1, 2));
 * const b = new GaussianStatistics(1).add(Float32Array.of(3, 5, 7));
 * console.log(frechetDistance(a, b)); // 17: means 4 apart, deviations 1
 * ```
 */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  requireSameLength(a, b);
  return new FrechetReference(a).distanceTo(b);
}

/**
 * A Gaussian that several others are measured against by {@linkcode frechetDistance}: its root is taken
 * once. Memory: d² numbers.
 *
 * @example
 * ```ts
 * import { FrechetReference, GaussianStatistics } from "@gmem/gmem";
 *
 * const reference = new FrechetReference(new GaussianStatistics(1).add(Float32Array.of(0, 1, 2)));
 * for (const shift of [0, 4]) {
 *   const moved = new GaussianStatistics(1).add(Float32Array.of(shift, 1 + shift, 2 + shift));
 *   console.log(reference.distanceTo(moved)); // 0 16
 * }
 * ```
 */
export class FrechetReference {
  /** Components d of a vector. */
  readonly dim: number;
  readonly #mean: Float64Array;
  readonly #trace: number;
  /**
   * W [r, d], whose rows are √λ v for every eigenvalue λ above rounding: W Σ₂ Wᵀ has the eigenvalues
   * of Σ₁^½ Σ₂ Σ₁^½ that are not zero, in a smaller matrix where Σ₁ has not the full rank.
   */
  readonly #root: Float64Array;

  /**
   * Decomposes the covariance; 2·d³ operations or so, half a minute for d = 2,048. Throws what `covariance`
   * of the reference throws.
   */
  constructor(reference: Gaussian) {
    const { dim } = reference;
    this.dim = dim;
    this.#mean = reference.mean();
    const covariance = reference.covariance();
    this.#trace = trace(covariance, dim);
    const { values, vectors } = symmetricEigen(covariance, dim);
    const least = Math.max(0, values[0]!) * dim * Number.EPSILON;
    const rank = values.filter((value) => value > least).length;
    this.#root = vectors.slice(0, rank * dim);
    for (let k = 0; k < rank; k++) {
      const scale = Math.sqrt(values[k]!);
      for (let i = 0; i < dim; i++) this.#root[k * dim + i]! *= scale;
    }
  }

  /**
   * Returns the distance to another Gaussian, as {@linkcode frechetDistance} does.
   *
   * Throws a TypeError if its vectors have another length.
   */
  distanceTo(other: Gaussian): number {
    requireSameLength(this, other);
    const { dim } = this, rank = this.#root.length / dim;
    const covariance = other.covariance();
    const scaled = product(this.#root, covariance, { rows: rank, inner: dim, columns: dim });
    const middle = product(scaled, swapAxes(this.#root, { rows: rank, columns: dim }), {
      rows: rank,
      inner: dim,
      columns: rank,
    });
    return this.#distance({ mean: other.mean(), trace: trace(covariance, dim), middle });
  }

  /**
   * Returns what gives the distance to vectors [n, d], or to those of them at some indices, which may repeat.
   * It is that to their statistics. Where the vectors are no more than the dimensions of Σ₁, it takes O(n d²) once
   * and then O(n³) in place of O(d³): X Σ₁ Xᵀ of the centred vectors has the eigenvalues of Σ₁^½ XᵀX Σ₁^½ that
   * are not zero.
   *
   * Throws a TypeError if the values are not whole vectors, and a RangeError that names the vector if a value is
   * not finite; what is returned throws a RangeError for fewer than two, and for an index that there is not.
   *
   * @example
   * ```ts
   * import { FrechetReference, GaussianStatistics } from "@gmem/gmem";
   *
   * const reference = new FrechetReference(new GaussianStatistics(1).add(Float32Array.of(0, 1, 2)));
   * const distance = reference.distancesTo(Float32Array.of(3, 5, 7));
   * console.log(distance(), distance(Uint32Array.of(0, 0, 1))); // 17 of all, and of one of them twice
   * ```
   */
  distancesTo(vectors: Float32Array): (indices?: Uint32Array) => number {
    const { dim } = this, rank = this.#root.length / dim, count = vectors.length / dim;
    requireWholeVectors(vectors, { dim, firstIndex: 0 });
    if (count > rank) {
      return (indices) => {
        requireIndices(indices, count);
        const chosen = indices ? selectRows(vectors, { indices, width: dim }) : vectors;
        return this.distanceTo(new GaussianStatistics(dim).add(chosen));
      };
    }
    // Around their mean, so that a mean far from zero does not cancel the digits of what follows.
    const centre = meanRow(vectors, dim);
    const rows = Float64Array.from(vectors, (value, i) => value - centre[i % dim]!);
    const scaled = product(rows, swapAxes(this.#root, { rows: rank, columns: dim }), {
      rows: count,
      inner: dim,
      columns: rank,
    });
    const products = product(scaled, swapAxes(scaled, { rows: count, columns: rank }), {
      rows: count,
      inner: rank,
      columns: count,
    });
    return (indices) => {
      requireIndices(indices, count);
      const weights = new Float64Array(count).fill(indices ? 0 : 1);
      for (const index of indices ?? []) weights[index]!++;
      return this.#distance(gaussianOf({ rows, products, centre, weights }));
    };
  }

  #distance(other: Scaled): number {
    let distance = this.#trace + other.trace;
    for (let i = 0; i < this.dim; i++) distance += (this.#mean[i]! - other.mean[i]!) ** 2;
    const size = Math.sqrt(other.middle.length);
    if (size > 0) {
      for (const value of symmetricEigen(other.middle, size).values) {
        distance -= 2 * Math.sqrt(Math.max(value, 0));
      }
    }
    // Rounding may leave a small negative number where both sets are the same.
    return Math.max(distance, 0);
  }
}

/** A Gaussian as a reference needs it. */
interface Scaled {
  /** Its mean [d]. */
  readonly mean: Float64Array;
  /** The trace of its covariance Σ₂. */
  readonly trace: number;
  /** A square matrix with the eigenvalues of Σ₁^½ Σ₂ Σ₁^½ that are not zero. */
  readonly middle: Float64Array;
}

/**
 * The Gaussian of vectors that count as often as their weights say, of which X [n, d] and X Σ₁ Xᵀ [n, n] are given
 * for X around `centre`.
 */
function gaussianOf(
  vectors: {
    readonly rows: Float64Array;
    readonly products: Float64Array;
    readonly centre: Float64Array;
    readonly weights: Float64Array;
  },
): Scaled {
  const { rows, products, centre, weights } = vectors;
  const dim = centre.length, count = weights.length;
  const number = weights.reduce((sum, weight) => sum + weight, 0);
  requireTwo(number);
  const mean = new Float64Array(dim), toMean = new Float64Array(count);
  let squares = 0;
  for (const [i, weight] of weights.entries()) {
    const row = rows.subarray(i * dim, (i + 1) * dim);
    addScaled(mean, row, weight / number);
    addScaled(toMean, products.subarray(i * count, (i + 1) * count), weight / number);
    squares += weight * dotProduct(row, row);
  }
  const ofMean = dotProduct(toMean, weights) / number;
  const chosen = Array.from(weights.keys()).filter((i) => weights[i]! > 0);
  const middle = new Float64Array(chosen.length ** 2);
  for (const [row, i] of chosen.entries()) {
    for (const [column, j] of chosen.entries()) {
      middle[row * chosen.length + column] = Math.sqrt(weights[i]! * weights[j]!) / (number - 1) *
        (products[i * count + j]! - toMean[i]! - toMean[j]! + ofMean);
    }
  }
  const trace = (squares - number * dotProduct(mean, mean)) / (number - 1);
  return { mean: mean.map((value, i) => value + centre[i]!), trace, middle };
}

function requireIndices(indices: Uint32Array | undefined, count: number): void {
  const wrong = indices?.find((index) => index >= count);
  if (wrong === undefined) return;
  throw new RangeError(`Cannot choose vector ${wrong}: expected an index below ${count}`);
}

function requireTwo(count: number): void {
  if (count >= 2) return;
  throw new RangeError(`Cannot give a covariance of ${counted(count, "vector")}: expected two`);
}

/** Throws for values that are not whole vectors [d], and for the first vector with one that is not finite. */
function requireWholeVectors(
  vectors: Float32Array | Float64Array,
  options: { readonly dim: number; readonly firstIndex: number },
): void {
  const { dim } = options;
  if (vectors.length % dim !== 0) {
    throw new TypeError(`Cannot use ${vectors.length} values: expected vectors of ${dim}`);
  }
  requireFinite(vectors, options);
}

/** Throws a RangeError that names the first vector [d] with a value that is not finite. */
export function requireFinite(
  vectors: Float32Array | Float64Array,
  options: { readonly dim: number; readonly firstIndex: number },
): void {
  const { dim, firstIndex } = options;
  for (let i = 0; i < vectors.length; i++) {
    if (!Number.isFinite(vectors[i]!)) {
      throw new RangeError(
        `Cannot use features of image ${firstIndex + Math.floor(i / dim)}: component ${i % dim} ` +
          `is ${vectors[i]}, expected finite numbers`,
      );
    }
  }
}

function requireSameLength(a: { readonly dim: number }, b: { readonly dim: number }): void {
  if (a.dim !== b.dim) {
    throw new TypeError(
      `Cannot compare vectors of ${a.dim} and of ${b.dim}: expected one length, by one encoder`,
    );
  }
}

function trace(matrix: Float64Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += matrix[i * size + i]!;
  return sum;
}

function product(
  a: Float64Array,
  b: Float64Array,
  size: { readonly rows: number; readonly inner: number; readonly columns: number },
): Float64Array {
  const { rows, inner, columns } = size;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = out.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < inner; k++) {
      addScaled(row, b.subarray(k * columns, (k + 1) * columns), a[i * inner + k]!);
    }
  }
  return out;
}

/** A function of its own, which the compiler gets to see often enough to make it fast. */
function addScaled(out: Float64Array, x: Float64Array, factor: number): void {
  for (let i = 0; i < out.length; i++) out[i]! += factor * x[i]!;
}
