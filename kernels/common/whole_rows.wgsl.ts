/**
 * How `tiled_product` stores matrices whose rows are whole vec4, as a WGSL function without bindings.
 *
 * - Formula: the 4 columns from `column` on of a row of the result, plus bias and what is there already.
 * - The shader declares what is used here, `out` as an array of `Stored`; with VECTORS it loads the rows of
 *   all matrices as vec4.
 * - Work: one store of a vec4, two loads at most. Barriers: none.
 * - Error: one rounding for each addition.
 *
 * @module
 */
export default /* wgsl */ `
const VECTORS = true;
alias Stored = vec4f;

fn store_product_row(base: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let i = (base + row * params.N + column) / 4u;
  var value = values;
  if (HAS_BIAS) { value += bias[column / 4u]; }
  if (params.accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
