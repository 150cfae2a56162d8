export default /* wgsl */ `
// dx (+)= rstd (g - mean(g) - n mean(g n)),  g = dy gain,  gain = weight (1 + scale_b),
// n = (x - mean) rstd; with RMS the term mean(g) is absent
//
// x, dy, dx: [rows, width]; weight: [width]; all as vec4, width and the place in modulation
// multiples of 4; x, dy, weight and modulation are bound as textures, which a CPU driver loads
// faster, and so is "before": dx as it was, read when the kernel adds.
// modulation: any, read at b stride + scale, where b = row / tokens; stats: [rows] of (mean, rstd)
// as the forward pass left them.
// For CPU drivers with subgroups of 8 or 16: one takes as many rows of one b, two at a time, its lanes
// along the columns. Memory is so read in order, and the gain loaded once for two rows: on two cores of
// Zen 5 a training step's kernels take half the time that they took with 8 rows side by side. No
// barrier. Moves 12 bytes for each element, 16 when it adds, and loads x and dy twice.
// Error: about 2^-24 rstd (|mean| rstd + 4 + sqrt(width)) of the largest |g|.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;
override LANES: u32 = 8u;

struct Params {
  rows: u32, width: u32, tokens: u32,
  stride: u32, scale: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var modulation: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var<storage, read> stats: array<vec2f>;
@group(0) @binding(6) var before: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var<storage, read_write> dx: array<vec4f>;

fn gain_of(j: u32, base: u32) -> vec4f {
  var gain = vec4f(1.0);
  if (HAS_WEIGHT) { gain = textureLoad(weight, texel_of(j)); }
  if (HAS_SCALE) { gain *= 1.0 + textureLoad(modulation, texel_of((base + params.scale) / 4u + j)); }
  return gain;
}

fn normalised(i: vec2u, moments: vec2f) -> vec4f {
  return (textureLoad(x, i) - moments.x) * moments.y;
}

// The share of 4 columns in the sums of g and of g n of a row.
fn sums_of(i: u32, gain: vec4f, moments: vec2f) -> vec2f {
  let place = texel_of(i);
  let g = textureLoad(dy, place) * gain;
  return vec2f(dot(g, vec4f(1.0)), dot(g, normalised(place, moments)));
}

fn mean_of(sums: vec2f) -> vec2f {
  let means = subgroupAdd(sums) / f32(params.width);
  return select(means, vec2f(0.0, means.y), RMS);
}

fn store(i: u32, gain: vec4f, moments: vec2f, means: vec2f) {
  let place = texel_of(i);
  let g = textureLoad(dy, place) * gain;
  var value = moments.y * (g - means.x - normalised(place, moments) * means.y);
  if (params.accumulate == 1u) { value += textureLoad(before, place); }
  dx[i] = value;
}

@compute @workgroup_size(LANES)
fn layer_norm_backward_subgroup(
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
  // Rows past the last of b repeat it: the same values for the same place.
  let last = b * params.tokens + min(token + LANES, params.tokens) - 1u;
  let vectors = params.width / 4u;
  let base = b * params.stride;
  let own = stats[min(row + lane, last)];

  for (var r = 0u; r < LANES; r += 2u) {
    let m0 = subgroupShuffle(own, r);
    let m1 = subgroupShuffle(own, r + 1u);
    let i0 = min(row + r, last) * vectors;
    let i1 = min(row + r + 1u, last) * vectors;
    var s0 = vec2f();
    var s1 = vec2f();
    for (var j = lane; j < vectors; j += LANES) {
      let gain = gain_of(j, base);
      s0 += sums_of(i0 + j, gain, m0);
      s1 += sums_of(i1 + j, gain, m1);
    }
    s0 = mean_of(s0);
    s1 = mean_of(s1);
    for (var j = lane; j < vectors; j += LANES) {
      let gain = gain_of(j, base);
      store(i0 + j, gain, m0, s0);
      store(i1 + j, gain, m1, s1);
    }
  }
}
`;
