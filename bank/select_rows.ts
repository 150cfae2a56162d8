/**
 * Some of many rows: which ones, and the rows themselves.
 *
 * @module
 */

/** `count` indices below `size`, spread evenly, in rising order; some twice where there are fewer. */
export function spreadIndices(count: number, size: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => Math.floor((i + 0.5) * size / count));
}

/** The rows of these indices [n] of a table [N, width], in their order: [n, width]. */
export function selectRows(
  table: Float32Array,
  options: { readonly indices: ArrayLike<number>; readonly width: number },
): Float32Array {
  const { indices, width } = options;
  const rows = new Float32Array(indices.length * width);
  for (let i = 0; i < indices.length; i++) {
    const start = indices[i]! * width;
    rows.set(table.subarray(start, start + width), i * width);
  }
  return rows;
}
