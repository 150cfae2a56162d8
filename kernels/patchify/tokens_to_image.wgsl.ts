export default /* wgsl */ `
// images[b][c][y][x] (+)= tokens[b][t][e]
//
// tokens: [B, T, token_channels side^2], T patches of side x side pixels, row-major; images: [B,
// channels, height, width] with channels <= token_channels: the rest of the token is not read.
// e is (c, py, px) with the last fastest, or (py, px, c) when channel_last is 1.
// One invocation per pixel and channel. No barrier.
// Error: none, or one rounding of the sum, 2^-24 relative, when it accumulates.

struct Params {
  elements: u32,
  channels: u32,
  token_channels: u32,
  height: u32,
  width: u32,
  side: u32,
  channel_last: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<f32>;
@group(0) @binding(2) var<storage, read_write> images: array<f32>;

@compute @workgroup_size(64)
fn tokens_to_image(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let side = params.side;
  let area = side * side;
  let x = i % params.width;
  let y = i / params.width % params.height;
  let plane = i / (params.width * params.height);
  let c = plane % params.channels;
  let b = plane / params.channels;
  let grid_width = params.width / side;
  let token = (b * (params.height / side) + y / side) * grid_width + x / side;
  let place = y % side * side + x % side;
  var e = c * area + place;
  if (params.channel_last == 1u) { e = place * params.token_channels + c; }
  var value = tokens[token * params.token_channels * area + e];
  if (params.accumulate == 1u) { value += images[i]; }
  images[i] = value;
}
`;
