export default /* wgsl */ `
// dx[r][j] (+)= dy[r][j] x[r][h + j] silu'(x[r][j]),  dx[r][h + j] (+)= dy[r][j] silu(x[r][j]),
// for CPU drivers
//
// x, dx: [rows, 2 h]; dy: [rows, h]; x and dy are bound as textures of vec4; h a multiple of 4.
// Moves 20 bytes for each element of dy, 28 when it adds. One invocation per vec4 of dy; "vectors"
// counts those of dy, "width" those of a row of it. No barrier. Error: about 2^-21 of each product.

struct Params { vectors: u32, width: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

fn at_x(i: u32) -> vec4f { return textureLoad(x, texel_of(i)); }

@compute @workgroup_size(64)
fn swiglu_backward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  let at = i + i / params.width * params.width;
  let gate = at_x(at);
  let slope = textureLoad(dy, texel_of(i));
  var d_gate = slope * at_x(at + params.width) * silu_slope(gate);
  var d_value = slope * silu(gate);
  if (params.accumulate == 1u) {
    d_gate += dx[at];
    d_value += dx[at + params.width];
  }
  dx[at] = d_gate;
  dx[at + params.width] = d_value;
}
`;
