/** Float64 rows of a table: `table` [N, width], `indices` [B], result [B, width]. */
export function gatherRowsReference(
  table: Float64Array,
  options: { indices: ArrayLike<number>; width: number },
): Float64Array {
  const { indices, width } = options;
  return Float64Array.from(
    { length: indices.length * width },
    (_, i) => table[indices[Math.floor(i / width)]! * width + i % width]!,
  );
}
