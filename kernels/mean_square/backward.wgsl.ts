export default /* wgsl */ `
// dy[b][j] (+)= (2 / elements) dloss[b] s (s y[b][j] - goal[b][j]), s = scale[b] or 1
//
// y, goal, dy: [batch, elements]; scale: [batch], read when scaled is 1; dloss: [batch].
// One invocation per element. No barrier. Error: 2^-23 (|s y| + |goal|) in the difference, times the
// factors, and four roundings.

struct Params { batch: u32, elements: u32, scaled: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> goal: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dy: array<f32>;

@compute @workgroup_size(64)
fn mean_square_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.elements) { return; }
  let b = i / params.elements;
  var s = 1.0;
  if (params.scaled == 1u) { s = scale[b]; }
  var value = 2.0 / f32(params.elements) * dloss[b] * s * (s * y[i] - goal[i]);
  if (params.accumulate == 1u) { value += dy[i]; }
  dy[i] = value;
}
`;
