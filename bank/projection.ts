/**
 * Centred rows times a few directions, on the CPU in float64.
 *
 * @module
 */

/** What {@linkcode projectRows} projects with. */
export interface Projection {
  /** Centre [n], subtracted from every row. */
  readonly mean: Float64Array;
  /** Directions [k, n]. */
  readonly directions: Float64Array;
}

/**
 * Projects rows: (x − mean) directionsᵀ. `rows` [count, n], result [count, k] in float64. 2·count·n·k
 * operations.
 *
 * Throws a TypeError if the sizes do not fit.
 */
export function projectRows(rows: Float32Array, projection: Projection): Float64Array {
  const { mean, directions } = projection;
  const n = mean.length, count = rows.length / n, k = directions.length / n;
  if (!Number.isInteger(count) || !Number.isInteger(k)) {
    throw new TypeError(
      `Cannot project ${rows.length} values on ${directions.length}: expected multiples of the ` +
        `length ${n} of the mean`,
    );
  }
  const out = new Float64Array(count * k);
  const centred = new Float64Array(n);
  const listed = Array.from({ length: k }, (_, i) => directions.subarray(i * n, (i + 1) * n));
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < n; i++) centred[i] = rows[row * n + i]! - mean[i]!;
    for (let i = 0; i < k; i++) out[row * k + i] = dotProduct(centred, listed[i]!);
  }
  return out;
}

/** A function of its own, which the compiler gets to see often enough to make it fast. */
function dotProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
