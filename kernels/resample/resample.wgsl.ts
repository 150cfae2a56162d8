export default /* wgsl */ `
// out[b][c][Y][X] = sum over input pixels (x, y) of
//   w((x + 1/2 - u) / s_x) w((y + 1/2 - v) / s_y) images[b][c][y][x], weights scaled to a sum of 1
// where (u, v) = transform (X + 1/2, Y + 1/2), w is the cubic of Catmull and Rom (Keys, a = -1/2),
// and s_x = max(1, |(du/dX, du/dY)|), s_y alike: an output pixel that covers several input pixels
// averages them. Outside of the image its edge goes on.
//
// images: [B, channels, height, width]; transforms: [B] of three columns, each padded to a vec4;
// out: [B, channels, out_height, out_width]. One invocation per element of out. No barrier.
// s is at most 60, so that the loops stay below 65,535 rounds in all, where CPU drivers stop.
// Error: exact where the sampled points are pixel centres and s = 1; else that of (u, v) in f32,
// 3 2^-24 (|u| + |v|) times the slope of the image, and 2^-24 (5 taps) max|images|.

struct Params {
  elements: u32,
  channels: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> images: array<f32>;
@group(0) @binding(2) var<storage, read> transforms: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

fn cubic(distance: f32) -> f32 {
  let d = abs(distance);
  if (d < 1.0) { return (1.5 * d - 2.5) * d * d + 1.0; }
  if (d < 2.0) { return ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0; }
  return 0.0;
}

@compute @workgroup_size(64)
fn resample(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let out_x = i % params.out_width;
  let out_y = i / params.out_width % params.out_height;
  let plane = i / (params.out_width * params.out_height);
  let b = plane / params.channels;
  let right = transforms[3u * b].xy;
  let down = transforms[3u * b + 1u].xy;
  // In pixels from the centre of the input's first pixel.
  let centre = right * (f32(out_x) + 0.5) + down * (f32(out_y) + 0.5) +
    transforms[3u * b + 2u].xy - vec2f(0.5);
  let spread = clamp(sqrt(right * right + down * down), vec2f(1.0), vec2f(60.0));
  let first = vec2i(ceil(centre - 2.0 * spread));
  let last = vec2i(floor(centre + 2.0 * spread));
  let edge = vec2i(i32(params.width), i32(params.height)) - vec2i(1);
  var total_x = 0.0;
  for (var x = first.x; x <= last.x; x++) {
    total_x += cubic((f32(x) - centre.x) / spread.x);
  }
  var total_y = 0.0;
  var sum = 0.0;
  for (var y = first.y; y <= last.y; y++) {
    let row = (plane * params.height + u32(clamp(y, 0, edge.y))) * params.width;
    var row_sum = 0.0;
    for (var x = first.x; x <= last.x; x++) {
      row_sum += cubic((f32(x) - centre.x) / spread.x) * images[row + u32(clamp(x, 0, edge.x))];
    }
    let weight = cubic((f32(y) - centre.y) / spread.y);
    total_y += weight;
    sum += weight * row_sum;
  }
  out[i] = sum / (total_x * total_y);
}
`;
