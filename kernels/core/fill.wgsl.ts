export default /* wgsl */ `
// out[i] = value
//
// out: [elements], written as vec4 (buffers are whole 256-byte blocks). One invocation per vec4.
// No barrier. Error: none.

struct Params { vectors: u32, value: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn fill(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.vectors) {
    out[i] = vec4f(params.value);
  }
}
`;
