/**
 * Loads four numbers of an f16 tensor, as a WGSL function without bindings.
 *
 * - Formula: x[4 i … 4 i + 3] as f32: see `half`. The shader declares `x` as an array of `Loaded`.
 * - Work: one load of a vec2u. Barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
alias Loaded = vec2u;

fn loaded(i: u32) -> vec4f { return half_values(x[i]); }
`;
