export default /* wgsl */ `
// out[z] = f(op(A[z]) op(B[z]) (+ bias)) (+ out[z]) of f16 operands, f an epilogue, for GPUs: runs of 8
// products summed in f16, the runs in f32
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K], both f16; bias:
// [N], f32; out: [batch, M, N], f32 or f16; any sizes. How the work is divided and barriers: common/tiled_product.
// Many GPUs multiply and add two halves in the time of one f32 (packed multiply-adds). For RDNA 2 an
// inner block of 512 products is 224 of those, 32 packed products and 64 additions of halves to f32
// (bench/gpu_code.md), where f32 takes 512 multiply-adds; workgroup memory holds halves as well.
// Error: |error| <= (9 2^-11 + K 2^-27) sum |a b| where a device rounds product and sum apart, 8 2^-11
// where it rounds once; roundings of random sign come to about 2^-11 of a sum of random terms, where
// rounding the operands to f16 has cost 0.6 2^-11 of it. Numbers below 2^-14 may count as 0: WGSL lets
// a device choose. Eight products of more than 65,504 together overflow, which the loss scale sees.
// Runs of 4 would have 5/9 of the bound and take 1.15 times as long; runs of 2 save nothing.

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
@group(0) @binding(1) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<Stored>;

alias Number = f16;

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

var<private> run_00: mat4x4<f16>;
var<private> run_01: mat4x4<f16>;
var<private> run_10: mat4x4<f16>;
var<private> run_11: mat4x4<f16>;

// run + x yT
fn plus(run: mat4x4<f16>, x: vec4<f16>, y: vec4<f16>) -> mat4x4<f16> {
  return mat4x4<f16>(fma(x.xxxx, y, run[0]), fma(x.yyyy, y, run[1]), fma(x.zzzz, y, run[2]),
    fma(x.wwww, y, run[3]));
}

fn widened(run: mat4x4<f16>) -> mat4x4f {
  return mat4x4f(vec4f(run[0]), vec4f(run[1]), vec4f(run[2]), vec4f(run[3]));
}

// p and q say where this invocation reads A and B: chunk, 32s of its lower and upper 4 rows, lane.
fn add_products(p: vec4u, q: vec4u, k: u32) {
  let x0 = tile[p.x][k / 4u][k % 4u][p.y][p.w];
  let x1 = tile[p.x][k / 4u][k % 4u][p.z][p.w];
  let y0 = tile[q.x][k / 4u][k % 4u][q.y][q.w];
  let y1 = tile[q.x][k / 4u][k % 4u][q.z][q.w];
  run_00 = plus(run_00, x0, y0);
  run_01 = plus(run_01, x0, y1);
  run_10 = plus(run_10, x1, y0);
  run_11 = plus(run_11, x1, y1);
}

// Written out: the compiler leaves a loop of eight a loop, with a bound to check and clamps within.
fn add_eight_products(p: vec4u, q: vec4u) {
  run_00 = mat4x4<f16>();
  run_01 = mat4x4<f16>();
  run_10 = mat4x4<f16>();
  run_11 = mat4x4<f16>();
  add_products(p, q, 0u);
  add_products(p, q, 1u);
  add_products(p, q, 2u);
  add_products(p, q, 3u);
  add_products(p, q, 4u);
  add_products(p, q, 5u);
  add_products(p, q, 6u);
  add_products(p, q, 7u);
  sum_00 += widened(run_00);
  sum_01 += widened(run_01);
  sum_10 += widened(run_10);
  sum_11 += widened(run_11);
}

@compute @workgroup_size(SIDE, SIDE)
fn matmul_tiled_f16(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  tiled_product(group, local, index);
}
`;
