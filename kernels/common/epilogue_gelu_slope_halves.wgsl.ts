/**
 * `epilogue_gelu_slope` with sums in f16.
 *
 * - Formula: sum · gelu'(sums[i]), the tanh form: see `activation`.
 * - Bindings: `sums`, what gelu was applied to, at 5.
 * - Work: that of the slope and one load. Barriers: none. Error: about 2^-21 of |sum|.
 *
 * @module
 */
export default /* wgsl */ `
@group(0) @binding(5) var<storage, read> sums: array<vec2u>;

fn epilogue(sum: vec4f, i: u32) -> vec4f {
  let kept = sums[i];
  return sum * gelu_slope(vec4f(unpack2x16float(kept.x), unpack2x16float(kept.y)));
}
`;
