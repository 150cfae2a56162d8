/**
 * How a kernel stores four results as f16, as a WGSL function without bindings.
 *
 * - Formula: the nearest f16: see `half`. Nothing is added to what is there: accumulate has to be 0. The shader
 *   declares `out` as an array of `Stored`.
 * - Work: one store of a vec2u. Barriers: none. Error: 2^-11 relative, 2^-25 absolute below 2^-14. A compiler
 *   that takes what it computes for finite may make infinity of a NaN; loss scaling sees either.
 *
 * @module
 */
export default /* wgsl */ `
alias Stored = vec2u;

fn store_results(i: u32, results: vec4f, accumulate: u32) { out[i] = half_bits(results); }
`;
