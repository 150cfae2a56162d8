export default /* wgsl */ `
// out[i] (+)= a[i] b[i]
//
// a, b, out: [elements], as vec4 (buffers are whole 256-byte blocks). One invocation per vec4.
// No barrier. One rounding, two when it accumulates.

struct Params { vectors: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn multiply(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  var product = a[i] * b[i];
  if (params.accumulate == 1u) { product += out[i]; }
  out[i] = product;
}
`;
