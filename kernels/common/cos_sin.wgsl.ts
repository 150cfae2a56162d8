/**
 * Cosine and sine as a WGSL function without bindings, near to exact on every driver: WGSL lets a driver's own
 * be wrong by 2^-11, and outside of (−π, π) by anything.
 *
 * - `cos_sin(r, quarters)`: both of the angle r + quarters π / 2, for |r| ≤ π / 4, by Taylor's series.
 * - Bindings: none. Work: some twenty multiply-adds. Barriers: none.
 * - Error: 2 units in the last place of each, that of r apart.
 *
 * @module
 */
export default /* wgsl */ `
fn cos_sin(r: f32, quarters: i32) -> vec2f {
  let s = r * r;
  let cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0))));
  let sine = r +
    r * s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0))));
  let quadrant = u32(quarters) & 3u;
  var pair = vec2f(cosine, sine);
  if ((quadrant & 1u) == 1u) { pair = vec2f(-sine, cosine); }
  if (quadrant >= 2u) { pair = -pair; }
  return pair;
}
`;
