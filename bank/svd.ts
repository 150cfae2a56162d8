/**
 * Low-rank banks in numbers: the factors of GMem's equations 8 to 11.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import type { SnippetMix } from "./bank.ts";
import { symmetricEigen } from "./eigen.ts";
import { DeviceMoments, Moments } from "./moments.ts";
import { DeviceProjection, type Projection, projectRows } from "./projection.ts";
import { swapAxes } from "./select_rows.ts";
import { readRows, type SnippetSource } from "./snippet_source.ts";

/** What all snippets of a low-rank bank share. */
export interface SharedFactors {
  /** Mean snippet μ [d]. */
  readonly mean: Float32Array;
  /** Basis B = V S^½ [d, r]. */
  readonly basis: Float32Array;
  /** Singular values S [r], largest first, all positive. */
  readonly singularValues: Float32Array;
}

/** A low-rank bank: snippet i is c_i Bᵀ + μ, normalised. */
export interface LowRankFactors extends SharedFactors {
  /** Coefficients C = U S^½ [N, r]. */
  readonly coefficients: Float32Array;
}

/** How much {@linkcode factorize} keeps: a number of dimensions, or a share of the energy. */
export type KeptPart =
  | {
    /** Number of singular values r. */
    readonly rank: number;
  }
  | {
    /** Share of the sum of squared singular values, above 0 and at most 1: the least rank that has it. */
    readonly energy: number;
  };

/** Options of {@linkcode factorize}. */
export type FactorizeOptions = KeptPart & {
  /**
   * Computes the two large products; without one they are computed on the CPU in float64, which takes
   * minutes where a device takes seconds. Eigenvectors are computed on the CPU either way.
   */
  readonly device?: Device | undefined;
  /** Called with the number of rows read so far, and of all: 2 N, for it is read twice, N by `fitFactors`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
};

/** What {@linkcode factorize} returns. */
export interface Factorization extends LowRankFactors {
  /** Share of the sum of squared singular values that was kept. */
  readonly energy: number;
}

/** What {@linkcode fitFactors} returns. */
export interface FittedFactors {
  /** Mean, basis and singular values. */
  readonly shared: SharedFactors;
  /** Share of the sum of squared singular values that was kept. */
  readonly energy: number;
  /** Returns the coefficients [n, r] of snippets [n, d] of the source, by the CPU in float64. */
  project(rows: Float32Array): Float32Array;
  /**
   * Reads the source again and yields the coefficients [n, r] of all its snippets in order, by the
   * device that the factors were fitted with.
   */
  coefficients(): AsyncGenerator<CoefficientPiece>;
}

/** Coefficients of snippets that follow each other. */
export interface CoefficientPiece {
  /** Index of the first snippet. */
  readonly first: number;
  /** Number of snippets n. */
  readonly count: number;
  /** Coefficients [n, r]. */
  readonly coefficients: Float32Array;
}

/** Rows that are projected at once by a device: products of a tenth of a second to a wait of 12 ms. */
const PROJECTED_ROWS = 8192;

/** Bytes of rows that are projected at once, at most. */
const MOST_PROJECTED_BYTES = 2 ** 25;

/**
 * Least singular value, as a share of the largest: below, f32 snippets hold nothing but rounding, and
 * equation 10 would divide by it.
 */
const LEAST_SINGULAR_VALUE = 1e-6;

/**
 * The same where a device rounded products to f32: an eigenvalue is off by about 1e-6 of the largest, so
 * a singular value below 1e-3 of it may be nothing but that. All of them together are 1e-6 of the energy.
 */
const LEAST_DEVICE_SINGULAR_VALUE = 1e-3;

/**
 * Factors the snippets M [N, d] of a source: M − μ = U S Vᵀ, C = U S^½, B = V S^½ (GMem, section 4.3).
 *
 * The source is read twice and never held whole: once by {@linkcode fitFactors}, and once for
 * C = (M − μ) V S^-½. 2 N d² + 2 N d r operations, half as many on the CPU for the first. Memory is
 * that of {@linkcode fitFactors} and C itself, 4 N r bytes; `compressBank` writes C as it comes.
 *
 * Throws a RangeError if the rank is not from 1 to the number of singular values above 1e-6 of the
 * largest, 1e-3 with a device, if the energy is not above 0 and at most 1, or if all snippets are equal.
 *
 * @example
 * ```ts
 * import { factorize } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const { coefficients, energy } = await factorize({ size: 4, dim: 2, rows }, { rank: 1 });
 * console.log(coefficients.length, energy.toFixed(3)); // 4 0.929
 * ```
 */
export async function factorize(
  source: SnippetSource,
  options: FactorizeOptions,
): Promise<Factorization> {
  const { onProgress } = options, { size } = source;
  const { shared, energy, coefficients: pieces } = await fitFactors(source, {
    ...options,
    onProgress: (done) => onProgress?.(done, 2 * size),
  });
  const rank = shared.singularValues.length;
  const coefficients = new Float32Array(size * rank);
  for await (const { first, count, coefficients: piece } of pieces()) {
    coefficients.set(piece, first * rank);
    onProgress?.(size + first + count, 2 * size);
  }
  return { ...shared, coefficients, energy };
}

/**
 * Finds what all snippets of a low-rank bank share, without their coefficients: reads the source once,
 * for the d × d covariance, whose eigenvectors are V.
 *
 * Memory does not depend on N. It is 64 d² bytes for the covariance and its eigenvectors and, on the
 * CPU, one piece of 4,096 snippets: 50 MB for d = 768. With a device, pieces of n = 8,192 snippets and
 * s = 8 sums of products each lie on both sides, in the upload and in the download, 4 (6 n d + 4 s d²)
 * bytes more: 0.23 GB for d = 768, part of it the GPU's.
 *
 * The covariance is in float64, of products that a device rounds to f32 (see `DeviceMoments`). An
 * eigenvalue carries the square of a singular value, so those below 1e-6 of the largest, 1e-3 with a
 * device, are left out.
 *
 * Throws what {@linkcode factorize} throws.
 *
 * @example
 * ```ts
 * import { fitFactors } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const fitted = await fitFactors({ size: 4, dim: 2, rows }, { rank: 1 });
 * const { basis } = fitted.shared; // [2, 1]
 * console.log(basis.length, fitted.project(rows(0, 3)).length, fitted.energy.toFixed(3));
 * // 2 3 0.929
 * ```
 */
export async function fitFactors(
  source: SnippetSource,
  options: FactorizeOptions,
): Promise<FittedFactors> {
  const { size, dim } = source;
  const { device, onProgress } = options;
  // Before the long work, which alone tells in how many dimensions the snippets do differ.
  requireKept(options, source);
  const onDevice = device !== undefined && DeviceMoments.supports(device, dim);
  const moments = await measureMoments(source, {
    device: onDevice ? device : undefined,
    onProgress,
  });
  const { values, vectors } = symmetricEigen(moments.covariance, dim);
  const singular = values.map((value) => Math.sqrt(Math.max(0, value) * size));
  const least = onDevice ? LEAST_DEVICE_SINGULAR_VALUE : LEAST_SINGULAR_VALUE;
  const rank = chooseRank(singular, { ...options, least: least * singular[0]! });
  // The stored mean, rounded as it is, so that coefficients and mean fit each other.
  const mean = new Float32Array(moments.mean), centre = new Float64Array(mean);
  const basis = new Float32Array(dim * rank), directions = new Float64Array(rank * dim);
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(singular[k]!);
    for (let i = 0; i < dim; i++) {
      basis[i * rank + k] = vectors[k * dim + i]! * root;
      directions[k * dim + i] = vectors[k * dim + i]! / root;
    }
  }
  const projection = { mean: centre, directions };
  return {
    shared: { mean, basis, singularValues: new Float32Array(singular.subarray(0, rank)) },
    energy: squares(singular.subarray(0, rank)) / squares(singular),
    project: (rows) => new Float32Array(projectRows(rows, projection)),
    coefficients: () => projectSource(source, { ...projection, device }),
  };
}

