/**
 * The epilogue of a matrix product whose results are gradients of what gelu made, as a WGSL function.
 *
 * - Formula: sum · gelu'(sums[i]), the tanh form: see `activation`. `Sum`, f32 or vec4f, is what the
 *   kernel stores at once.
 * - Bindings: `sums`, what gelu was applied to, at 5.
 * - Work: that of the slope and one load. Barriers: none. Error: about 2^-21 of |sum|.
 *
 * @module
 */
export default /* wgsl */ `
@group(0) @binding(5) var<storage, read> sums: array<Sum>;

fn epilogue(sum: Sum, i: u32) -> vec4f { return vec4f(sum) * gelu_slope(vec4f(sums[i])); }
`;
