/**
 * How a matrix product stores four results as f32, as a WGSL function without bindings.
 *
 * - Formula: what is given, plus what is there already. The shader declares `params` with accumulate, and `out`
 *   as an array of `Stored`.
 * - Work: one store of a vec4, one load at most. Barriers: none. Error: one rounding where it adds.
 *
 * @module
 */
export default /* wgsl */ `
alias Stored = vec4f;

fn store_results(i: u32, results: vec4f) {
  var value = results;
  if (params.accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
