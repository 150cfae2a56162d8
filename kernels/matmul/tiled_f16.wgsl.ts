export default /* wgsl */ `
// out[z] = op(A[z]) op(B[z]) (+ bias) (+ out[z]) of f16 operands with f32 sums, for GPUs
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K], both f16, four
// as one vec2u; bias: [N], out: [batch, M, N], f32; any sizes. How the work is divided, barriers and
// the error bound: common/tiled_product. The products of halves are exact, so the bound is that of
// f32 on operands that were rounded. Halves below 2^-14 may count as 0: WGSL lets a device choose.
//
// Halves are widened once, on their way to workgroup memory, so the inner loop is that of f32 and
// what is saved is traffic: half the bytes of both operands. Two other ways were compiled for RDNA 2:
// halves in workgroup memory and mixed multiply-adds (v_fma_mix) take as many instructions and half
// the workgroup memory, but on GPUs without that instruction 16 conversions for 64 multiply-adds.
// Packed multiply-adds with runs of 8 steps of K summed in f16 take 0.7 of the instructions, and
// their bound is 8 2^-11 sum |a b| (2^-8; rounding both operands costs 2^-10), with overflow from
// 65,504 in every product of a scaled gradient. Runs of 2, whose bound would be 2^-10, save nothing.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;
override VECTORS: bool = true;
override TILE: u32 = 64u;
override LANES: u32 = TILE / 8u;
override STEP: u32 = TILE / 8u;
override BLOCKS: u32 = TILE * STEP / 16u;
override CHUNKS: u32 = TILE * STEP / 512u;
override ALL_CHUNKS: u32 = 2u * CHUNKS;
override UNIT: u32 = select(1u, 4u, VECTORS);

struct Params {
  M: u32, N: u32, K: u32,
  stride_a: u32, stride_b: u32, stride_out: u32,
  chunk: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec2u>;
@group(0) @binding(2) var<storage, read> b: array<vec2u>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

alias Four = vec2u;

fn numbers(four: Four) -> vec4f {
  return vec4f(unpack2x16float(four.x), unpack2x16float(four.y));
}

// Elements i and i + 1 as one word.
fn two_of_a(i: u32) -> u32 {
  let low = a[i / 4u][i / 2u % 2u] >> (i % 2u * 16u);
  let high = a[(i + 1u) / 4u][(i + 1u) / 2u % 2u] >> ((i + 1u) % 2u * 16u);
  return (low & 0xffffu) | (high << 16u);
}

fn two_of_b(i: u32) -> u32 {
  let low = b[i / 4u][i / 2u % 2u] >> (i % 2u * 16u);
  let high = b[(i + 1u) / 4u][(i + 1u) / 2u % 2u] >> ((i + 1u) % 2u * 16u);
  return (low & 0xffffu) | (high << 16u);
}

// i counts fours with VECTORS, elements without.
fn four_of_a(i: u32) -> Four {
  if (VECTORS) { return a[i]; }
  return vec2u(two_of_a(i), two_of_a(i + 2u));
}

fn four_of_b(i: u32) -> Four {
  if (VECTORS) { return b[i]; }
  return vec2u(two_of_b(i), two_of_b(i + 2u));
}

fn operand_block(of_a: bool, i: u32, stride: u32) -> array<Four, 4> {
  if (of_a) {
    return array<Four, 4>(
      four_of_a(i), four_of_a(i + stride), four_of_a(i + 2u * stride), four_of_a(i + 3u * stride));
  }
  return array<Four, 4>(
    four_of_b(i), four_of_b(i + stride), four_of_b(i + 2u * stride), four_of_b(i + 3u * stride));
}

@compute @workgroup_size(LANES, LANES)
fn matmul_tiled_f16(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  tiled_product(group, local, index);
}
`;