/** Mean [d] and covariance [d, d] of a source, by a device if there is one. */
async function measureMoments(
  source: SnippetSource,
  options: {
    readonly device: Device | undefined;
    readonly onProgress: ((done: number, total: number) => void) | undefined;
  },
): Promise<{ mean: Float64Array; covariance: Float64Array }> {
  const { size, dim } = source;
  const { device, onProgress } = options;
  if (device === undefined) {
    const moments = new Moments(dim);
    for await (const { first, rows } of readRows(source)) {
      moments.add(rows);
      onProgress?.(first + rows.length / dim, size);
    }
    return { mean: moments.mean(), covariance: moments.covariance() };
  }
  using moments = new DeviceMoments(device, { size, dim });
  // The GPU multiplies one piece while the CPU adds the sums of the last and reads the next.
  let done = 0;
  for await (const { first, rows } of readRows(source, moments.pieceRows)) {
    const sums = first > 0 ? await moments.end() : undefined;
    moments.begin(rows);
    if (sums !== undefined) {
      moments.add(sums);
      onProgress?.(done, size);
    }
    done = first + rows.length / dim;
  }
  moments.add(await moments.end());
  onProgress?.(done, size);
  return { mean: moments.mean(), covariance: moments.covariance() };
}

async function* projectSource(
  source: SnippetSource,
  options: Projection & { readonly device: Device | undefined },
): AsyncGenerator<CoefficientPiece> {
  const { size, dim } = source;
  const { device } = options;
  if (device === undefined) {
    for await (const { first, rows } of readRows(source)) {
      const coefficients = new Float32Array(projectRows(rows, options));
      yield { first, count: rows.length / dim, coefficients };
    }
    return;
  }
  const most = Math.max(1, Math.floor(MOST_PROJECTED_BYTES / (4 * dim)));
  const pieceRows = Math.min(PROJECTED_ROWS, size, most);
  using projection = new DeviceProjection(device, { ...options, pieceRows });
  let last: { first: number; count: number } | undefined;
  for await (const { first, rows } of readRows(source, pieceRows)) {
    const coefficients = last && await projection.end(last.count);
    projection.begin(rows);
    if (coefficients !== undefined) yield { ...last!, coefficients };
    last = { first, count: rows.length / dim };
  }
  if (last !== undefined) yield { ...last, coefficients: await projection.end(last.count) };
}

