export default /* wgsl */ `
// out[r][k] = offset + scale (x[r][k] + x[r][k + lanes] + x[r][k + 2 lanes] + ...) [+ out[r][k]]
//
// x: [rows, columns]; out: [rows, lanes]. With one lane it is the sum of each row; longer rows go
// through partial sums first. One invocation per row and lane; neighbours read neighbours.
// No barrier. Error: |error| <= (ceil(columns / lanes) + 2) 2^-24 |scale| sum |x|, summed in order.

struct Params { rows: u32, columns: u32, lanes: u32, scale: f32, offset: f32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn row_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.lanes) { return; }
  let row = i / params.lanes * params.columns;
  var sum = 0.0;
  for (var j = i % params.lanes; j < params.columns; j += params.lanes) {
    sum += x[row + j];
  }
  var value = params.offset + params.scale * sum;
  if (params.accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
