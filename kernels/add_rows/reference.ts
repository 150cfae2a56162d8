/** Float64 sum of each batch element with a table: `x` [B, ...], `rows` [...]. */
export function addRowsReference(x: Float64Array, rows: Float64Array): Float64Array {
  return x.map((value, i) => value + rows[i % rows.length]!);
}
