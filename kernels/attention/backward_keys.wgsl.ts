export default /* wgsl */ `
// The gradients of keys and values on a CPU driver with subgroups of 8 or 16, and what those of the queries
// are made of:
//   P = exp(scale q kT - lse),  dS = scale P (dy vT - delta),  dk = dST q,  dv = PT dy
//
// qkv, d_qkv: [B, T, 3, H, 4 head_vectors]; dy: [B, T, H, 4 head_vectors]; lse, delta: [B, H, T];
// scores: dST of some heads from the head first on, [heads, T, T], T rounded up to a multiple of 4.
// qkv and dy are bound as textures of vec4.
// One subgroup computes 16 keys by 4 LANES SLOTS columns of one head; workgroups in z take further
// columns, those with z = 0 write dST. Over tiles of 4 LANES queries:
// 1. each lane owns 4 queries and makes P and dS of 16 keys with them: for 4 columns and a product it
//    loads 4 vec4 of its queries and 2 or 1 of the keys (every lane others, then handed round) for 256
//    multiply-adds;
// 2. each lane owns 4 SLOTS columns and adds the coefficients, handed on lane by lane, times the
//    queries' rows: 4 SLOTS loads for 256 SLOTS multiply-adds, once for dk and once for dv.
// For each head 32 T^2 head_vectors flops; 96 T head_vectors bytes of rows and 4 T^2 of dST. No barrier.
// Times are in bench/RESULTS.md.
// Error: that of P and dS, 2^-24 (2 |s| + 4 head_vectors scale sum |q k|) relative, plus T 2^-24 of
// the sum of magnitudes.

override SLOTS: u32 = 2u;
override ACCUMULATE: bool = false;
override LANES: u32 = 8u;

struct Params {
  tokens: u32, heads: u32, head_vectors: u32, tiles: u32, units: u32, first: u32, scale: f32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_qkv: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> scores: array<vec4f>;

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

// What a lane knows of the queries that it owns.
struct Known { lse: vec4f, delta: vec4f, valid: vec4<bool> }

fn known_of(query: u32, stats: u32) -> Known {
  let i = stats + four_tokens(query);
  return Known(
    vec4f(lse[i.x], lse[i.y], lse[i.z], lse[i.w]),
    vec4f(delta[i.x], delta[i.y], delta[i.z], delta[i.w]),
    query + vec4u(0u, 1u, 2u, 3u) < vec4u(params.tokens),
  );
}

// P of four keys (columns) with the four queries of a lane, from their products.
fn weights(s: mat4x4f, known: Known) -> mat4x4f {
  let t = s * params.scale - mat4x4f(known.lse, known.lse, known.lse, known.lse);
  let none = vec4f();
  return mat4x4f(select(none, exp(t[0]), known.valid), select(none, exp(t[1]), known.valid),
    select(none, exp(t[2]), known.valid), select(none, exp(t[3]), known.valid));
}

// dS from P and from the products of dy and v.
fn slopes(p: mat4x4f, dp: mat4x4f, known: Known) -> mat4x4f {
  let d = dp - mat4x4f(known.delta, known.delta, known.delta, known.delta);
  return mat4x4f(p[0] * d[0], p[1] * d[1], p[2] * d[2], p[3] * d[3]) * params.scale;
}

// Writes dST of four keys with the four queries of a lane. One condition for the four of them: with
// some seventy conditions in all this driver prepares the kernel anew at every dispatch.
fn store_scores(x: mat4x4f, i: u32, end: u32) {
  let stride = (params.tokens + 3u) / 4u;
  if (i < end) {
    scores[i] = x[0];
    scores[i + stride] = x[1];
    scores[i + 2u * stride] = x[2];
    scores[i + 3u * stride] = x[3];
  }
}

fn store(i: u32, value: vec4f) {
  if (ACCUMULATE) { d_qkv[i] += value; } else { d_qkv[i] = value; }
}

// Four rows of one column.
fn store_rows(x: mat4x4f, place: vec2u, token: u32) {
  let stride = 3u * params.heads * params.head_vectors;
  let i = place.x + place.y + token * stride;
  let fits = place.y < params.head_vectors;
  if (fits && token < params.tokens) { store(i, x[0]); }
  if (fits && token + 1u < params.tokens) { store(i + stride, x[1]); }
  if (fits && token + 2u < params.tokens) { store(i + 2u * stride, x[2]); }
  if (fits && token + 3u < params.tokens) { store(i + 3u * stride, x[3]); }
}

@compute @workgroup_size(LANES)
fn attention_backward_keys(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let unit = group.y * groups.x + group.x;
  if (unit >= params.units) { return; }
  let row = unit % params.tiles * 16u;
  let local = unit / params.tiles;
  let index = params.first + local;
  let batch = index / params.heads;
  let start = index % params.heads * params.head_vectors;
  let width = params.heads * params.head_vectors;
  let stride = 3u * width;
  let base_q = batch * params.tokens * stride + start;
  let base_k = base_q + width;
  let base_v = base_k + width;
  let base_dy = batch * params.tokens * width + start;
  let stats = index * params.tokens;
  let column = group.z * LANES * SLOTS + lane;
  // Lanes past the last column read it again and store nothing.
  let near = min(column, params.head_vectors - 1u);
  let far = min(column + LANES, params.head_vectors - 1u);
  let score_vectors = (params.tokens + 3u) / 4u;
  let score_row = (local * score_vectors * 4u + row) * score_vectors;
  let scores_end = (local + 1u) * score_vectors * 4u * score_vectors;

  let rows = four_tokens(row + lane * (16u / LANES)).xy;
  let row_k = base_k + rows * stride;
  let row_v = base_v + rows * stride;
  // Columns near and far: sums of dS times queries, then of P times rows of dy.
  var a0 = mat4x4f(); var a1 = mat4x4f(); var a2 = mat4x4f(); var a3 = mat4x4f();
  var b0 = mat4x4f(); var b1 = mat4x4f(); var b2 = mat4x4f(); var b3 = mat4x4f();
  var c0 = mat4x4f(); var c1 = mat4x4f(); var c2 = mat4x4f(); var c3 = mat4x4f();
  var d0 = mat4x4f(); var d1 = mat4x4f(); var d2 = mat4x4f(); var d3 = mat4x4f();

  for (var other = 0u; other < params.tokens; other += 4u * LANES) {
    let own = four_tokens(other + lane * 4u);
    let known = known_of(other + lane * 4u, stats);
    let own_q = base_q + own * stride;
    let own_dy = base_dy + own * width;
    var s0 = mat4x4f(); var s1 = mat4x4f(); var s2 = mat4x4f(); var s3 = mat4x4f();
    for (var d = 0u; d < params.head_vectors; d++) {
      let x = transpose(four(own_q, d));
      let y = rows_at(row_k, d);
      s0 += x * of_rows(y, 0u);
      s1 += x * of_rows(y, 1u);
      s2 += x * of_rows(y, 2u);
      s3 += x * of_rows(y, 3u);
    }
    var t0 = mat4x4f(); var t1 = mat4x4f(); var t2 = mat4x4f(); var t3 = mat4x4f();
    for (var d = 0u; d < params.head_vectors; d++) {
      let x = transpose(four_dy(own_dy, d));
      let y = rows_at(row_v, d);
      t0 += x * of_rows(y, 0u);
      t1 += x * of_rows(y, 1u);
      t2 += x * of_rows(y, 2u);
      t3 += x * of_rows(y, 3u);
    }
    s0 = weights(s0, known); t0 = slopes(s0, t0, known);
    s1 = weights(s1, known); t1 = slopes(s1, t1, known);
    s2 = weights(s2, known); t2 = slopes(s2, t2, known);
    s3 = weights(s3, known); t3 = slopes(s3, t3, known);
    let score_column = other / 4u + lane;
    if (group.z == 0u && score_column < score_vectors) {
      let i = score_row + score_column;
      store_scores(t0, i, scores_end);
      store_scores(t1, i + 4u * score_vectors, scores_end);
      store_scores(t2, i + 8u * score_vectors, scores_end);
      store_scores(t3, i + 12u * score_vectors, scores_end);
    }
    let owners = min(LANES, (params.tokens - other + 3u) / 4u);
    for (var owner = 0u; owner < owners; owner++) {
      let queries = base_q + four_tokens(other + owner * 4u) * stride;
      let x = four(queries, near);
      var y = mat4x4f();
      if (SLOTS > 1u) { y = four(queries, far); }
      let w0 = of_owner(t0, owner); a0 += x * w0; if (SLOTS > 1u) { b0 += y * w0; }
      let w1 = of_owner(t1, owner); a1 += x * w1; if (SLOTS > 1u) { b1 += y * w1; }
      let w2 = of_owner(t2, owner); a2 += x * w2; if (SLOTS > 1u) { b2 += y * w2; }
      let w3 = of_owner(t3, owner); a3 += x * w3; if (SLOTS > 1u) { b3 += y * w3; }
      t0 = to_next(t0, lane); t1 = to_next(t1, lane); t2 = to_next(t2, lane); t3 = to_next(t3, lane);
    }
    for (var owner = 0u; owner < owners; owner++) {
      let queries = base_dy + four_tokens(other + owner * 4u) * width;
      let x = four_dy(queries, near);
      var y = mat4x4f();
      if (SLOTS > 1u) { y = four_dy(queries, far); }
      let w0 = of_owner(s0, owner); c0 += x * w0; if (SLOTS > 1u) { d0 += y * w0; }
      let w1 = of_owner(s1, owner); c1 += x * w1; if (SLOTS > 1u) { d1 += y * w1; }
      let w2 = of_owner(s2, owner); c2 += x * w2; if (SLOTS > 1u) { d2 += y * w2; }
      let w3 = of_owner(s3, owner); c3 += x * w3; if (SLOTS > 1u) { d3 += y * w3; }
      s0 = to_next(s0, lane); s1 = to_next(s1, lane); s2 = to_next(s2, lane); s3 = to_next(s3, lane);
    }
  }

  let to_k = vec2u(base_k, column);
  let to_v = vec2u(base_v, column);
  store_rows(a0, to_k, row); store_rows(c0, to_v, row);
  store_rows(a1, to_k, row + 4u); store_rows(c1, to_v, row + 4u);
  store_rows(a2, to_k, row + 8u); store_rows(c2, to_v, row + 8u);
  store_rows(a3, to_k, row + 12u); store_rows(c3, to_v, row + 12u);
  if (SLOTS > 1u) {
    let next = vec2u(0u, LANES);
    store_rows(b0, to_k + next, row); store_rows(d0, to_v + next, row);
    store_rows(b1, to_k + next, row + 4u); store_rows(d1, to_v + next, row + 4u);
    store_rows(b2, to_k + next, row + 8u); store_rows(d2, to_v + next, row + 8u);
    store_rows(b3, to_k + next, row + 12u); store_rows(d3, to_v + next, row + 12u);
  }
}
`;
