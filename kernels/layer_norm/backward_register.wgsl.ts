export default /* wgsl */ `
// dx (+)= rstd (g - mean(g) - n mean(g n)),  g = dy gain,  gain = weight (1 + scale_b),
// n = (x - mean) rstd; with RMS the term mean(g) is absent
//
// x, dy, dx: [rows, width]; weight: [width]; all as vec4, width and the place in modulation
// multiples of 4.
// modulation: any, read at b stride + scale, where b = row / tokens; stats: [rows] of (mean, rstd)
// as the forward pass left them.
// For GPUs: one workgroup per row, of which its invocations hold n and g in registers, SLOTS vec4 of
// each and at most 8 (a width of 2,048), so that x and dy are read once. One workgroup sum: 2
// barriers by subgroups, 8 without. Moves 12 bytes for each element, 16 when it adds. What a GPU's
// compiler makes of it: bench/gpu_code.md.
// Error: about 2^-24 rstd (|mean| rstd + 4 + sqrt(width)) of the largest |g|.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;
override SLOTS: u32 = 5u;

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

// g and n of the column in a slot of an invocation, 0 where there is none.
fn load(row: u32, lane: u32, slot: u32, moments: vec2f) -> mat2x4f {
  if (slot >= SLOTS) { return mat2x4f(); }
  let vectors = params.width / 4u;
  let column = min(lane + 64u * slot, vectors - 1u);
  let i = row * vectors + column;
  var g = dy[i];
  if (HAS_WEIGHT) { g *= weight[column]; }
  if (HAS_SCALE) {
    let base = row / params.tokens * params.stride;
    g *= 1.0 + modulation[(base + params.scale) / 4u + column];
  }
  let n = (x[i] - moments.x) * moments.y;
  let valid = lane + 64u * slot < vectors;
  return mat2x4f(select(vec4f(), g, valid), select(vec4f(), n, valid));
}

fn sums_of(m: mat2x4f) -> vec2f { return vec2f(dot(m[0], vec4f(1.0)), dot(m[0], m[1])); }

fn store(row: u32, lane: u32, slot: u32, m: mat2x4f, rstd: f32, means: vec2f) {
  let column = lane + 64u * slot;
  let vectors = params.width / 4u;
  if (slot >= SLOTS || column >= vectors) { return; }
  var value = rstd * (m[0] - means.x - m[1] * means.y);
  let i = row * vectors + column;
  if (params.accumulate == 1u) { value += dx[i]; }
  dx[i] = value;
}

@compute @workgroup_size(64)
fn layer_norm_backward_register(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let moments = stats[row];
  let m0 = load(row, lane, 0u, moments);
  let m1 = load(row, lane, 1u, moments);
  let m2 = load(row, lane, 2u, moments);
  let m3 = load(row, lane, 3u, moments);
  let m4 = load(row, lane, 4u, moments);
  let m5 = load(row, lane, 5u, moments);
  let m6 = load(row, lane, 6u, moments);
  let m7 = load(row, lane, 7u, moments);
  let near = (sums_of(m0) + sums_of(m1)) + (sums_of(m2) + sums_of(m3));
  let far = (sums_of(m4) + sums_of(m5)) + (sums_of(m6) + sums_of(m7));
  var means = workgroup_sum(near + far, lane) / f32(params.width);
  if (RMS) { means.x = 0.0; }
  store(row, lane, 0u, m0, moments.y, means);
  store(row, lane, 1u, m1, moments.y, means);
  store(row, lane, 2u, m2, moments.y, means);
  store(row, lane, 3u, m3, moments.y, means);
  store(row, lane, 4u, m4, moments.y, means);
  store(row, lane, 5u, m5, moments.y, means);
  store(row, lane, 6u, m6, moments.y, means);
  store(row, lane, 7u, m7, moments.y, means);
}
`;
