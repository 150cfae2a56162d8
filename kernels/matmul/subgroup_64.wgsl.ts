export default /* wgsl */ `
// out[b] = op(A[b]) op(B[b]) (+ bias) (+ out[b]) on a CPU driver with subgroups of 8: as subgroup,
// with twice the rows a workgroup. A third fewer loads, twice the time to compile.
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N]; M, N, K multiples of 4, bound as textures of vec4 (loads through the texture
// unit cost this driver a sixth of storage loads).
// One subgroup of 8 computes 64 rows by 64 columns, each lane 64 by 8 in registers: for 4 steps of
// K it loads 8 vec4 of A (each lane other rows, then broadcast) and 8 of B for 2,048 multiply-adds.
// A 4 by 4 block is a matrix whose columns are rows of out, so one product of two blocks is 64
// multiply-adds. No workgroup memory, no barrier.
// Error: |error| <= K 2^-24 sum |a_k b_k|, summed in order.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;

struct Params { M: u32, N: u32, K: u32, stride_a: u32, stride_b: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var a: texture_2d<f32>;
@group(0) @binding(2) var b: texture_2d<f32>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(8)
fn matmul_subgroup_64(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = group.y * 64u;
  let column4 = (group.x * 8u + lane) * 2u;
  let batch = group.z;
  let base_a = batch * params.stride_a / 4u;
  let base_b = batch * params.stride_b / 4u;

  var c00 = mat4x4f(); var c01 = mat4x4f();
  var c10 = mat4x4f(); var c11 = mat4x4f();
  var c20 = mat4x4f(); var c21 = mat4x4f();
  var c30 = mat4x4f(); var c31 = mat4x4f();
  var c40 = mat4x4f(); var c41 = mat4x4f();
  var c50 = mat4x4f(); var c51 = mat4x4f();
  var c60 = mat4x4f(); var c61 = mat4x4f();
  var c70 = mat4x4f(); var c71 = mat4x4f();
  var c80 = mat4x4f(); var c81 = mat4x4f();
  var c90 = mat4x4f(); var c91 = mat4x4f();
  var ca0 = mat4x4f(); var ca1 = mat4x4f();
  var cb0 = mat4x4f(); var cb1 = mat4x4f();
  var cc0 = mat4x4f(); var cc1 = mat4x4f();
  var cd0 = mat4x4f(); var cd1 = mat4x4f();
  var ce0 = mat4x4f(); var ce1 = mat4x4f();
  var cf0 = mat4x4f(); var cf1 = mat4x4f();

  // Where this lane reads A: transposed, four vec4 are four steps of K of its 4 rows, and four more
  // those of the 4 rows 32 below; else they are rows 8 apart of one step.
  let stride_a = select(params.K / 4u, params.M / 4u, TRANSPOSE_A);
  let lane_a = select((row + lane) * stride_a, row / 4u + lane, TRANSPOSE_A);
  let apart = select(8u * stride_a, stride_a, TRANSPOSE_A);
  let below = select(32u * stride_a, 8u, TRANSPOSE_A);
  let advance = select(1u, 4u * stride_a, TRANSPOSE_A);
  var offset_a = base_a + lane_a;

  for (var k4 = 0u; k4 < params.K / 4u; k4++) {
    let v0 = operand_a(offset_a);
    let v1 = operand_a(offset_a + apart);
    let v2 = operand_a(offset_a + 2u * apart);
    let v3 = operand_a(offset_a + 3u * apart);
    let v4 = operand_a(offset_a + below);
    let v5 = operand_a(offset_a + below + apart);
    let v6 = operand_a(offset_a + below + 2u * apart);
    let v7 = operand_a(offset_a + below + 3u * apart);
    offset_a += advance;
    let b0 = operand_block_b(base_b, k4, column4);
    let b1 = operand_block_b(base_b, k4, column4 + 1u);
    var a0: mat4x4f; var a1: mat4x4f; var a2: mat4x4f; var a3: mat4x4f;
    var a4: mat4x4f; var a5: mat4x4f; var a6: mat4x4f; var a7: mat4x4f;
    var a8: mat4x4f; var a9: mat4x4f; var aa: mat4x4f; var ab: mat4x4f;
    var ac: mat4x4f; var ad: mat4x4f; var ae: mat4x4f; var af: mat4x4f;
    if (TRANSPOSE_A) {
      a0 = transpose(mat4x4f(subgroupBroadcast(v0, 0u), subgroupBroadcast(v1, 0u), subgroupBroadcast(v2, 0u), subgroupBroadcast(v3, 0u)));
      a1 = transpose(mat4x4f(subgroupBroadcast(v0, 1u), subgroupBroadcast(v1, 1u), subgroupBroadcast(v2, 1u), subgroupBroadcast(v3, 1u)));
      a2 = transpose(mat4x4f(subgroupBroadcast(v0, 2u), subgroupBroadcast(v1, 2u), subgroupBroadcast(v2, 2u), subgroupBroadcast(v3, 2u)));
      a3 = transpose(mat4x4f(subgroupBroadcast(v0, 3u), subgroupBroadcast(v1, 3u), subgroupBroadcast(v2, 3u), subgroupBroadcast(v3, 3u)));
      a4 = transpose(mat4x4f(subgroupBroadcast(v0, 4u), subgroupBroadcast(v1, 4u), subgroupBroadcast(v2, 4u), subgroupBroadcast(v3, 4u)));
      a5 = transpose(mat4x4f(subgroupBroadcast(v0, 5u), subgroupBroadcast(v1, 5u), subgroupBroadcast(v2, 5u), subgroupBroadcast(v3, 5u)));
      a6 = transpose(mat4x4f(subgroupBroadcast(v0, 6u), subgroupBroadcast(v1, 6u), subgroupBroadcast(v2, 6u), subgroupBroadcast(v3, 6u)));
      a7 = transpose(mat4x4f(subgroupBroadcast(v0, 7u), subgroupBroadcast(v1, 7u), subgroupBroadcast(v2, 7u), subgroupBroadcast(v3, 7u)));
      a8 = transpose(mat4x4f(subgroupBroadcast(v4, 0u), subgroupBroadcast(v5, 0u), subgroupBroadcast(v6, 0u), subgroupBroadcast(v7, 0u)));
      a9 = transpose(mat4x4f(subgroupBroadcast(v4, 1u), subgroupBroadcast(v5, 1u), subgroupBroadcast(v6, 1u), subgroupBroadcast(v7, 1u)));
      aa = transpose(mat4x4f(subgroupBroadcast(v4, 2u), subgroupBroadcast(v5, 2u), subgroupBroadcast(v6, 2u), subgroupBroadcast(v7, 2u)));
      ab = transpose(mat4x4f(subgroupBroadcast(v4, 3u), subgroupBroadcast(v5, 3u), subgroupBroadcast(v6, 3u), subgroupBroadcast(v7, 3u)));
      ac = transpose(mat4x4f(subgroupBroadcast(v4, 4u), subgroupBroadcast(v5, 4u), subgroupBroadcast(v6, 4u), subgroupBroadcast(v7, 4u)));
      ad = transpose(mat4x4f(subgroupBroadcast(v4, 5u), subgroupBroadcast(v5, 5u), subgroupBroadcast(v6, 5u), subgroupBroadcast(v7, 5u)));
      ae = transpose(mat4x4f(subgroupBroadcast(v4, 6u), subgroupBroadcast(v5, 6u), subgroupBroadcast(v6, 6u), subgroupBroadcast(v7, 6u)));
      af = transpose(mat4x4f(subgroupBroadcast(v4, 7u), subgroupBroadcast(v5, 7u), subgroupBroadcast(v6, 7u), subgroupBroadcast(v7, 7u)));
    } else {
      a0 = mat4x4f(subgroupBroadcast(v0, 0u), subgroupBroadcast(v0, 1u), subgroupBroadcast(v0, 2u), subgroupBroadcast(v0, 3u));
      a1 = mat4x4f(subgroupBroadcast(v0, 4u), subgroupBroadcast(v0, 5u), subgroupBroadcast(v0, 6u), subgroupBroadcast(v0, 7u));
      a2 = mat4x4f(subgroupBroadcast(v1, 0u), subgroupBroadcast(v1, 1u), subgroupBroadcast(v1, 2u), subgroupBroadcast(v1, 3u));
      a3 = mat4x4f(subgroupBroadcast(v1, 4u), subgroupBroadcast(v1, 5u), subgroupBroadcast(v1, 6u), subgroupBroadcast(v1, 7u));
      a4 = mat4x4f(subgroupBroadcast(v2, 0u), subgroupBroadcast(v2, 1u), subgroupBroadcast(v2, 2u), subgroupBroadcast(v2, 3u));
      a5 = mat4x4f(subgroupBroadcast(v2, 4u), subgroupBroadcast(v2, 5u), subgroupBroadcast(v2, 6u), subgroupBroadcast(v2, 7u));
      a6 = mat4x4f(subgroupBroadcast(v3, 0u), subgroupBroadcast(v3, 1u), subgroupBroadcast(v3, 2u), subgroupBroadcast(v3, 3u));
      a7 = mat4x4f(subgroupBroadcast(v3, 4u), subgroupBroadcast(v3, 5u), subgroupBroadcast(v3, 6u), subgroupBroadcast(v3, 7u));
      a8 = mat4x4f(subgroupBroadcast(v4, 0u), subgroupBroadcast(v4, 1u), subgroupBroadcast(v4, 2u), subgroupBroadcast(v4, 3u));
      a9 = mat4x4f(subgroupBroadcast(v4, 4u), subgroupBroadcast(v4, 5u), subgroupBroadcast(v4, 6u), subgroupBroadcast(v4, 7u));
      aa = mat4x4f(subgroupBroadcast(v5, 0u), subgroupBroadcast(v5, 1u), subgroupBroadcast(v5, 2u), subgroupBroadcast(v5, 3u));
      ab = mat4x4f(subgroupBroadcast(v5, 4u), subgroupBroadcast(v5, 5u), subgroupBroadcast(v5, 6u), subgroupBroadcast(v5, 7u));
      ac = mat4x4f(subgroupBroadcast(v6, 0u), subgroupBroadcast(v6, 1u), subgroupBroadcast(v6, 2u), subgroupBroadcast(v6, 3u));
      ad = mat4x4f(subgroupBroadcast(v6, 4u), subgroupBroadcast(v6, 5u), subgroupBroadcast(v6, 6u), subgroupBroadcast(v6, 7u));
      ae = mat4x4f(subgroupBroadcast(v7, 0u), subgroupBroadcast(v7, 1u), subgroupBroadcast(v7, 2u), subgroupBroadcast(v7, 3u));
      af = mat4x4f(subgroupBroadcast(v7, 4u), subgroupBroadcast(v7, 5u), subgroupBroadcast(v7, 6u), subgroupBroadcast(v7, 7u));
    }
    c00 += b0 * a0; c01 += b1 * a0;
    c10 += b0 * a1; c11 += b1 * a1;
    c20 += b0 * a2; c21 += b1 * a2;
    c30 += b0 * a3; c31 += b1 * a3;
    c40 += b0 * a4; c41 += b1 * a4;
    c50 += b0 * a5; c51 += b1 * a5;
    c60 += b0 * a6; c61 += b1 * a6;
    c70 += b0 * a7; c71 += b1 * a7;
    c80 += b0 * a8; c81 += b1 * a8;
    c90 += b0 * a9; c91 += b1 * a9;
    ca0 += b0 * aa; ca1 += b1 * aa;
    cb0 += b0 * ab; cb1 += b1 * ab;
    cc0 += b0 * ac; cc1 += b1 * ac;
    cd0 += b0 * ad; cd1 += b1 * ad;
    ce0 += b0 * ae; ce1 += b1 * ae;
    cf0 += b0 * af; cf1 += b1 * af;
  }

  store_result_block(batch, row, column4, c00); store_result_block(batch, row, column4 + 1u, c01);
  store_result_block(batch, row + 4u, column4, c10); store_result_block(batch, row + 4u, column4 + 1u, c11);
  store_result_block(batch, row + 8u, column4, c20); store_result_block(batch, row + 8u, column4 + 1u, c21);
  store_result_block(batch, row + 12u, column4, c30); store_result_block(batch, row + 12u, column4 + 1u, c31);
  store_result_block(batch, row + 16u, column4, c40); store_result_block(batch, row + 16u, column4 + 1u, c41);
  store_result_block(batch, row + 20u, column4, c50); store_result_block(batch, row + 20u, column4 + 1u, c51);
  store_result_block(batch, row + 24u, column4, c60); store_result_block(batch, row + 24u, column4 + 1u, c61);
  store_result_block(batch, row + 28u, column4, c70); store_result_block(batch, row + 28u, column4 + 1u, c71);
  store_result_block(batch, row + 32u, column4, c80); store_result_block(batch, row + 32u, column4 + 1u, c81);
  store_result_block(batch, row + 36u, column4, c90); store_result_block(batch, row + 36u, column4 + 1u, c91);
  store_result_block(batch, row + 40u, column4, ca0); store_result_block(batch, row + 40u, column4 + 1u, ca1);
  store_result_block(batch, row + 44u, column4, cb0); store_result_block(batch, row + 44u, column4 + 1u, cb1);
  store_result_block(batch, row + 48u, column4, cc0); store_result_block(batch, row + 48u, column4 + 1u, cc1);
  store_result_block(batch, row + 52u, column4, cd0); store_result_block(batch, row + 52u, column4 + 1u, cd1);
  store_result_block(batch, row + 56u, column4, ce0); store_result_block(batch, row + 56u, column4 + 1u, ce1);
  store_result_block(batch, row + 60u, column4, cf0); store_result_block(batch, row + 60u, column4 + 1u, cf1);
}
`;
