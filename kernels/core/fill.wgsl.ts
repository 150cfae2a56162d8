export default /* wgsl */ `
// out[i] = value
//
// out: [elements], written as vec4 (buffers are whole 256-byte blocks). One invocation per vec4.
// No barrier. Error: none. Past the last element 0 is stored: out may lie in a slab, whose padding is zero.

struct Params { elements: u32, value: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn fill(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first < params.elements) {
    let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
    out[i] = select(vec4f(), vec4f(params.value), inside);
  }
}
`;
