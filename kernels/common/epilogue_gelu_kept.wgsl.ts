/**
 * The epilogue of a matrix product that stores gelu of its sums and the sums besides, for the gradient, as a
 * WGSL function.
 *
 * - Formula: gelu(sum), the tanh form: see `activation`. `Sum`, f32 or vec4f, is what the kernel
 *   stores at once.
 * - Bindings: `sums`, as many as there are results, at 5.
 * - Work: that of gelu and one store. Barriers: none. Error: about 2^-22 of |sum|.
 *
 * @module
 */
export default /* wgsl */ `
@group(0) @binding(5) var<storage, read_write> sums: array<Sum>;

fn epilogue(sum: Sum, i: u32) -> vec4f {
  sums[i] = sum;
  return gelu(vec4f(sum));
}
`;
