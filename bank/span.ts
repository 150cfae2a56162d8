/**
 * The space that the snippets of a low-rank bank lie in, with axes of its own.
 *
 * @module
 */

import { paddedSize } from "../kernels/core/padded_size.ts";
import { dotProduct, projectRows } from "./projection.ts";
import { swapAxes } from "./select_rows.ts";
import type { SharedFactors } from "./svd.ts";

/** What {@linkcode spanOf} returns. */
export interface Span {
  /** Orthonormal axes Q [p, d], then rows of zeros up to a multiple of 4: [P, d]. */
  readonly axes: Float64Array;
  /** The basis on those axes, Q B [P, r]. */
  readonly basis: Float32Array;
  /** The mean on those axes, Q μ [P]. */
  readonly mean: Float32Array;
}

/** What is left of a vector of length 1 outside of the span of others; below, it is rounding of float64. */
const LEAST_REST = 1e-10;

/**
 * Finds orthonormal axes Q of the span of B and μ, of p ≤ min(d, r + 1) dimensions. A snippet
 * c Bᵀ + μ is (c (Q B)ᵀ + Q μ) Q, so that on these few axes norms and products with any vector are
 * those of all d numbers, and B need not be orthogonal. About 4·d·r² operations in float64 on the CPU.
 */
export function spanOf(factors: Pick<SharedFactors, "basis" | "mean">): Span {
  const { basis, mean } = factors;
  const dim = mean.length, rank = basis.length / dim;
  const columns = new Float32Array((rank + 1) * dim);
  columns.set(swapAxes(basis, { rows: dim, columns: rank }));
  columns.set(mean, rank * dim);
  const found = rank < dim - 1 ? orthonormalAxes(columns, dim) : unitAxes(dim);
  const width = paddedSize(Math.max(1, found.length));
  const axes = new Float64Array(width * dim);
  for (const [row, axis] of found.entries()) axes.set(axis, row * dim);
  const placed = projectRows(columns, { mean: new Float64Array(dim), directions: axes });
  const onAxes = swapAxes(placed.subarray(0, rank * width), { rows: rank, columns: width });
  return {
    axes,
    basis: new Float32Array(onAxes),
    mean: new Float32Array(placed.subarray(rank * width)),
  };
}

/**
 * Orthonormal axes [d] of the span of some rows [n, d], by the method of Gram and Schmidt, twice for
 * each row: the second time takes away what rounding left. A row inside the span of others adds none.
 */
function orthonormalAxes(rows: Float32Array, dim: number): Float64Array[] {
  const axes: Float64Array[] = [];
  for (let first = 0; first < rows.length; first += dim) {
    const rest = Float64Array.from(rows.subarray(first, first + dim));
    const whole = Math.sqrt(dotProduct(rest, rest));
    for (const axis of [...axes, ...axes]) {
      const share = dotProduct(rest, axis);
      for (let i = 0; i < dim; i++) rest[i]! -= share * axis[i]!;
    }
    const length = Math.sqrt(dotProduct(rest, rest));
    if (length > LEAST_REST * whole) axes.push(rest.map((value) => value / length));
  }
  return axes;
}

function unitAxes(dim: number): Float64Array[] {
  return Array.from({ length: dim }, (_, k) => {
    const axis = new Float64Array(dim);
    axis[k] = 1;
    return axis;
  });
}
