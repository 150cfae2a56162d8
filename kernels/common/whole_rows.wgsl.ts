/**
 * How `tiled_product` stores matrices whose rows are whole vec4, as a WGSL function without bindings.
 *
 * - Formula: the 4 columns from `column` on of a row of the result, with bias, as the epilogue leaves them;
 *   `store_floats` or `store_halves` stores them.
 * - The shader declares what is used here; with VECTORS it loads the rows of all matrices as vec4.
 *   An include with `epilogue` goes with it.
 * - Work: one load at most. Barriers: none. Error: one rounding for the bias.
 *
 * @module
 */
export default /* wgsl */ `
const VECTORS = true;
alias Sum = vec4f;

fn store_product_row(base: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.M || column >= params.N) { return; }
  let i = (base + row * params.N + column) / 4u;
  var sum = values;
  if (HAS_BIAS) { sum += bias[column / 4u]; }
  store_results(i, epilogue(sum, i), params.accumulate);
}
`;
