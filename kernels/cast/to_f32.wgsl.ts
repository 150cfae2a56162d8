export default /* wgsl */ `
// out[i] = x[i], an f16 as an f32: see common/half
//
// x: [elements], four halves as a vec2u; out: [elements], as vec4. Moves 6 bytes for each element.
// One invocation per vec4. No barrier. Error: none. Past the last element 0 is stored: out may lie in a
// slab, whose padding is zero.

struct Params { elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn cast_to_f32(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first < params.elements) {
    let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
    out[i] = select(vec4f(), half_values(x[i]), inside);
  }
}
`;
