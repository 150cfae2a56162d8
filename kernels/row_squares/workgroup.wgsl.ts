export default /* wgsl */ `
// out[r] = scale |x[r]|^2, or 1 / max(|x[r]|, epsilon) with INVERSE_ROOT
//
// x: [rows, width]; out: [rows]. One workgroup of 64 per row, each invocation every 64th element; then
// a tree in workgroup memory. Barriers: one after the partial sums, six in the tree.
// Error: |error| <= (width / 64 + 8) 2^-24 |out|.

struct Params { rows: u32, width: u32, scale: f32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

override INVERSE_ROOT: bool = false;

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn row_squares_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  let first = min(row, params.rows - 1u) * params.width;
  var sum = 0.0;
  for (var j = lane; j < params.width; j += 64u) {
    let value = x[first + j];
    sum += value * value;
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u && row < params.rows) {
    out[row] = select(params.scale * sums[0], 1.0 / max(sqrt(sums[0]), params.epsilon), INVERSE_ROOT);
  }
}
`;
