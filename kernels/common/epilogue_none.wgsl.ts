/**
 * The epilogue of a matrix product that stores its sums as they are, as a WGSL function without bindings.
 *
 * - Formula: the sum itself. The shader declares the type `Sum` of what it stores at once: f32 or vec4f.
 * - Work: none. Barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
fn finished(sum: Sum, i: u32) -> vec4f { return vec4f(sum); }
`;
