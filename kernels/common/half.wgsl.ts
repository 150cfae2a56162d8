/**
 * Rounding to f16 and back on the bits, as WGSL functions without bindings.
 *
 * WGSL leaves open how its own conversions round, what becomes of numbers too large for f16, and
 * whether small ones are flushed to zero; loss scaling has to see an overflow, hence these.
 *
 * - Formulas: the nearest f16, ties to even; from 65,520 on infinity; below 2^-14 multiples of 2^-24;
 *   NaN stays NaN, -0 stays -0. Four halves are the 16-bit parts of a vec2u, lower part first.
 * - Bindings: none. Work: four values for each call, some twenty integer operations each. Barriers:
 *   none.
 * - Error: half a unit in the last of 11 bits one way, none the other way.
 *
 * @module
 */
export default /* wgsl */ `
fn half_bits(x: vec4f) -> vec2u {
  let bits = bitcast<vec4u>(x);
  let magnitude = bits & vec4u(0x7fffffffu);
  // Half of what is dropped, less one where the last kept bit is even: ties go to even.
  let rounded = (magnitude + 0xfffu + ((magnitude >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
  // One half has a unit of 2^-24 in the last place: the sum's last bits count such units.
  let small = bitcast<vec4u>(bitcast<vec4f>(magnitude) + 0.5) - 0x3f000000u;
  var half = select(small, rounded - 0x1c000u, magnitude >= vec4u(0x38800000u));
  half = select(half, vec4u(0x7c00u), magnitude >= vec4u(0x477ff000u));
  half = select(half, vec4u(0x7e00u), magnitude > vec4u(0x7f800000u));
  half |= (bits >> vec4u(16u)) & vec4u(0x8000u);
  return half.xz | (half.yw << vec2u(16u));
}

fn half_values(words: vec2u) -> vec4f {
  let half = vec4u(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
  let magnitude = half & vec4u(0x7fffu);
  let small = bitcast<vec4u>(vec4f(magnitude) * 0x1p-24);
  var bits = select(small, (magnitude << vec4u(13u)) + 0x38000000u, magnitude >= vec4u(0x400u));
  bits = select(bits, (magnitude << vec4u(13u)) + 0x70000000u, magnitude >= vec4u(0x7c00u));
  return bitcast<vec4f>(bits | ((half & vec4u(0x8000u)) << vec4u(16u)));
}
`;
