export default /* wgsl */ `
// out[i] += x[i]
//
// x, out: [elements], as vec4. One invocation per vec4. No barrier.
// Past the last element out stays: it may lie in a slab of gradients, whose padding a norm reads.
// Error: one rounding, 2^-24 relative.

struct Params { elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn add(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first < params.elements) {
    let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
    out[i] += select(vec4f(), x[i], inside);
  }
}
`;
