/**
 * Loads four numbers of an f32 tensor, as a WGSL function without bindings.
 *
 * - Formula: x[4 i … 4 i + 3]. The shader declares `x` as an array of `Loaded`.
 * - Work: one load of a vec4. Barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
alias Loaded = vec4f;

fn loaded(i: u32) -> vec4f { return x[i]; }
`;
