/**
 * Rows handed from lane to lane of a subgroup of 8, as WGSL functions without bindings: what the
 * shaders `attention/forward_rows`, `attention/backward_keys` and `attention/backward_queries` share.
 *
 * - `of_pair`: the vec4 of the four rows that two lanes hold, two each; `of_lane`: the block that one
 *   lane holds.
 * - Bindings: none. Work: four shuffles of a vec4 a call. Barriers: none. Exact.
 *
 * @module
 */
export default /* wgsl */ `
// The vec4 of the four rows that the lanes 2 pair and 2 pair + 1 hold.
fn of_pair(rows: mat2x4f, pair: u32) -> mat4x4f {
  return mat4x4f(subgroupShuffle(rows[0], 2u * pair), subgroupShuffle(rows[1], 2u * pair),
    subgroupShuffle(rows[0], 2u * pair + 1u), subgroupShuffle(rows[1], 2u * pair + 1u));
}

fn of_lane(x: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane),
    subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane));
}
`;
