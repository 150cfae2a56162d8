/**
 * Rows handed from lane to lane of a subgroup of 8 or 16, as WGSL functions without bindings: what the
 * shaders `attention/forward_rows`, `attention/backward_keys` and `attention/backward_queries` share.
 *
 * - `rows_at`: a column of the rows that a lane holds of 16, two of 8 lanes and one of 16, as the shader's `at` loads
 *   it; `of_rows`: those of four of the 16 rows; `of_lane`: the block that one lane holds. A loop over the lanes takes
 *   `of_owner` of each in turn and ends each round with `to_next`: with 8 lanes the first takes that lane's block, and
 *   the second does nothing; with 16 the first takes lane 0's, and the second hands every block to the lane before. Mesa
 *   shuffles 8 lanes by one instruction, but 16 only where every lane's index is known when it compiles, and one by one
 *   elsewhere. The shader declares the override LANES.
 * - Bindings: none. Work: four shuffles of a vec4 a call. Barriers: none. Exact.
 *
 * @module
 */
export default /* wgsl */ `
fn rows_at(starts: vec2u, column: u32) -> mat2x4f {
  var rows = mat2x4f(at(starts.x + column), vec4f());
  if (LANES == 8u) { rows[1] = at(starts.y + column); }
  return rows;
}

// The vec4 of the four rows from 4 i on; with 16 lanes the second of a lane is not used.
fn of_rows(rows: mat2x4f, i: u32) -> mat4x4f {
  if (LANES == 16u) {
    return mat4x4f(subgroupShuffle(rows[0], 4u * i), subgroupShuffle(rows[0], 4u * i + 1u),
      subgroupShuffle(rows[0], 4u * i + 2u), subgroupShuffle(rows[0], 4u * i + 3u));
  }
  return mat4x4f(subgroupShuffle(rows[0], 2u * i), subgroupShuffle(rows[1], 2u * i),
    subgroupShuffle(rows[0], 2u * i + 1u), subgroupShuffle(rows[1], 2u * i + 1u));
}

fn of_owner(x: mat4x4f, owner: u32) -> mat4x4f {
  if (LANES == 8u) { return of_lane(x, owner); }
  return of_lane(x, 0u);
}

fn to_next(x: mat4x4f, lane: u32) -> mat4x4f {
  if (LANES == 8u) { return x; }
  return of_lane(x, (lane + 1u) % LANES);
}

fn of_lane(x: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane),
    subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane));
}
`;
