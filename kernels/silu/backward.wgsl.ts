export default /* wgsl */ `
// dx[i] (+)= dy[i] silu'(x[i]),  silu'(x) = s (1 + x (1 - s)) with s = 1 / (1 + exp(-x))
//
// x, dy, dx: [elements], as vec4. Moves 12 bytes for each element, 16 when it adds. One invocation
// per vec4. No barrier. Error: about 2^-21 |dy|. Past the last element 0 is added or
// stored: dx may lie in a slab of gradients, whose padding a norm reads.

struct Params { elements: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn silu_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first >= params.elements) { return; }
  let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
  var value = select(vec4f(), dy[i] * silu_slope(x[i]), inside);
  if (params.accumulate == 1u) { value += dx[i]; }
  dx[i] = value;
}
`;
