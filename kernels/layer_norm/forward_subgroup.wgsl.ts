export default /* wgsl */ `
// out = n gain + offset,  n = (x - mean) rstd,  rstd = 1 / sqrt(mean((x - mean)^2) + epsilon),
// gain = weight (1 + scale_b),  offset = shift_b; with RMS the mean is taken as 0
//
// x, out: [rows, width]; weight: [width]; all as vec4, width and the places in modulation multiples
// of 4; x, weight and modulation are bound as textures, which a CPU driver loads faster.
// modulation: any, read at b stride + scale and b stride + shift, where b = row / tokens (a stride
// of 0 gives all rows the same); stats: [rows] of (mean, rstd).
// For CPU drivers with subgroups of 8 or 16: one subgroup takes as many rows of one b. First each lane finds
// the moments of one row (Welford's recurrence on 4 columns side by side: one pass), then the lanes
// lie along the columns of two rows at a time, so that memory is read in order and gain and offset are
// loaded once for two rows. No barrier. Moves 8 bytes for each element, and loads x twice.
// Error of n: about 2^-24 (|mean| rstd + 4 + sqrt(width)). Sums run over x - x[0], so that a large
// common part costs no digits but those of the rounded mean.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;
override HAS_SHIFT: bool = false;
override LANES: u32 = 8u;

struct Params {
  rows: u32, width: u32, tokens: u32,
  stride: u32, scale: u32, shift: u32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var modulation: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;

fn at_x(i: u32) -> vec4f { return textureLoad(x, texel_of(i)); }
fn at_modulation(first: u32, j: u32) -> vec4f {
  return textureLoad(modulation, texel_of(first / 4u + j));
}

fn sum4(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }

fn moments_of(row: u32, vectors: u32) -> vec2f {
  let first = row * vectors;
  var mean = vec4f();
  var squares = vec4f();
  if (RMS) {
    for (var j = 0u; j < vectors; j++) {
      let v = at_x(first + j);
      squares += v * v;
    }
    return vec2f(0.0, inverseSqrt(sum4(squares) / f32(params.width) + params.epsilon));
  }
  let origin = at_x(first).x;
  for (var j = 0u; j < vectors; j++) {
    let v = at_x(first + j) - origin;
    let d = v - mean;
    mean += d / f32(j + 1u);
    squares += d * (v - mean);
  }
  let middle = sum4(mean) / 4.0;
  let d = mean - middle;
  let variance = (sum4(squares) + f32(vectors) * sum4(d * d)) / f32(params.width);
  return vec2f(origin + middle, inverseSqrt(variance + params.epsilon));
}

@compute @workgroup_size(LANES)
fn layer_norm_forward_subgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tiles = (params.tokens + LANES - 1u) / LANES;
  let tile = group.y * groups.x + group.x;
  let b = tile / tiles;
  let token = tile % tiles * LANES;
  let row = b * params.tokens + token;
  if (row >= params.rows) { return; }
  let count = min(LANES, params.tokens - token);
  let vectors = params.width / 4u;

  let own = moments_of(row + min(lane, count - 1u), vectors);
  if (lane < count) { stats[row + lane] = own; }

  let base = b * params.stride;
  // Rows past the last of b repeat it: the same values for the same place.
  let last = row + count - 1u;
  for (var r = 0u; r < LANES; r += 2u) {
    let m0 = subgroupShuffle(own, r);
    let m1 = subgroupShuffle(own, r + 1u);
    let i0 = min(row + r, last) * vectors;
    let i1 = min(row + r + 1u, last) * vectors;
    for (var j = lane; j < vectors; j += LANES) {
      var gain = vec4f(1.0);
      var offset = vec4f();
      if (HAS_WEIGHT) { gain = textureLoad(weight, texel_of(j)); }
      if (HAS_SCALE) { gain *= 1.0 + at_modulation(base + params.scale, j); }
      if (HAS_SHIFT) { offset = at_modulation(base + params.shift, j); }
      out[i0 + j] = (at_x(i0 + j) - m0.x) * m0.y * gain + offset;
      out[i1 + j] = (at_x(i1 + j) - m1.x) * m1.y * gain + offset;
    }
  }
}
`;
