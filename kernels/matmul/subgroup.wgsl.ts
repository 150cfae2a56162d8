export default /* wgsl */ `
// out[b] = f(op(A[b]) op(B[b]) (+ bias)) (+ out[b]), f an epilogue, on a CPU driver with subgroups of 8 or 16
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N]; M, N, K multiples of 4; a, b and bias are bound as textures of vec4, which this
// driver loads several times faster than storage buffers.
// One subgroup computes 32 rows by 32 or 64 columns, each lane 32 by 4 in registers: for 4 steps of
// K it loads 4 or 2 vec4 of A (each lane others, then broadcast) and 4 of B for 512 multiply-adds.
// A wider tile loads less, but the code of its loop no longer fits the caches of a CPU core's decoder.
// A 4 by 4 block is a matrix whose columns are rows of out, so one product of two blocks is 64
// multiply-adds. No workgroup memory, no barrier.
// Where B is larger than a core's cache, tiles are computed down bands of 4 rows of tiles, so that its
// columns are read from memory for every fourth tile alone: up to 1.3 times as fast (RESULTS.md).
// Error: |error| <= K 2^-24 sum |a_k b_k|, summed in order.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;
override LANES: u32 = 8u;

struct Params { M: u32, N: u32, K: u32, stride_a: u32, stride_b: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var bias: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

// Elements of B, 1 MiB, beyond which tiles are computed in bands.
const CACHED = 262144u;

// Column and row of the tile that a workgroup computes.
fn tile_of(group: vec2u, groups: vec2u) -> vec2u {
  let height = select(1u, 4u, params.K * params.N > CACHED);
  let order = group.y * groups.x + group.x;
  let first = order / (height * groups.x) * height;
  let rows = min(height, groups.y - first);
  let place = order - first * groups.x;
  return vec2u(place / rows, first + place % rows);
}

// The block of op(A) with the rows 4 j to 4 j + 3 of the tile, from what all lanes loaded. Transposed, lane j has the
// first of four steps of K as v0; with 16 lanes lane 8 + j has the second, and v1 the others.
fn operand_block_a(v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f, j: u32) -> mat4x4f {
  if (!TRANSPOSE_A) { return broadcast_rows(v0, v1, v2, v3, j); }
  if (LANES == 8u) {
    return transpose(mat4x4f(subgroupShuffle(v0, j), subgroupShuffle(v1, j), subgroupShuffle(v2, j),
      subgroupShuffle(v3, j)));
  }
  return transpose(mat4x4f(subgroupShuffle(v0, j), subgroupShuffle(v0, j + 8u), subgroupShuffle(v1, j),
    subgroupShuffle(v1, j + 8u)));
}

@compute @workgroup_size(LANES)
fn matmul_subgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = tile_of(group.xy, groups.xy);
  let row = tile.y * 32u;
  let column4 = tile.x * LANES + lane;
  let batch = group.z;
  let base_a = batch * params.stride_a / 4u;
  let base_b = batch * params.stride_b / 4u;

  var c0 = mat4x4f(); var c1 = mat4x4f(); var c2 = mat4x4f(); var c3 = mat4x4f();
  var c4 = mat4x4f(); var c5 = mat4x4f(); var c6 = mat4x4f(); var c7 = mat4x4f();

  // Where this lane reads A: transposed, a vec4 is 4 rows of one step of K, and 8 lanes have all 32; else
  // it is 4 steps of one row.
  let stride_a = select(params.K / 4u, params.M / 4u, TRANSPOSE_A);
  let lane_a = select(
    (row + lane) * stride_a, row / 4u + lane % 8u + lane / 8u * stride_a, TRANSPOSE_A);
  let apart = select(LANES * stride_a, LANES / 8u * stride_a, TRANSPOSE_A);
  let advance = select(1u, 4u * stride_a, TRANSPOSE_A);
  var offset_a = base_a + lane_a;

  for (var k4 = 0u; k4 < params.K / 4u; k4++) {
    let v0 = operand_a(offset_a);
    let v1 = operand_a(offset_a + apart);
    var v2 = vec4f();
    var v3 = vec4f();
    if (LANES == 8u) {
      v2 = operand_a(offset_a + 2u * apart);
      v3 = operand_a(offset_a + 3u * apart);
    }
    offset_a += advance;
    let block = operand_block_b(base_b, k4, column4);
    c0 += block * operand_block_a(v0, v1, v2, v3, 0u);
    c1 += block * operand_block_a(v0, v1, v2, v3, 1u);
    c2 += block * operand_block_a(v0, v1, v2, v3, 2u);
    c3 += block * operand_block_a(v0, v1, v2, v3, 3u);
    c4 += block * operand_block_a(v0, v1, v2, v3, 4u);
    c5 += block * operand_block_a(v0, v1, v2, v3, 5u);
    c6 += block * operand_block_a(v0, v1, v2, v3, 6u);
    c7 += block * operand_block_a(v0, v1, v2, v3, 7u);
  }

  store_result_block(batch, row, column4, c0);
  store_result_block(batch, row + 4u, column4, c1);
  store_result_block(batch, row + 8u, column4, c2);
  store_result_block(batch, row + 12u, column4, c3);
  store_result_block(batch, row + 16u, column4, c4);
  store_result_block(batch, row + 20u, column4, c5);
  store_result_block(batch, row + 24u, column4, c6);
  store_result_block(batch, row + 28u, column4, c7);
}
`;
