/**
 * Rows that the lanes of a subgroup of 8 or 16 loaded, one after the other, given to all of them, as a WGSL
 * function without bindings: what the shaders `matmul/subgroup` and `reconstruct/subgroup` share.
 *
 * - Formula: the rows 4 j … 4 j + 3 of 32, of which lane l loaded l, l + LANES, and so on, as v0, v1, …; with 16
 *   lanes v2 and v3 are not used. The shader declares the override LANES.
 * - Bindings: none. Work: four shuffles of a vec4 by a constant index, if `j` is one. Barriers: none. Exact.
 *
 * @module
 */
export default /* wgsl */ `
fn broadcast_rows(v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f, j: u32) -> mat4x4f {
  let low = select(v1, v0, 4u * j < LANES);
  let high = select(v3, v2, 4u * j < 3u * LANES);
  let v = select(high, low, 4u * j < 2u * LANES);
  let first = 4u * j % LANES;
  return mat4x4f(subgroupShuffle(v, first), subgroupShuffle(v, first + 1u),
    subgroupShuffle(v, first + 2u), subgroupShuffle(v, first + 3u));
}
`;
