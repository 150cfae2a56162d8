/**
 * The function of `whole_rows.wgsl.ts` for matrices of which some have rows that are no whole vec4.
 *
 * - Formula, error and what the shader declares are those of `whole_rows`. A vec4 may then hold the end of a
 *   row and the start of the next, which another invocation stores, and a store to a part of a vec4 may
 *   write all of it: so elements are stored.
 * - Work: four stores and eight loads at most. Barriers: none.
 *
 * @module
 */
export default /* wgsl */ `
const VECTORS = false;
alias Stored = f32;

fn store_product_row(base: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let start = base + row * params.N + column;
  for (var j = 0u; j < min(4u, params.N - column); j++) {
    var value = values[j];
    if (HAS_BIAS) { value += bias[(column + j) / 4u][(column + j) % 4u]; }
    if (params.accumulate == 1u) { value += out[start + j]; }
    out[start + j] = value;
  }
}
`;
