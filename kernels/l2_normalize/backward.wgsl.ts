export default /* wgsl */ `
// dx[r] (+)= (dy[r] - x[r] (x[r] . dy[r]) / |x[r]|^2) / |x[r]|, or dy[r] / epsilon for a norm up to it
//
// x, dy, dx: [rows, width]. One invocation per row. No barrier.
// Error: |error| <= (3 width / 2 + 8) 2^-24 |dy[r]| / |x[r]|.

struct Params { rows: u32, width: u32, epsilon: f32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn l2_normalize_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let first = row * params.width;
  var squares = 0.0;
  var product = 0.0;
  for (var i = first; i < first + params.width; i++) {
    squares += x[i] * x[i];
    product += x[i] * dy[i];
  }
  let norm = sqrt(squares);
  var slope = 0.0;
  if (norm > params.epsilon) { slope = product / squares; }
  for (var i = first; i < first + params.width; i++) {
    var value = (dy[i] - slope * x[i]) / max(norm, params.epsilon);
    if (params.accumulate == 1u) { value += dx[i]; }
    dx[i] = value;
  }
}
`;
