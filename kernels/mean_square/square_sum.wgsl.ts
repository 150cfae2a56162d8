export default /* wgsl */ `
// sums[b][k] = sum over j = k, k + lanes, ... of (s y[b][j] - goal[b][j])^2, s = scale[b] or 1
//
// y, goal: [batch, elements]; scale: [batch], read when scaled is 1; sums: [batch, lanes].
// One invocation per sample and lane; neighbours read neighbours. No barrier.
// Error: |error| <= (elements / lanes + 4) 2^-24 of the sum, and 2^-23 (|s y| + |goal|) per
// difference before it is squared.

struct Params { batch: u32, elements: u32, lanes: u32, scaled: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> goal: array<f32>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn square_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.lanes) { return; }
  let b = i / params.lanes;
  var s = 1.0;
  if (params.scaled == 1u) { s = scale[b]; }
  let row = b * params.elements;
  var sum = 0.0;
  for (var j = row + i % params.lanes; j < row + params.elements; j += params.lanes) {
    let difference = s * y[j] - goal[j];
    sum += difference * difference;
  }
  sums[i] = sum;
}
`;
