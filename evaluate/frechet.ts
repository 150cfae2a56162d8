/**
 * The Fréchet distance between two sets of vectors, as FID measures it.
 *
 * @module
 */

import { symmetricEigen } from "../bank/eigen.ts";

/** Mean and covariance of a set of vectors, gathered in a stream, in float64. */
export class GaussianStatistics {
  /** Components of a vector. */
  readonly dim: number;
  readonly #sum: Float64Array;
  readonly #products: Float64Array;
  #count = 0;

  /** Starts empty. */
  constructor(dim: number) {
    this.dim = dim;
    this.#sum = new Float64Array(dim);
    this.#products = new Float64Array(dim * dim);
  }

  /** Vectors seen so far. */
  get count(): number {
    return this.#count;
  }

  /** Adds vectors [n, dim]. */
  add(vectors: Float32Array | Float64Array): this {
    const { dim } = this;
    if (vectors.length % dim !== 0) {
      throw new TypeError(`Cannot add ${vectors.length} values: expected vectors of ${dim}`);
    }
    for (let first = 0; first < vectors.length; first += dim) {
      for (let i = 0; i < dim; i++) {
        const value = vectors[first + i]!;
        this.#sum[i]! += value;
        for (let j = 0; j <= i; j++) this.#products[i * dim + j]! += value * vectors[first + j]!;
      }
      this.#count++;
    }
    return this;
  }

  /** The mean [dim]. */
  mean(): Float64Array {
    return this.#sum.map((sum) => sum / this.#count);
  }

  /** The unbiased covariance [dim, dim]; `RangeError` with fewer than two vectors. */
  covariance(): Float64Array {
    const { dim } = this, count = this.#count;
    if (count < 2) {
      throw new RangeError(`Cannot give a covariance of ${count} vectors: expected two`);
    }
    const mean = this.mean(), out = new Float64Array(dim * dim);
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j <= i; j++) {
        const value = (this.#products[i * dim + j]! - count * mean[i]! * mean[j]!) / (count - 1);
        out[i * dim + j] = out[j * dim + i] = value;
      }
    }
    return out;
  }
}

/**
 * |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½), the squared 2-Wasserstein distance of two
 * Gaussians (Heusel et al. 2017). Symmetric eigen-decompositions, so no root of a general matrix
 * can go astray.
 */
export function frechetDistance(a: GaussianStatistics, b: GaussianStatistics): number {
  if (a.dim !== b.dim) throw new TypeError(`Cannot compare vectors of ${a.dim} and of ${b.dim}`);
  const { dim } = a;
  const meanA = a.mean(), meanB = b.mean();
  let distance = 0;
  for (let i = 0; i < dim; i++) distance += (meanA[i]! - meanB[i]!) ** 2;
  const covarianceA = a.covariance(), covarianceB = b.covariance();
  for (let i = 0; i < dim; i++) distance += covarianceA[i * dim + i]! + covarianceB[i * dim + i]!;
  const root = symmetricRoot(covarianceA, dim);
  const middle = product(product(root, covarianceB, dim), root, dim);
  for (const value of symmetricEigen(middle, dim).values) {
    distance -= 2 * Math.sqrt(Math.max(value, 0));
  }
  // Rounding may leave a small negative number where both sets are the same.
  return Math.max(distance, 0);
}

function symmetricRoot(matrix: Float64Array, size: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, size);
  const out = new Float64Array(size * size);
  for (let k = 0; k < size; k++) {
    const root = Math.sqrt(Math.max(values[k]!, 0));
    for (let i = 0; i < size; i++) {
      const scaled = root * vectors[k * size + i]!;
      for (let j = 0; j < size; j++) out[i * size + j]! += scaled * vectors[k * size + j]!;
    }
  }
  return out;
}

function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const out = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const value = a[i * size + k]!;
      for (let j = 0; j < size; j++) out[i * size + j]! += value * b[k * size + j]!;
    }
  }
  return out;
}
