export default /* wgsl */ `
// tokens[b][t][e] (+)= images[b][c][y][x], or 0 for a channel that the images lack
//
// images: [B, channels, height, width]; tokens: [B, T, token_channels side^2], T patches of side x
// side pixels, row-major.
// e is (c, py, px) with the last fastest, or (py, px, c) when channel_last is 1.
// One invocation per element of tokens. No barrier.
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
@group(0) @binding(1) var<storage, read> images: array<f32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<f32>;

@compute @workgroup_size(64)
fn image_to_tokens(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let side = params.side;
  let area = side * side;
  let e = i % (params.token_channels * area);
  let token = i / (params.token_channels * area);
  var c = e / area;
  var place = e % area;
  if (params.channel_last == 1u) {
    c = e % params.token_channels;
    place = e / params.token_channels;
  }
  let grid_width = params.width / side;
  let grid_height = params.height / side;
  let b = token / (grid_width * grid_height);
  let y = (token / grid_width) % grid_height * side + place / side;
  let x = token % grid_width * side + place % side;
  var value = 0.0;
  if (c < params.channels) {
    value = images[((b * params.channels + c) * params.height + y) * params.width + x];
  }
  if (params.accumulate == 1u) { value += tokens[i]; }
  tokens[i] = value;
}
`;
