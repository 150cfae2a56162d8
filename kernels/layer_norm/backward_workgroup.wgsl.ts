export default /* wgsl */ `
// dx (+)= rstd (g - mean(g) - n mean(g n)),  g = dy gain,  gain = weight (1 + scale_b),
// n = (x - mean) rstd; with RMS the term mean(g) is absent
//
// x, dy, dx: [rows, width]; weight: [width]; all as vec4, width and the place in modulation
// multiples of 4.
// modulation: any, read at b stride + scale, where b = row / tokens; stats: [rows] of (mean, rstd)
// as the forward pass left them.
// For GPUs: one workgroup per row, whose second pass finds x and dy in the cache; one workgroup sum:
// 2 barriers by subgroups, 8 without. Moves 12 bytes for each element, 16 when it adds.
// Error: about 2^-24 rstd (|mean| rstd + 4 + sqrt(width)) of the largest |g|.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;

struct Params {
  rows: u32, width: u32, tokens: u32,
  stride: u32, scale: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;
@group(0) @binding(4) var<storage, read> modulation: array<vec4f>;
@group(0) @binding(5) var<storage, read> stats: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;

fn gain_of(j: u32, base: u32) -> vec4f {
  var gain = vec4f(1.0);
  if (HAS_WEIGHT) { gain = weight[j]; }
  if (HAS_SCALE) { gain *= 1.0 + modulation[(base + params.scale) / 4u + j]; }
  return gain;
}

@compute @workgroup_size(64)
fn layer_norm_backward_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let vectors = params.width / 4u;
  let first = row * vectors;
  let base = row / params.tokens * params.stride;
  let moments = stats[row];
  var sums = vec2f();
  for (var j = lane; j < vectors; j += 64u) {
    let g = dy[first + j] * gain_of(j, base);
    let n = (x[first + j] - moments.x) * moments.y;
    sums += vec2f(dot(g, vec4f(1.0)), dot(g, n));
  }
  var means = workgroup_sum(sums, lane) / f32(params.width);
  if (RMS) { means.x = 0.0; }
  for (var j = lane; j < vectors; j += 64u) {
    let i = first + j;
    let n = (x[i] - moments.x) * moments.y;
    var value = moments.y * (dy[i] * gain_of(j, base) - means.x - n * means.y);
    if (params.accumulate == 1u) { value += dx[i]; }
    dx[i] = value;
  }
}
`;
