export default /* wgsl */ `
// out[b] = f(op(A[b]) op(B[b]) (+ bias)) (+ out[b]), f an epilogue, on a CPU driver without subgroups
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N]; M, N, K multiples of 4; a, b and bias are bound as textures of vec4, which this
// driver loads several times faster than storage buffers.
// One invocation computes 16 rows by 16 columns in registers: for 4 steps of K it loads 32 vec4 for
// 1,024 multiply-adds. Invocations of a workgroup lie along N. No workgroup memory, no barrier.
// Error: |error| <= K 2^-24 sum |a_k b_k|, summed in order.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;

struct Params { M: u32, N: u32, K: u32, stride_a: u32, stride_b: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var a: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var b: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var bias: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

// The block of op(A) at rows 4 row4 and columns 4 k4; its matrix columns are rows of op(A).
fn block_a(base: u32, row4: u32, k4: u32) -> mat4x4f {
  if (TRANSPOSE_A) {
    let stride = params.M / 4u;
    let i = base + k4 * 4u * stride + row4;
    return transpose(mat4x4f(
      operand_a(i), operand_a(i + stride), operand_a(i + 2u * stride), operand_a(i + 3u * stride)));
  }
  let stride = params.K / 4u;
  let i = base + row4 * 4u * stride + k4;
  return mat4x4f(
    operand_a(i), operand_a(i + stride), operand_a(i + 2u * stride), operand_a(i + 3u * stride));
}

@compute @workgroup_size(8)
fn matmul_register(@builtin(global_invocation_id) id: vec3u) {
  let row4 = id.y * 4u;
  let column4 = id.x * 4u;
  let batch = id.z;
  let base_a = batch * params.stride_a / 4u;
  let base_b = batch * params.stride_b / 4u;

  var c00 = mat4x4f(); var c01 = mat4x4f(); var c02 = mat4x4f(); var c03 = mat4x4f();
  var c10 = mat4x4f(); var c11 = mat4x4f(); var c12 = mat4x4f(); var c13 = mat4x4f();
  var c20 = mat4x4f(); var c21 = mat4x4f(); var c22 = mat4x4f(); var c23 = mat4x4f();
  var c30 = mat4x4f(); var c31 = mat4x4f(); var c32 = mat4x4f(); var c33 = mat4x4f();

  for (var k4 = 0u; k4 < params.K / 4u; k4++) {
    let b0 = operand_block_b(base_b, k4, column4);
    let b1 = operand_block_b(base_b, k4, column4 + 1u);
    let b2 = operand_block_b(base_b, k4, column4 + 2u);
    let b3 = operand_block_b(base_b, k4, column4 + 3u);
    let a0 = block_a(base_a, row4, k4);
    c00 += b0 * a0; c01 += b1 * a0; c02 += b2 * a0; c03 += b3 * a0;
    let a1 = block_a(base_a, row4 + 1u, k4);
    c10 += b0 * a1; c11 += b1 * a1; c12 += b2 * a1; c13 += b3 * a1;
    let a2 = block_a(base_a, row4 + 2u, k4);
    c20 += b0 * a2; c21 += b1 * a2; c22 += b2 * a2; c23 += b3 * a2;
    let a3 = block_a(base_a, row4 + 3u, k4);
    c30 += b0 * a3; c31 += b1 * a3; c32 += b2 * a3; c33 += b3 * a3;
  }

  store_result_block(batch, 4u * row4, column4, c00);
  store_result_block(batch, 4u * row4, column4 + 1u, c01);
  store_result_block(batch, 4u * row4, column4 + 2u, c02);
  store_result_block(batch, 4u * row4, column4 + 3u, c03);
  store_result_block(batch, 4u * row4 + 4u, column4, c10);
  store_result_block(batch, 4u * row4 + 4u, column4 + 1u, c11);
  store_result_block(batch, 4u * row4 + 4u, column4 + 2u, c12);
  store_result_block(batch, 4u * row4 + 4u, column4 + 3u, c13);
  store_result_block(batch, 4u * row4 + 8u, column4, c20);
  store_result_block(batch, 4u * row4 + 8u, column4 + 1u, c21);
  store_result_block(batch, 4u * row4 + 8u, column4 + 2u, c22);
  store_result_block(batch, 4u * row4 + 8u, column4 + 3u, c23);
  store_result_block(batch, 4u * row4 + 12u, column4, c30);
  store_result_block(batch, 4u * row4 + 12u, column4 + 1u, c31);
  store_result_block(batch, 4u * row4 + 12u, column4 + 2u, c32);
  store_result_block(batch, 4u * row4 + 12u, column4 + 3u, c33);
}
`;
