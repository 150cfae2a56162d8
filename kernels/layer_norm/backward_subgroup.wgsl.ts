export default /* wgsl */ `
// dx (+)= rstd (g - mean(g) - n mean(g n)),  g = dy gain,  gain = weight (1 + scale_b),
// n = (x - mean) rstd; with RMS the term mean(g) is absent
//
// x, dy, dx: [rows, width]; weight: [width]; all as vec4, width and the place in modulation
// multiples of 4; x, dy, weight and modulation are bound as textures, which a CPU driver loads
// faster, and so is "before": dx as it was, read when the kernel adds.
// modulation: any, read at b stride + scale, where b = row / tokens; stats: [rows] of (mean, rstd)
// as the forward pass left them.
// For CPU drivers with subgroups of 8: one subgroup takes 8 rows of one b, its lanes lie along the
// columns, so that the gain is loaded once for 8 rows. The rows' sums have a name each: an array
// indexed by row takes a quarter more time on lavapipe. No barrier. Moves 12 bytes for each element,
// 16 when it adds, and loads x and dy twice.
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

// The share of 4 columns of a row in the sums of g and of g n.
fn sums_of(row: u32, j: u32, gain: vec4f, moments: vec2f) -> vec2f {
  let i = row * (params.width / 4u) + j;
  let place = texel_of(i);
  let g = textureLoad(dy, place) * gain;
  return vec2f(dot(g, vec4f(1.0)), dot(g, normalised(place, moments)));
}

fn mean_of(sums: vec2f) -> vec2f {
  let means = subgroupAdd(sums) / f32(params.width);
  return select(means, vec2f(0.0, means.y), RMS);
}

fn store(row: u32, j: u32, gain: vec4f, moments: vec2f, means: vec2f) {
  let i = row * (params.width / 4u) + j;
  let place = texel_of(i);
  let g = textureLoad(dy, place) * gain;
  var value = moments.y * (g - means.x - normalised(place, moments) * means.y);
  if (params.accumulate == 1u) { value += textureLoad(before, place); }
  dx[i] = value;
}

@compute @workgroup_size(8)
fn layer_norm_backward_subgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tiles = (params.tokens + 7u) / 8u;
  let tile = group.y * groups.x + group.x;
  let b = tile / tiles;
  let token = tile % tiles * 8u;
  let row = b * params.tokens + token;
  if (row >= params.rows) { return; }
  // Rows past the last of b repeat it: the same values for the same place.
  let count = min(8u, params.tokens - token);
  let last = row + count - 1u;
  let vectors = params.width / 4u;
  let base = b * params.stride;
  let own = stats[min(row + lane, last)];
  let m0 = subgroupBroadcast(own, 0u);
  let m1 = subgroupBroadcast(own, 1u);
  let m2 = subgroupBroadcast(own, 2u);
  let m3 = subgroupBroadcast(own, 3u);
  let m4 = subgroupBroadcast(own, 4u);
  let m5 = subgroupBroadcast(own, 5u);
  let m6 = subgroupBroadcast(own, 6u);
  let m7 = subgroupBroadcast(own, 7u);

  var s0 = vec2f(); var s1 = vec2f(); var s2 = vec2f(); var s3 = vec2f();
  var s4 = vec2f(); var s5 = vec2f(); var s6 = vec2f(); var s7 = vec2f();
  for (var j = lane; j < vectors; j += 8u) {
    let gain = gain_of(j, base);
    s0 += sums_of(row, j, gain, m0);
    s1 += sums_of(min(row + 1u, last), j, gain, m1);
    s2 += sums_of(min(row + 2u, last), j, gain, m2);
    s3 += sums_of(min(row + 3u, last), j, gain, m3);
    s4 += sums_of(min(row + 4u, last), j, gain, m4);
    s5 += sums_of(min(row + 5u, last), j, gain, m5);
    s6 += sums_of(min(row + 6u, last), j, gain, m6);
    s7 += sums_of(min(row + 7u, last), j, gain, m7);
  }
  s0 = mean_of(s0); s1 = mean_of(s1); s2 = mean_of(s2); s3 = mean_of(s3);
  s4 = mean_of(s4); s5 = mean_of(s5); s6 = mean_of(s6); s7 = mean_of(s7);

  for (var j = lane; j < vectors; j += 8u) {
    let gain = gain_of(j, base);
    store(row, j, gain, m0, s0);
    store(min(row + 1u, last), j, gain, m1, s1);
    store(min(row + 2u, last), j, gain, m2, s2);
    store(min(row + 3u, last), j, gain, m3, s3);
    store(min(row + 4u, last), j, gain, m4, s4);
    store(min(row + 5u, last), j, gain, m5, s5);
    store(min(row + 6u, last), j, gain, m6, s6);
    store(min(row + 7u, last), j, gain, m7, s7);
  }
}
`;
