export default /* wgsl */ `
// dy[b][j] (+)= (2 / elements) dloss[b] s (s y[b][j] - goal[b][j]), s = scale[b] or 1
//
// y, goal, dy: [batch, elements], as vec4, elements a multiple of 4; scale: [batch], read when
// scaled is 1; dloss: [batch]. One invocation per vec4; "vectors" counts those of one sample. No
// barrier. Error: 2^-23 (|s y| + |goal|) in the difference, times the factors, and four roundings.

struct Params { batch: u32, vectors: u32, scaled: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> goal: array<vec4f>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dy: array<vec4f>;

@compute @workgroup_size(64)
fn mean_square_backward_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.vectors) { return; }
  let b = i / params.vectors;
  var s = 1.0;
  if (params.scaled == 1u) { s = scale[b]; }
  let factor = 2.0 / f32(4u * params.vectors) * dloss[b] * s;
  var value = factor * (s * y[i] - goal[i]);
  if (params.accumulate == 1u) { value += dy[i]; }
  dy[i] = value;
}
`;
