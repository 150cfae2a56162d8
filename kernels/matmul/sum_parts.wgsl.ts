export default /* wgsl */ `
// out[i] = sum over p of parts[p][i] (+ bias[i mod N]) (+ out[i])
//
// parts: [parts, M, N], each matrix from a whole vec4 on (stride vec4 apart); bias: [N];
// out: [M, N]. One invocation per vec4 of out; the last may reach past its end, within its block.
// No barrier. The order is fixed, so results are the same run to run.
// Error: |error| <= (parts + 2) 2^-24 sum |parts|.

override HAS_BIAS: bool = false;

struct Params { vectors: u32, stride: u32, parts: u32, N: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn matmul_sum_parts(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  var sum = vec4f();
  for (var part = 0u; part < params.parts; part++) {
    sum += parts[part * params.stride + i];
  }
  if (HAS_BIAS) {
    let column = (vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u)) % params.N;
    sum += vec4f(bias[column.x], bias[column.y], bias[column.z], bias[column.w]);
  }
  if (params.accumulate == 1u) { sum += out[i]; }
  out[i] = sum;
}
`;
