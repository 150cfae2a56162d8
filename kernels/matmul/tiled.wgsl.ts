export default /* wgsl */ `
// out[z] = f(op(A[z]) op(B[z]) (+ bias)) (+ out[z]), f an epilogue, through workgroup memory, for GPUs
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N], f32 or f16; any sizes. How the work is divided, barriers, the error bound and what GPU
// compilers make of it: common/tiled_product.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;
override TILE: u32 = 64u;
override SIDE: u32 = TILE / 8u;
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
@group(0) @binding(4) var<storage, read_write> out: array<Stored>;

alias Number = f32;

fn one_of_a(i: u32) -> Number { return a[i / 4u][i % 4u]; }
fn one_of_b(i: u32) -> Number { return b[i / 4u][i % 4u]; }

// i counts vec4 with VECTORS, elements without.
fn four_of_a(i: u32) -> vec4<Number> {
  if (VECTORS) { return a[i]; }
  return vec4<Number>(one_of_a(i), one_of_a(i + 1u), one_of_a(i + 2u), one_of_a(i + 3u));
}

fn four_of_b(i: u32) -> vec4<Number> {
  if (VECTORS) { return b[i]; }
  return vec4<Number>(one_of_b(i), one_of_b(i + 1u), one_of_b(i + 2u), one_of_b(i + 3u));
}

fn operand_block(of_a: bool, i: u32, stride: u32) -> mat4x4<Number> {
  if (of_a) {
    return mat4x4<Number>(
      four_of_a(i), four_of_a(i + stride), four_of_a(i + 2u * stride), four_of_a(i + 3u * stride));
  }
  return mat4x4<Number>(
    four_of_b(i), four_of_b(i + stride), four_of_b(i + 2u * stride), four_of_b(i + 3u * stride));
}

// p and q say where this invocation reads A and B: chunk, 32s of its lower and upper 4 rows, lane.
fn add_products(p: vec4u, q: vec4u, k: u32) {
  let x0 = tile[p.x][k / 4u][k % 4u][p.y][p.w];
  let x1 = tile[p.x][k / 4u][k % 4u][p.z][p.w];
  let y0 = tile[q.x][k / 4u][k % 4u][q.y][q.w];
  let y1 = tile[q.x][k / 4u][k % 4u][q.z][q.w];
  sum_00 += mat4x4f(x0.x * y0, x0.y * y0, x0.z * y0, x0.w * y0);
  sum_01 += mat4x4f(x0.x * y1, x0.y * y1, x0.z * y1, x0.w * y1);
  sum_10 += mat4x4f(x1.x * y0, x1.y * y0, x1.z * y0, x1.w * y0);
  sum_11 += mat4x4f(x1.x * y1, x1.y * y1, x1.z * y1, x1.w * y1);
}

// Written out: the compiler leaves a loop of eight a loop, with a bound to check and clamps within.
fn add_eight_products(p: vec4u, q: vec4u) {
  add_products(p, q, 0u);
  add_products(p, q, 1u);
  add_products(p, q, 2u);
  add_products(p, q, 3u);
  add_products(p, q, 4u);
  add_products(p, q, 5u);
  add_products(p, q, 6u);
  add_products(p, q, 7u);
}

@compute @workgroup_size(SIDE, SIDE)
fn matmul_tiled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  tiled_product(group, local, index);
}
`;
