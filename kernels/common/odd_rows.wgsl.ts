/**
 * The function of `whole_rows.wgsl.ts` for matrices of which some have rows that are no whole vec4.
 *
 * - Formula: the 4 columns from `column` on of a row of the result, with bias, as the epilogue leaves them,
 *   plus what is there already. A vec4 may hold the end of a row and the start of the next, which another
 *   invocation stores, and a store to a part of a vec4 may write all of it: so elements are stored.
 * - The shader declares what is used here, `out` as an array of `Stored`; an include with `epilogue` goes
 *   with it.
 * - Work: four stores and eight loads at most. Barriers: none. Error: one rounding for each addition.
 *
 * @module
 */
export default /* wgsl */ `
const VECTORS = false;
alias Sum = f32;
alias Stored = f32;

fn store_product_row(base: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let start = base + row * params.N + column;
  for (var j = 0u; j < min(4u, params.N - column); j++) {
    var sum = values[j];
    if (HAS_BIAS) { sum += bias[(column + j) / 4u][(column + j) % 4u]; }
    var result = epilogue(sum, start + j).x;
    if (params.accumulate == 1u) { result += out[start + j]; }
    out[start + j] = result;
  }
}
`;
