export default /* wgsl */ `
// out[i] (+)= scale x[0]
//
// x: [1]; out: [elements], as vec4 (buffers are whole 256-byte blocks). One invocation per vec4.
// No barrier. Past the last element 0 is added or stored: out may lie in a slab of gradients, whose
// padding a norm reads.
// Error: one rounding, 2^-24 relative, and one of the sum when it accumulates.

struct Params { elements: u32, scale: f32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn spread(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first >= params.elements) { return; }
  let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
  var value = select(vec4f(), vec4f(params.scale * x[0]), inside);
  if (params.accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
