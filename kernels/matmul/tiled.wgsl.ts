export default /* wgsl */ `
// out[z] = op(A[z]) op(B[z]) (+ bias) (+ out[z]) through workgroup memory, for GPUs
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N]; any sizes. How the work is divided, barriers, the error bound and what GPU
// compilers make of it: common/tiled_product.

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
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

alias Four = vec4f;

fn numbers(four: Four) -> vec4f { return four; }

fn one_of_a(i: u32) -> f32 { return a[i / 4u][i % 4u]; }
fn one_of_b(i: u32) -> f32 { return b[i / 4u][i % 4u]; }

// i counts vec4 with VECTORS, elements without.
fn four_of_a(i: u32) -> Four {
  if (VECTORS) { return a[i]; }
  return vec4f(one_of_a(i), one_of_a(i + 1u), one_of_a(i + 2u), one_of_a(i + 3u));
}

fn four_of_b(i: u32) -> Four {
  if (VECTORS) { return b[i]; }
  return vec4f(one_of_b(i), one_of_b(i + 1u), one_of_b(i + 2u), one_of_b(i + 3u));
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
fn matmul_tiled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  tiled_product(group, local, index);
}
`;
