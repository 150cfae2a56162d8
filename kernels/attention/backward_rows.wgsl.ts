export default /* wgsl */ `
// One third of the gradient of attention, on a CPU driver with subgroups of 8:
//   P = exp(scale q kT - lse),  dS = P (dy vT - delta)
//   PART 0: dq = scale dS k,  PART 1: dk = scale dST q,  PART 2: dv = PT dy
//
// qkv, d_qkv: [B, T, 3, H, 4 head_vectors]; dy: [B, T, H, 4 head_vectors]; lse, delta: [B, H, T].
// qkv and dy are bound as textures of vec4.
// One subgroup of 8 computes 16 rows (queries, or keys for parts 1 and 2) by 32 SLOTS columns of one
// head; workgroups in z take further columns. Over tiles of 32 tokens of the other side:
// 1. each lane owns 4 tokens and makes P or dS of 16 rows with them: for 4 columns and a product it
//    loads 4 vec4 of its tokens and 2 of the rows (every lane others, then handed round) for 256
//    multiply-adds;
// 2. each lane owns 4 SLOTS columns and adds the coefficients, handed on lane by lane, times the
//    other side's rows: 4 SLOTS loads for 256 SLOTS multiply-adds.
// No barrier. Measured as forward_rows, parts 0, 1 and 2: B=64 H=4 T=16 width 48 2.0, 1.9 and 1.5 ms,
// B=8 H=6 T=256 width 64 44, 41 and 29 ms or 27, 29 and 28 GF/s. The compiler takes 1.2, 1.2 and 1.0 s;
// with 32 rows, not faster beyond the noise, 3.3, 3.2 and 2.5 s.
// Error: that of P and dS, 2^-24 (2 |s| + 4 head_vectors scale sum |q k|) relative, plus T 2^-24 of
// the sum of magnitudes.

override PART: u32 = 0u;
override SLOTS: u32 = 2u;

struct Params {
  tokens: u32, heads: u32, head_vectors: u32, tiles: u32, units: u32, scale: f32, accumulate: u32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4f>;

fn at(i: u32) -> vec4f { return textureLoad(qkv, texel_of(i)); }
fn at_dy(i: u32) -> vec4f { return textureLoad(dy, texel_of(i)); }

// One vec4 of four rows of qkv or dy.
fn four(rows: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(at(rows.x + d), at(rows.y + d), at(rows.z + d), at(rows.w + d));
}
fn four_dy(rows: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(at_dy(rows.x + d), at_dy(rows.y + d), at_dy(rows.z + d), at_dy(rows.w + d));
}

fn four_tokens(token: u32) -> vec4u {
  return min(token + vec4u(0u, 1u, 2u, 3u), vec4u(params.tokens - 1u));
}

fn four_lse(i: vec4u) -> vec4f { return vec4f(lse[i.x], lse[i.y], lse[i.z], lse[i.w]); }
fn four_delta(i: vec4u) -> vec4f { return vec4f(delta[i.x], delta[i.y], delta[i.z], delta[i.w]); }

// The vec4 of the four rows that the lanes 2 pair and 2 pair + 1 hold.
fn of_pair(rows: mat2x4f, pair: u32) -> mat4x4f {
  return mat4x4f(subgroupShuffle(rows[0], 2u * pair), subgroupShuffle(rows[1], 2u * pair),
    subgroupShuffle(rows[0], 2u * pair + 1u), subgroupShuffle(rows[1], 2u * pair + 1u));
}

fn of_lane(x: mat4x4f, lane: u32) -> mat4x4f {
  return mat4x4f(subgroupShuffle(x[0], lane), subgroupShuffle(x[1], lane),
    subgroupShuffle(x[2], lane), subgroupShuffle(x[3], lane));
}

// What a lane knows of the tokens it owns and, to be handed on, of the rows it loads.
struct Known { own_lse: vec4f, own_delta: vec4f, row_lse: vec4f, row_delta: vec4f, valid: vec4<bool> }

// P or dS of the four rows of a lane (columns) with the four own tokens.
fn coefficients(s: mat4x4f, dp: mat4x4f, known: Known, lane: u32) -> mat4x4f {
  var lse = mat4x4f(known.own_lse, known.own_lse, known.own_lse, known.own_lse);
  if (PART == 0u) {
    let x = subgroupShuffle(known.row_lse, lane);
    lse = mat4x4f(vec4f(x.x), vec4f(x.y), vec4f(x.z), vec4f(x.w));
  }
  let t = s * params.scale - lse;
  let none = vec4f();
  let p = mat4x4f(select(none, exp(t[0]), known.valid), select(none, exp(t[1]), known.valid),
    select(none, exp(t[2]), known.valid), select(none, exp(t[3]), known.valid));
  if (PART == 2u) { return p; }
  var delta = mat4x4f(known.own_delta, known.own_delta, known.own_delta, known.own_delta);
  if (PART == 0u) {
    let x = subgroupShuffle(known.row_delta, lane);
    delta = mat4x4f(vec4f(x.x), vec4f(x.y), vec4f(x.z), vec4f(x.w));
  }
  let d = dp - delta;
  return mat4x4f(p[0] * d[0], p[1] * d[1], p[2] * d[2], p[3] * d[3]);
}

fn store(i: u32, value: vec4f) {
  var sum = value;
  if (PART != 2u) { sum *= params.scale; }
  if (params.accumulate == 1u) { sum += d_qkv[i]; }
  d_qkv[i] = sum;
}

// Four rows of one column.
fn store_rows(x: mat4x4f, place: vec2u, token: u32) {
  if (place.y >= params.head_vectors) { return; }
  let stride = 3u * params.heads * params.head_vectors;
  let i = place.x + place.y + token * stride;
  if (token < params.tokens) { store(i, x[0]); }
  if (token + 1u < params.tokens) { store(i + stride, x[1]); }
  if (token + 2u < params.tokens) { store(i + 2u * stride, x[2]); }
  if (token + 3u < params.tokens) { store(i + 3u * stride, x[3]); }
}

@compute @workgroup_size(8)
fn attention_backward_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let unit = group.y * groups.x + group.x;
  if (unit >= params.units) { return; }
  let row = unit % params.tiles * 16u;
  let index = unit / params.tiles;
  let batch = index / params.heads;
  let start = index % params.heads * params.head_vectors;
  let width = params.heads * params.head_vectors;
  let stride = 3u * width;
  let base_q = batch * params.tokens * stride + start;
  let base_k = base_q + width;
  let base_v = base_k + width;
  let base_dy = batch * params.tokens * width + start;
  let stats = index * params.tokens;
  let column = group.z * 8u * SLOTS + lane;
  // Lanes past the last column read it again and store nothing.
  let near = min(column, params.head_vectors - 1u);
  let far = min(column + 8u, params.head_vectors - 1u);

  let rows = four_tokens(row + lane * 2u).xy;
  let row_q = select(base_k, base_q, PART == 0u) + rows * stride;
  let row_v = base_v + rows * stride;
  let row_dy = base_dy + rows * width;
  var known: Known;
  if (PART == 0u) {
    known.row_lse = four_lse(stats + four_tokens(row + lane * 4u));
    known.row_delta = four_delta(stats + four_tokens(row + lane * 4u));
  }
  var a0 = mat4x4f(); var a1 = mat4x4f(); var a2 = mat4x4f(); var a3 = mat4x4f();
  var b0 = mat4x4f(); var b1 = mat4x4f(); var b2 = mat4x4f(); var b3 = mat4x4f();

  for (var other = 0u; other < params.tokens; other += 32u) {
    let own = four_tokens(other + lane * 4u);
    known.valid = other + lane * 4u + vec4u(0u, 1u, 2u, 3u) < vec4u(params.tokens);
    if (PART != 0u) {
      known.own_lse = four_lse(stats + own);
      known.own_delta = four_delta(stats + own);
    }
    let own_k = select(base_q, base_k, PART == 0u) + own * stride;
    let own_v = base_v + own * stride;
    let own_dy = base_dy + own * width;
    var s0 = mat4x4f(); var s1 = mat4x4f(); var s2 = mat4x4f(); var s3 = mat4x4f();
    for (var d = 0u; d < params.head_vectors; d++) {
      let x = transpose(four(own_k, d));
      let y = mat2x4f(at(row_q.x + d), at(row_q.y + d));
      s0 += x * of_pair(y, 0u);
      s1 += x * of_pair(y, 1u);
      s2 += x * of_pair(y, 2u);
      s3 += x * of_pair(y, 3u);
    }
    var t0 = mat4x4f(); var t1 = mat4x4f(); var t2 = mat4x4f(); var t3 = mat4x4f();
    if (PART != 2u) {
      for (var d = 0u; d < params.head_vectors; d++) {
        var x: mat4x4f; var y: mat2x4f;
        if (PART == 0u) {
          x = transpose(four(own_v, d));
          y = mat2x4f(at_dy(row_dy.x + d), at_dy(row_dy.y + d));
        } else {
          x = transpose(four_dy(own_dy, d));
          y = mat2x4f(at(row_v.x + d), at(row_v.y + d));
        }
        t0 += x * of_pair(y, 0u);
        t1 += x * of_pair(y, 1u);
        t2 += x * of_pair(y, 2u);
        t3 += x * of_pair(y, 3u);
      }
    }
    s0 = coefficients(s0, t0, known, 0u);
    s1 = coefficients(s1, t1, known, 1u);
    s2 = coefficients(s2, t2, known, 2u);
    s3 = coefficients(s3, t3, known, 3u);
    let owners = min(8u, (params.tokens - other + 3u) / 4u);
    for (var owner = 0u; owner < owners; owner++) {
      let tokens = four_tokens(other + owner * 4u);
      var x: mat4x4f; var y: mat4x4f;
      if (PART == 2u) {
        x = four_dy(base_dy + tokens * width, near);
        if (SLOTS > 1u) { y = four_dy(base_dy + tokens * width, far); }
      } else {
        let source = select(base_q, base_k, PART == 0u) + tokens * stride;
        x = four(source, near);
        if (SLOTS > 1u) { y = four(source, far); }
      }
      let c0 = of_lane(s0, owner); a0 += x * c0; if (SLOTS > 1u) { b0 += y * c0; }
      let c1 = of_lane(s1, owner); a1 += x * c1; if (SLOTS > 1u) { b1 += y * c1; }
      let c2 = of_lane(s2, owner); a2 += x * c2; if (SLOTS > 1u) { b2 += y * c2; }
      let c3 = of_lane(s3, owner); a3 += x * c3; if (SLOTS > 1u) { b3 += y * c3; }
    }
  }

  let to = vec2u(base_q + PART * width, column);
  store_rows(a0, to, row);
  store_rows(a1, to, row + 4u);
  store_rows(a2, to, row + 8u);
  store_rows(a3, to, row + 12u);
  if (SLOTS > 1u) {
    let next = to + vec2u(0u, 8u);
    store_rows(b0, next, row);
    store_rows(b1, next, row + 4u);
    store_rows(b2, next, row + 8u);
    store_rows(b3, next, row + 12u);
  }
}
`;
