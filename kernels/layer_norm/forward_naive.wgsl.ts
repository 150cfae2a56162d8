export default /* wgsl */ `
// out = n gain + offset,  n = (x - mean) rstd,  rstd = 1 / sqrt(mean((x - mean)^2) + epsilon),
// gain = weight (1 + scale_b),  offset = shift_b; with RMS the mean is taken as 0
//
// x, out: [rows, width]; weight: [width]; any width up to 16,384.
// modulation: any, read at b stride + scale and b stride + shift, where b = row / tokens (a stride
// of 0 gives all rows the same); stats: [rows] of (mean, rstd).
// One invocation per row, three loops over it: the specification on the GPU, and the path for
// widths that are no multiples of 4. No barrier. Moves 8 bytes for each element.
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
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> modulation: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn layer_norm_forward_naive(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let first = row * params.width;
  let count = f32(params.width);
  var mean = 0.0;
  if (!RMS) {
    let origin = x[first];
    for (var j = 0u; j < params.width; j++) { mean += x[first + j] - origin; }
    mean = origin + mean / count;
  }
  var squares = 0.0;
  for (var j = 0u; j < params.width; j++) {
    let d = x[first + j] - mean;
    squares += d * d;
  }
  let rstd = inverseSqrt(squares / count + params.epsilon);
  stats[row] = vec2f(mean, rstd);

  let base = row / params.tokens * params.stride;
  for (var j = 0u; j < params.width; j++) {
    var value = (x[first + j] - mean) * rstd;
    if (HAS_WEIGHT) { value *= weight[j]; }
    if (HAS_SCALE) { value *= 1.0 + modulation[base + params.scale + j]; }
    if (HAS_SHIFT) { value += modulation[base + params.shift + j]; }
    out[first + j] = value;
  }
}
`;
