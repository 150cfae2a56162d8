/**
 * Philox4x32-10 and the distributions made of it, as WGSL functions without bindings; the same
 * bits as `core/random.ts`.
 *
 * - Formula: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, ten rounds.
 *   WGSL has no 64-bit product, so the high word is built from 16-bit halves.
 * - Bindings: none. Work: four u32, or four f32, for each call. Barriers: none.
 * - `common/cos_sin` is to stand before it.
 * - Error: `philox` is exact. `uniform_open` is (x + ½) / 2^32 within 2^-23, and below 1.
 *   `normal4` inherits the device's `log` and `sqrt`.
 *
 * @module
 */
export default /* wgsl */ `
fn philox_multiply_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high0 = philox_multiply_high(0xd2511f53u, c.x);
    let low0 = 0xd2511f53u * c.x;
    let high1 = philox_multiply_high(0xcd9e8d57u, c.z);
    let low1 = 0xcd9e8d57u * c.z;
    c = vec4u(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

// A u32 near 2^32 rounds up to 2^32 as f32: the minimum keeps the result below one.
fn uniform_open(x: vec4u) -> vec4f {
  let scaled = vec4f(x) * 2.3283064365386963e-10 + vec4f(1.1641532182693481e-10);
  return min(scaled, vec4f(0.99999994));
}

// (cos, sin) of 2 pi u. What is left of u beyond whole quarter turns is exact.
fn turned(u: f32) -> vec2f {
  let quarters = round(4.0 * u);
  return cos_sin(6.283185307179586 * (u - 0.25 * quarters), i32(quarters));
}

// Box and Muller on the pairs (x, y) and (z, w). Next to one, log may come out positive within its
// tolerance: the maximum keeps the root real.
fn normal4(bits: vec4u) -> vec4f {
  let u = uniform_open(bits);
  let radius = sqrt(max(-2.0 * log(u.xz), vec2f(0.0)));
  return vec4f(radius.x * turned(u.y), radius.y * turned(u.w));
}
`;
