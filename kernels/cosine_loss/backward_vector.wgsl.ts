export default /* wgsl */ `
// da[i] (+)= scale dloss[batch element of i] (s.x b[i] - slope a[i]), s = stats[position of i],
// slope = s.y, or s.z when second is 1 (a and b have changed places)
//
// a, b, da: [batch, positions, channels], as vec4, channels a multiple of 4; stats: [batch,
// positions] of vec4, see cosine.wgsl.ts; dloss: [batch]. One invocation per vec4; "width" counts
// those of a position. No barrier.
// Error: six roundings and those of stats, relative to |s.x b| + |slope a|.

struct Params {
  vectors: u32,
  width: u32,
  positions: u32,
  second: u32,
  scale: f32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> stats: array<vec4f>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> da: array<vec4f>;

@compute @workgroup_size(64)
fn cosine_loss_backward_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  let position = i / params.width;
  let s = stats[position];
  let slope = select(s.y, s.z, params.second == 1u);
  let factor = params.scale * dloss[position / params.positions];
  var value = factor * (s.x * b[i] - slope * a[i]);
  if (params.accumulate == 1u) { value += da[i]; }
  da[i] = value;
}
`;
