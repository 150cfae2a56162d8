export default /* wgsl */ `
// dx[i] (+)= dy[i] gelu'(x[i]), the tanh form: see common/activation; for CPU drivers
//
// x, dy, dx: [elements], as vec4; x and dy are bound as textures. Moves 12 bytes for each element,
// 16 when it adds. One invocation per vec4. No barrier. Error: about 2^-21 |dy|. Past the last
// element 0 is added or stored: dx may lie in a slab of gradients, whose padding a norm reads.

struct Params { elements: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn gelu_backward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first >= params.elements) { return; }
  let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
  let place = texel_of(i);
  var value = select(vec4f(), textureLoad(dy, place) * gelu_slope(textureLoad(x, place)), inside);
  if (params.accumulate == 1u) { value += dx[i]; }
  dx[i] = value;
}
`;
