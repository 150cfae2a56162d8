export default /* wgsl */ `
// out[b] = op(A[b]) op(B[b]) (+ bias) (+ out[b]) through workgroup memory, for GPUs
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K]; bias: [N];
// out: [batch, M, N]; any sizes (loads past the edge give 0).
// One workgroup of 16 by 16 computes 64 rows by 64 columns, each invocation 4 by 4: for 16 steps of
// K the workgroup stages 64 x 16 of A and 16 x 64 of B (8 KiB) between two barriers and each
// invocation does 256 multiply-adds from 32 vec4 reads of workgroup memory.
// Error: |error| <= K 2^-24 sum |a_k b_k|, summed in order.

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;

struct Params { M: u32, N: u32, K: u32, stride_a: u32, stride_b: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Both tiles lie K-major: [k][16 vec4 of rows or columns].
var<workgroup> tile_a: array<array<vec4f, 16>, 16>;
var<workgroup> tile_b: array<array<vec4f, 16>, 16>;

fn element_a(base: u32, row: u32, k: u32) -> f32 {
  if (row >= params.M || k >= params.K) { return 0.0; }
  return a[base + select(row * params.K + k, k * params.M + row, TRANSPOSE_A)];
}

fn element_b(base: u32, k: u32, column: u32) -> f32 {
  if (column >= params.N || k >= params.K) { return 0.0; }
  return b[base + select(k * params.N + column, column * params.K + k, TRANSPOSE_B)];
}

fn store(batch: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.M) { return; }
  for (var j = 0u; j < 4u; j++) {
    if (column + j < params.N) {
      let i = (batch * params.M + row) * params.N + column + j;
      var value = values[j];
      if (HAS_BIAS) { value += bias[column + j]; }
      if (params.accumulate == 1u) { value += out[i]; }
      out[i] = value;
    }
  }
}

@compute @workgroup_size(16, 16)
fn matmul_tiled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let batch = group.z;
  let base_a = batch * params.stride_a;
  let base_b = batch * params.stride_b;
  let row0 = group.y * 64u;
  let column0 = group.x * 64u;
  // Neighbouring invocations load neighbouring addresses, whichever way the matrix lies.
  let load_a = select(vec2u(index % 16u, index / 16u), vec2u(index / 16u, index % 16u), TRANSPOSE_A);
  let load_b = select(vec2u(index / 16u, index % 16u), vec2u(index % 16u, index / 16u), TRANSPOSE_B);
  var c = mat4x4f();

  for (var k0 = 0u; k0 < params.K; k0 += 16u) {
    let row = row0 + load_a.y * 4u;
    let column = column0 + load_b.y * 4u;
    tile_a[load_a.x][load_a.y] = vec4f(
      element_a(base_a, row, k0 + load_a.x), element_a(base_a, row + 1u, k0 + load_a.x),
      element_a(base_a, row + 2u, k0 + load_a.x), element_a(base_a, row + 3u, k0 + load_a.x));
    tile_b[load_b.x][load_b.y] = vec4f(
      element_b(base_b, k0 + load_b.x, column), element_b(base_b, k0 + load_b.x, column + 1u),
      element_b(base_b, k0 + load_b.x, column + 2u), element_b(base_b, k0 + load_b.x, column + 3u));
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let x = tile_a[k][local.y];
      let y = tile_b[k][local.x];
      c += mat4x4f(x.x * y, x.y * y, x.z * y, x.w * y);
    }
    workgroupBarrier();
  }

  let row = row0 + local.y * 4u;
  let column = column0 + local.x * 4u;
  store(batch, row, column, c[0]);
  store(batch, row + 1u, column, c[1]);
  store(batch, row + 2u, column, c[2]);
  store(batch, row + 3u, column, c[3]);
}
`;
