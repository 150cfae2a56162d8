export default /* wgsl */ `
// The gradient of queries on a CPU driver with subgroups of 8 or 16, from what backward_keys wrote:
//   dq = dS k
//
// scores: dST of some heads from the head first on, [heads, T, T], T rounded up to a multiple of 4;
// qkv, d_qkv: [B, T, 3, H, 4 head_vectors]. scores and qkv are bound as textures of vec4.
// One subgroup computes 32 queries by 4 LANES columns of the head first + z: for 4 keys a lane loads 4 vec4
// of dST (each of the first 8 lanes other queries, then handed round) and 4 of keys for 512 multiply-adds.
// For each head 8 T^2 head_vectors flops; 4 T^2 bytes of dST and 32 T head_vectors of rows. No barrier.
// Times are in bench/RESULTS.md.
// Error: |error| <= T 2^-24 sum |dS k|, that of dS apart.

override ACCUMULATE: bool = false;
override LANES: u32 = 8u;

struct Params { tokens: u32, heads: u32, head_vectors: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var scores: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> d_qkv: array<vec4f>;

fn at(i: u32) -> vec4f { return textureLoad(qkv, texel_of(i)); }
fn at_scores(i: u32) -> vec4f { return textureLoad(scores, texel_of(i)); }

fn store(i: u32, value: vec4f) {
  if (ACCUMULATE) { d_qkv[i] += value; } else { d_qkv[i] = value; }
}

// Four queries of one column, up to the end of their image.
fn store_rows(x: mat4x4f, i: u32, end: u32) {
  let stride = 3u * params.heads * params.head_vectors;
  if (i < end) { store(i, x[0]); }
  if (i + stride < end) { store(i + stride, x[1]); }
  if (i + 2u * stride < end) { store(i + 2u * stride, x[2]); }
  if (i + 3u * stride < end) { store(i + 3u * stride, x[3]); }
}

@compute @workgroup_size(LANES)
fn attention_backward_queries(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = group.y * 32u;
  let column = group.x * LANES + lane;
  let index = params.first + group.z;
  let batch = index / params.heads;
  let width = params.heads * params.head_vectors;
  let stride = 3u * width;
  let base_q = batch * params.tokens * stride + index % params.heads * params.head_vectors;
  // Lanes past the last column or query read it again and store nothing.
  let base_k = base_q + width + min(column, params.head_vectors - 1u);
  let score_vectors = (params.tokens + 3u) / 4u;
  let base_scores = group.z * score_vectors * 4u * score_vectors +
    min(row / 4u + lane, score_vectors - 1u);

  var c0 = mat4x4f(); var c1 = mat4x4f(); var c2 = mat4x4f(); var c3 = mat4x4f();
  var c4 = mat4x4f(); var c5 = mat4x4f(); var c6 = mat4x4f(); var c7 = mat4x4f();
  for (var key = 0u; key < params.tokens; key += 4u) {
    let keys = key + vec4u(0u, 1u, 2u, 3u);
    let rows = base_scores + keys * score_vectors;
    let k = base_k + min(keys, vec4u(params.tokens - 1u)) * stride;
    let block = mat4x4f(at(k.x), at(k.y), at(k.z), at(k.w));
    // Keys past the last one count nothing.
    let valid = keys < vec4u(params.tokens);
    let none = vec4f();
    let w = transpose(mat4x4f(
      at_scores(rows.x),
      select(none, at_scores(rows.y), valid.y),
      select(none, at_scores(rows.z), valid.z),
      select(none, at_scores(rows.w), valid.w)));
    c0 += block * of_lane(w, 0u);
    c1 += block * of_lane(w, 1u);
    c2 += block * of_lane(w, 2u);
    c3 += block * of_lane(w, 3u);
    c4 += block * of_lane(w, 4u);
    c5 += block * of_lane(w, 5u);
    c6 += block * of_lane(w, 6u);
    c7 += block * of_lane(w, 7u);
  }

  if (column >= params.head_vectors) { return; }
  let to = base_q + column + row * stride;
  let end = (batch + 1u) * params.tokens * stride;
  store_rows(c0, to, end);
  store_rows(c1, to + 4u * stride, end);
  store_rows(c2, to + 8u * stride, end);
  store_rows(c3, to + 12u * stride, end);
  store_rows(c4, to + 16u * stride, end);
  store_rows(c5, to + 20u * stride, end);
  store_rows(c6, to + 24u * stride, end);
  store_rows(c7, to + 28u * stride, end);
}
`;
