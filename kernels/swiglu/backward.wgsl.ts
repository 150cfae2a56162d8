export default /* wgsl */ `
// dx[r][j] (+)= dy[r][j] x[r][h + j] silu'(x[r][j]),  dx[r][h + j] (+)= dy[r][j] silu(x[r][j])
//
// x, dx: [rows, 2 h]; dy: [rows, h]; any h. Moves 20 bytes for each element of dy, 28 when it adds.
// One invocation per element of dy. No barrier. Error: about 2^-21 of each product.

struct Params { elements: u32, width: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn swiglu_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  // Row r of x starts at 2 h r, which is h r past the row of dy.
  let at = i + i / params.width * params.width;
  let gate = vec4f(x[at]);
  var d_gate = dy[i] * x[at + params.width] * silu_slope(gate).x;
  var d_value = dy[i] * silu(gate).x;
  if (params.accumulate == 1u) {
    d_gate += dx[at];
    d_value += dx[at + params.width];
  }
  dx[at] = d_gate;
  dx[at + params.width] = d_value;
}
`;
