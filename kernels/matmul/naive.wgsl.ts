export default /* wgsl */ `
// out[b] = f(op(A[b]) op(B[b]) (+ bias)) (+ out[b]),  op(X) = X or its transpose, f an epilogue
//
// a: [batch, M, K] or, transposed, [batch, K, M]; b: [batch, K, N] or [batch, N, K];
// bias: [N]; out: [batch, M, N]. A batch stride of 0 reads the same matrix for every b.
// One invocation per element of out, 2 K flops, no barrier: the specification on the GPU, and the
// path for sizes that are no multiples of 4.
// Error: a dot product summed in order, |error| <= K 2^-24 sum |a_k b_k|.

alias Sum = f32;

override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
override HAS_BIAS: bool = false;

struct Params { M: u32, N: u32, K: u32, stride_a: u32, stride_b: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(8, 8)
fn matmul_naive(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  let row = id.y;
  if (row >= params.M || column >= params.N) { return; }
  let step_a = select(1u, params.M, TRANSPOSE_A);
  let step_b = select(params.N, 1u, TRANSPOSE_B);
  var at_a = id.z * params.stride_a + select(row * params.K, row, TRANSPOSE_A);
  var at_b = id.z * params.stride_b + select(column, column * params.K, TRANSPOSE_B);
  var sum = 0.0;
  for (var k = 0u; k < params.K; k++) {
    sum += a[at_a] * b[at_b];
    at_a += step_a;
    at_b += step_b;
  }
  if (HAS_BIAS) { sum += bias[column]; }
  let at = (id.z * params.M + row) * params.N + column;
  var result = epilogue(sum, at).x;
  if (params.accumulate == 1u) { result += out[at]; }
  out[at] = result;
}
`;
