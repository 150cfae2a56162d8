/**
 * The epilogue of a matrix product that stores gelu of its sums, as a WGSL function without bindings.
 *
 * - Formula: gelu(sum), the tanh form: see `activation`. `Sum`, f32 or vec4f, is what the kernel
 *   stores at once.
 * - Work: that of gelu. Barriers: none. Error: about 2^-22 of |sum|.
 *
 * @module
 */
export default /* wgsl */ `
fn epilogue(sum: Sum, i: u32) -> vec4f { return gelu(vec4f(sum)); }
`;
