/**
 * `epilogue_gelu_kept` with sums in f16.
 *
 * - Formula: gelu(sum), the tanh form: see `activation`. What is kept is clamped to ±65,504, beyond which slopes are 0
 *   and 1, and devices choose how they round it: to do so here would cost more than these bits of a slope are worth.
 * - Bindings: `sums`, as many as there are results, at 5.
 * - Work: that of gelu and one store. Barriers: none. Error: about 2^-22 of |sum|, 2^-10 of what is kept.
 *
 * @module
 */
export default /* wgsl */ `
@group(0) @binding(5) var<storage, read_write> sums: array<vec2u>;

fn epilogue(sum: vec4f, i: u32) -> vec4f {
  let kept = clamp(sum, vec4f(-65504.0), vec4f(65504.0));
  sums[i] = vec2u(pack2x16float(kept.xy), pack2x16float(kept.zw));
  return gelu(sum);
}
`;
