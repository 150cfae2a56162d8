/**
 * Rows handed from lane to lane of a subgroup of 8 or 16, as WGSL functions without bindings: what the
 * shaders `attention/forward_rows`, `attention/backward_keys` and `attention/backward_queries` share.
 *
 * - The shader declares the override LANES.
 * - 16 rows lie two to a lane with 8 lanes, else one to a lane, the first of the two that a lane names:
 *   `own_rows` says which, `of_four` gives the vec4 of four of them.
 * - A loop over lanes takes the block of each by `of_lane` and then calls `handed_on`, since Mesa shuffles
 *   by a computed lane in one instruction with 8 lanes alone: with 16 the blocks go round, by one lane a
 *   time.
 * - Bindings: none. Work: four shuffles of a vec4 a call. Barriers: none. Exact.
 *
 * @module
 */
export default /* wgsl */ `
// The first of the rows of 16 that a lane holds.
fn own_rows(lane: u32) -> u32 { return lane * 16u / LANES; }

// The vec4 of the rows 4 i to 4 i + 3 of 16.
fn of_four(rows: mat2x4f, i: u32) -> mat4x4f {
  if (LANES == 8u) {
    return mat4x4f(subgroupShuffle(rows[0], 2u * i), subgroupShuffle(rows[1], 2u * i),
      subgroupShuffle(rows[0], 2u * i + 1u), subgroupShuffle(rows[1], 2u * i + 1u));
  }
  return mat4x4f(subgroupShuffle(rows[0], 4u * i), subgroupShuffle(rows[0], 4u * i + 1u),
    subgroupShuffle(rows[0], 4u * i + 2u), subgroupShuffle(rows[0], 4u * i + 3u));
}

fn of_lane(x: mat4x4f, lane: u32) -> mat4x4f {
  if (LANES == 8u) {
    return mat4x4f(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane),
      subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane));
  }
  return mat4x4f(subgroupBroadcast(x[0], 0u), subgroupBroadcast(x[1], 0u),
    subgroupBroadcast(x[2], 0u), subgroupBroadcast(x[3], 0u));
}

// What the block is after a round, in a lane.
fn handed_on(x: mat4x4f, lane: u32) -> mat4x4f {
  if (LANES == 8u) { return x; }
  let next = (lane + 1u) % LANES;
  return mat4x4f(subgroupShuffle(x[0], next), subgroupShuffle(x[1], next),
    subgroupShuffle(x[2], next), subgroupShuffle(x[3], next));
}
`;
