/**
 * How a kernel stores four results as f32, as a WGSL function without bindings.
 *
 * - Formula: what is given, plus what is there where accumulate is 1. The shader declares `out` as an array of
 *   `Stored`.
 * - Work: one store of a vec4, one load at most. Barriers: none. Error: one rounding where it adds.
 *
 * @module
 */
export default /* wgsl */ `
alias Stored = vec4f;

fn store_results(i: u32, results: vec4f, accumulate: u32) {
  var value = results;
  if (accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