/** Finds a value of a low-rank bank that is not finite, or a singular value that is not positive. */
export function findFactorProblem(
  factors: LowRankFactors,
): { key: keyof LowRankFactors; state: string } | undefined {
  const { mean, basis, singularValues, coefficients } = factors;
  const arrays = { mean, basis, singularValues, coefficients };
  for (const key of Object.keys(arrays) as (keyof LowRankFactors)[]) {
    const positive = key === "singularValues", values = arrays[key];
    const wrong = values.findIndex((value) => !Number.isFinite(value) || (positive && value <= 0));
    if (wrong >= 0) {
      return {
        key,
        state: `${key} holds ${values[wrong]} at ${wrong}, expected ` +
          `${positive ? "positive" : "finite"} numbers`,
      };
    }
  }
  return undefined;
}

/**
 * Reconstructs snippets, not normalised: c Bᵀ + μ (GMem, equation 9). `coefficients` [n, r], result
 * [n, d] in float64.
 */
export function reconstructRows(coefficients: Float32Array, factors: SharedFactors): Float64Array {
  const { mean, basis } = factors;
  const dim = mean.length, rank = basis.length / dim, count = coefficients.length / rank;
  const out = new Float64Array(count * dim);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < dim; i++) {
      let sum = mean[i]!;
      for (let k = 0; k < rank; k++) sum += coefficients[row * rank + k]! * basis[i * rank + k]!;
      out[row * dim + i] = sum;
    }
  }
  return out;
}

/**
 * The coefficients of new snippets: (f − μ) B / S (GMem, equation 10). `snippets` [n, d], result
 * [n, r].
 */
export function externalCoefficients(snippets: Float32Array, factors: SharedFactors): Float32Array {
  const { mean, basis, singularValues } = factors;
  const dim = mean.length, rank = singularValues.length;
  const directions = new Float64Array(swapAxes(basis, { rows: dim, columns: rank }))
    .map((value, i) => value / singularValues[Math.floor(i / dim)]!);
  return new Float32Array(projectRows(snippets, { mean: new Float64Array(mean), directions }));
}

/** A mix of two rows of one length, such as coefficients (GMem, equation 11). */
export function mixRows(
  first: Float32Array,
  second: Float32Array,
  { firstShare }: Pick<SnippetMix, "firstShare">,
): Float32Array {
  return first.map((value, i) => firstShare * value + (1 - firstShare) * second[i]!);
}

function chooseRank(
  singular: Float64Array,
  kept: KeptPart & { readonly least: number },
): number {
  const usable = singular.filter((value) => value > kept.least).length;
  if (usable === 0) {
    throw new RangeError(
      "Cannot factor the snippets: all of them are equal, expected some that differ",
    );
  }
  if ("energy" in kept) {
    const wanted = kept.energy * squares(singular);
    let sum = 0;
    for (let rank = 1; rank < usable; rank++) {
      sum += singular[rank - 1]! ** 2;
      if (sum >= wanted) return rank;
    }
    return usable;
  }
  requireRank(kept.rank, { most: usable, why: "the dimensions in which the snippets differ" });
  return kept.rank;
}

/** Throws a RangeError for a rank or energy that N snippets of length d cannot have, whatever they are. */
export function requireKept(
  kept: KeptPart,
  { size, dim }: Pick<SnippetSource, "size" | "dim">,
): void {
  if (!("energy" in kept)) {
    // One snippet is refused later, as others that are all equal.
    const most = Math.max(1, Math.min(dim, size - 1));
    requireRank(kept.rank, {
      most,
      why: `as many as ${counted(size, "snippet")} [${dim}] can differ in`,
    });
  } else if (!(kept.energy > 0 && kept.energy <= 1)) {
    throw new RangeError(
      `Cannot keep energy ${kept.energy}: expected a number above 0 and at most 1`,
    );
  }
}

function requireRank(rank: number, { most, why }: { most: number; why: string }): void {
  if (Number.isInteger(rank) && rank >= 1 && rank <= most) return;
  throw new RangeError(`Cannot keep rank ${rank}: expected an integer from 1 to ${most}, ${why}`);
}

function squares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}
