/**
 * The epilogue of a matrix product that stores its sums as they are, as a WGSL function without bindings.
 *
 * - Formula: the sum itself. `Sum`, f32 or vec4f, is what the kernel stores at once.
 * - Work: none. Barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
fn epilogue(sum: Sum, i: u32) -> vec4f { return vec4f(sum); }
`;
