export default /* wgsl */ `
// out[i] = epilogue(sum over p of parts[p][i] (+ bias[i mod N])) (+ out[i])
//
// parts: [parts, M, N], each matrix from a whole vec4 on (stride vec4 apart); bias: [N];
// out: [M, N], of M N elements. One invocation per vec4 of out. No barrier. The order is fixed, so
// results are the same run to run. Past the last element 0 is added or stored: out may lie in a slab
// of gradients, whose padding a norm reads.
// Error: |error| <= (parts + 2) 2^-24 sum |parts|.

override HAS_BIAS: bool = false;

struct Params { elements: u32, stride: u32, parts: u32, N: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Stored>;

alias Sum = vec4f;

@compute @workgroup_size(64)
fn matmul_sum_parts(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first >= params.elements) { return; }
  let place = vec4u(first) + vec4u(0u, 1u, 2u, 3u);
  var sum = vec4f();
  for (var part = 0u; part < params.parts; part++) {
    sum += parts[part * params.stride + i];
  }
  if (HAS_BIAS) {
    let column = place % params.N;
    sum += vec4f(bias[column.x], bias[column.y], bias[column.z], bias[column.w]);
  }
  let result = select(vec4f(), epilogue(sum, i), place < vec4u(params.elements));
  store_results(i, result, params.accumulate);
}
`;
