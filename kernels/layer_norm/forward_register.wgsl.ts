export default /* wgsl */ `
// out = n gain + offset,  n = (x - mean) rstd,  rstd = 1 / sqrt(mean((x - mean)^2) + epsilon),
// gain = weight (1 + scale_b),  offset = shift_b; with RMS the mean is taken as 0
//
// x, out: [rows, width]; weight: [width]; all as vec4, width and the places in modulation multiples
// of 4.
// modulation: any, read at b stride + scale and b stride + shift, where b = row / tokens (a stride
// of 0 gives all rows the same); stats: [rows] of (mean, rstd).
// For GPUs: one workgroup per row, which its invocations hold in registers, SLOTS vec4 each and at
// most 8 (a width of 2,048), so that x is read once. 2 workgroup sums: 4 barriers by subgroups, 16
// without. Moves 8 bytes for each element, 6 where
// out is f16. What a GPU's compiler makes of it: bench/gpu_code.md.
// Error of n: about 2^-24 (|mean| rstd + 4 + sqrt(width)). Sums run over x - x[0], so that a large
// common part costs no digits but those of the rounded mean.

override RMS: bool = false;
override HAS_WEIGHT: bool = false;
override HAS_SCALE: bool = false;
override HAS_SHIFT: bool = false;
override SLOTS: u32 = 5u;

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

fn inside(lane: u32, slot: u32) -> bool {
  return slot < SLOTS && lane + 64u * slot < params.width / 4u;
}

// The column of the row in a slot of an invocation, 0 where there is none.
fn load(row: u32, lane: u32, slot: u32) -> vec4f {
  if (slot >= SLOTS) { return vec4f(); }
  let vectors = params.width / 4u;
  let value = x[row * vectors + min(lane + 64u * slot, vectors - 1u)];
  return select(vec4f(), value, inside(lane, slot));
}

// Four slots less a number, still 0 where there is no column.
fn minus(m: mat4x4f, number: f32, lane: u32, slot: u32) -> mat4x4f {
  let none = vec4f();
  return mat4x4f(
    select(none, m[0] - number, inside(lane, slot)),
    select(none, m[1] - number, inside(lane, slot + 1u)),
    select(none, m[2] - number, inside(lane, slot + 2u)),
    select(none, m[3] - number, inside(lane, slot + 3u)),
  );
}

fn sum_of(m: mat4x4f) -> f32 { return dot((m[0] + m[1]) + (m[2] + m[3]), vec4f(1.0)); }

fn squares_of(m: mat4x4f) -> f32 {
  return (dot(m[0], m[0]) + dot(m[1], m[1])) + (dot(m[2], m[2]) + dot(m[3], m[3]));
}

fn store(row: u32, lane: u32, slot: u32, n: vec4f) {
  if (!inside(lane, slot)) { return; }
  let column = lane + 64u * slot;
  let base = row / params.tokens * params.stride;
  var value = n;
  if (HAS_WEIGHT) { value *= weight[column]; }
  if (HAS_SCALE) { value *= 1.0 + modulation[(base + params.scale) / 4u + column]; }
  if (HAS_SHIFT) { value += modulation[(base + params.shift) / 4u + column]; }
  store_results(row * (params.width / 4u) + column, value, 0u);
}

@compute @workgroup_size(64)
fn layer_norm_forward_register(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.rows) { return; }
  let count = f32(params.width);
  var a = mat4x4f(load(row, lane, 0u), load(row, lane, 1u), load(row, lane, 2u), load(row, lane, 3u));
  var b = mat4x4f(load(row, lane, 4u), load(row, lane, 5u), load(row, lane, 6u), load(row, lane, 7u));
  var mean = 0.0;
  if (!RMS) {
    let origin = x[row * (params.width / 4u)].x;
    let centred_a = minus(a, origin, lane, 0u);
    let centred_b = minus(b, origin, lane, 4u);
    let sum = workgroup_sum(vec2f(sum_of(centred_a) + sum_of(centred_b), 0.0), lane).x;
    mean = origin + sum / count;
    a = minus(a, mean, lane, 0u);
    b = minus(b, mean, lane, 4u);
  }
  let squares = workgroup_sum(vec2f(squares_of(a) + squares_of(b), 0.0), lane).x;
  let rstd = inverseSqrt(squares / count + params.epsilon);
  if (lane == 0u) { stats[row] = vec2f(mean, rstd); }
  store(row, lane, 0u, a[0] * rstd);
  store(row, lane, 1u, a[1] * rstd);
  store(row, lane, 2u, a[2] * rstd);
  store(row, lane, 3u, a[3] * rstd);
  store(row, lane, 4u, b[0] * rstd);
  store(row, lane, 5u, b[1] * rstd);
  store(row, lane, 6u, b[2] * rstd);
  store(row, lane, 7u, b[3] * rstd);
}
`;
