export default /* wgsl */ `
// out = n gain + offset,  n = (x - mean) rstd,  rstd = 1 / sqrt(mean((x - mean)^2) + epsilon),
// gain = weight (1 + scale_b),  offset = shift_b; with RMS the mean is taken as 0
//
// x, out: [rows, width]; weight: [width]; all as vec4, width and the places in modulation multiples
// of 4.
// modulation: any, read at b stride + scale and b stride + shift, where b = row / tokens (a stride
// of 0 gives all rows the same); stats: [rows] of (mean, rstd).
// For GPUs: one workgroup per row, whose second and third pass find x in the cache; 2 workgroup
// sums: 4 barriers by subgroups, 16 without. Moves 8 bytes for each element, 6 where out is f16.
// Error of n: about 2^-24 (|mean| rstd + 4 + sqrt(width)). Sums run over x - x[0], so that a large
// common part costs no digits but those of the rounded mean.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;
override HAS_SHIFT: bool = false;

struct Params {
  rows: u32, width: u32, tokens: u32,
  stride: u32, scale: u32, shift: u32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> modulation: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;

@compute @workgroup_size(64)
fn layer_norm_forward_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let vectors = params.width / 4u;
  let first = row * vectors;
  let count = f32(params.width);
  var mean = 0.0;
  if (!RMS) {
    let origin = x[first].x;
    var sum = vec4f();
    for (var j = lane; j < vectors; j += 64u) { sum += x[first + j] - origin; }
    mean = origin + workgroup_sum(vec2f(dot(sum, vec4f(1.0)), 0.0), lane).x / count;
  }
  var squares = vec4f();
  for (var j = lane; j < vectors; j += 64u) {
    let d = x[first + j] - mean;
    squares += d * d;
  }
  let variance = workgroup_sum(vec2f(dot(squares, vec4f(1.0)), 0.0), lane).x / count;
  let rstd = inverseSqrt(variance + params.epsilon);
  if (lane == 0u) { stats[row] = vec2f(mean, rstd); }

  let base = row / params.tokens * params.stride;
  for (var j = lane; j < vectors; j += 64u) {
    var value = (x[first + j] - mean) * rstd;
    if (HAS_WEIGHT) { value *= weight[j]; }
    if (HAS_SCALE) { value *= 1.0 + modulation[(base + params.scale) / 4u + j]; }
    if (HAS_SHIFT) { value += modulation[(base + params.shift) / 4u + j]; }
    store_results(first + j, value, 0u);
  }
}
`;
