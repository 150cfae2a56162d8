export default /* wgsl */ `
// out[r] = x[r] / max(|x[r]|, epsilon)
//
// x, out: [rows, width]. One invocation per row. No barrier.
// Error: |error| <= (width / 2 + 4) 2^-24 |out|.

struct Params { rows: u32, width: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn l2_normalize(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let first = row * params.width;
  var squares = 0.0;
  for (var i = first; i < first + params.width; i++) {
    squares += x[i] * x[i];
  }
  let norm = max(sqrt(squares), params.epsilon);
  for (var i = first; i < first + params.width; i++) {
    out[i] = x[i] / norm;
  }
}
`;
