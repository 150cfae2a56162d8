export default /* wgsl */ `
// out = softmax(scale q kT) v for each head, on a CPU driver with subgroups of 8 or 16
//
// qkv: [B, T, 3, H, 4 head_vectors], bound as a texture of vec4, which this driver loads several
// times faster than a storage buffer; out: [B, T, H, 4 head_vectors]; lse: [B, H, T], the
// logarithm of every row's sum of exponentials, for the backward pass.
// One subgroup computes 16 query rows by 4 LANES SLOTS columns of one head; workgroups in z take
// further columns. Over tiles of 4 LANES keys:
// 1. each lane owns 4 keys and makes their scores with all 16 queries: for 4 columns it loads 4
//    vec4 of keys and 2 or 1 of queries (every lane others, then handed round) for 256 multiply-adds;
// 2. maxima over the lanes by a butterfly; sums stay apart until the end;
// 3. each lane owns 4 SLOTS columns of out and adds the weights, handed on lane by lane, times
//    values: 4 SLOTS loads for 256 SLOTS multiply-adds.
// Everything is in registers: this driver's compiler takes long for a private array with a computed
// index, and workgroup memory is as slow as storage. 16 rows and not 32 for the sake of few tokens; times
// are in bench/RESULTS.md. No barrier.
// Error relative to the largest |v|: the scores' absolute error, 2^-24 (4 head_vectors scale
// sum |q k| + 2 |s|), plus T 2^-24.

override SLOTS: u32 = 2u;
override LANES: u32 = 8u;

struct Params { tokens: u32, heads: u32, head_vectors: u32, tiles: u32, units: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;

const NEVER = -1e30;

fn at(i: u32) -> vec4f { return textureLoad(qkv, texel_of(i)); }

// One vec4 of four rows.
fn four(rows: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(at(rows.x + d), at(rows.y + d), at(rows.z + d), at(rows.w + d));
}

// Where the four rows from token on start; past the end it is the last one again.
fn rows_from(token: u32, base: u32, stride: u32) -> vec4u {
  return base + min(token + vec4u(0u, 1u, 2u, 3u), vec4u(params.tokens - 1u)) * stride;
}

fn columns_times(x: mat4x4f, factor: vec4f) -> mat4x4f {
  return mat4x4f(x[0] * factor.x, x[1] * factor.y, x[2] * factor.z, x[3] * factor.w);
}

// Four query rows. Matrices have one column per row. A lane's sum is that of its own keys.
struct Block { top: vec4f, sum: vec4f, near: mat4x4f, far: mat4x4f, weights: mat4x4f }

fn empty_block() -> Block {
  return Block(vec4f(NEVER), vec4f(), mat4x4f(), mat4x4f(), mat4x4f());
}

// Takes in the products of a tile of keys: new maxima, weights, and sums relative to the maxima.
fn weighed(block: Block, products: mat4x4f, valid: vec4<bool>) -> Block {
  let never = vec4f(NEVER);
  let s0 = select(never, products[0] * params.scale, valid);
  let s1 = select(never, products[1] * params.scale, valid);
  let s2 = select(never, products[2] * params.scale, valid);
  let s3 = select(never, products[3] * params.scale, valid);
  let s = transpose(mat4x4f(s0, s1, s2, s3));
  let own = max(max(s[0], s[1]), max(s[2], s[3]));
  let two = max(own, subgroupShuffleXor(own, 1u));
  let four = max(two, subgroupShuffleXor(two, 2u));
  var all = max(four, subgroupShuffleXor(four, 4u));
  if (LANES == 16u) { all = max(all, subgroupShuffleXor(all, 8u)); }
  let top = max(block.top, all);
  let fade = exp(block.top - top);
  let weights = mat4x4f(exp(s0 - top.x), exp(s1 - top.y), exp(s2 - top.z), exp(s3 - top.w));
  let p = transpose(weights);
  let sum = block.sum * fade + ((p[0] + p[1]) + (p[2] + p[3]));
  var far = block.far;
  if (SLOTS > 1u) { far = columns_times(far, fade); }
  return Block(top, sum, columns_times(block.near, fade), far, weights);
}

// Adds the values of the four keys whose weights a lane has, the owner.
fn added(block: Block, owner: u32, lane: u32, near: mat4x4f, far: mat4x4f) -> Block {
  let p = of_owner(block.weights, owner);
  var sum = block.far;
  if (SLOTS > 1u) { sum += far * p; }
  let weights = to_next(block.weights, lane);
  return Block(block.top, block.sum, block.near + near * p, sum, weights);
}

// Four rows of one column.
fn store_rows(x: mat4x4f, place: vec2u, token: u32) {
  if (place.y >= params.head_vectors) { return; }
  let stride = params.heads * params.head_vectors;
  let i = place.x + place.y + token * stride;
  if (token < params.tokens) { out[i] = x[0]; }
  if (token + 1u < params.tokens) { out[i + stride] = x[1]; }
  if (token + 2u < params.tokens) { out[i + 2u * stride] = x[2]; }
  if (token + 3u < params.tokens) { out[i + 3u * stride] = x[3]; }
}

// Where a lane's results go: the head's first vec4 in out, its first element in lse, the column.
struct Place { out: u32, lse: u32, column: u32 }

fn finish(block: Block, token: u32, place: Place) {
  let two = block.sum + subgroupShuffleXor(block.sum, 1u);
  let four = two + subgroupShuffleXor(two, 2u);
  var sum = four + subgroupShuffleXor(four, 4u);
  if (LANES == 16u) { sum += subgroupShuffleXor(sum, 8u); }
  let share = 1.0 / sum;
  let to = vec2u(place.out, place.column);
  store_rows(columns_times(block.near, share), to, token);
  if (SLOTS > 1u) { store_rows(columns_times(block.far, share), to + vec2u(0u, LANES), token); }
  if (place.column < 4u && token + place.column < params.tokens) {
    lse[place.lse + token + place.column] = (block.top + log(sum))[place.column];
  }
}

@compute @workgroup_size(LANES)
fn attention_forward_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let unit = group.y * groups.x + group.x;
  if (unit >= params.units) { return; }
  let query = unit % params.tiles * 16u;
  let index = unit / params.tiles;
  let batch = index / params.heads;
  let start = index % params.heads * params.head_vectors;
  let width = params.heads * params.head_vectors;
  let stride = 3u * width;
  let base = batch * params.tokens * stride + start;
  let column = group.z * LANES * SLOTS + lane;
  // Lanes past the last column read it again and store nothing.
  let near = min(column, params.head_vectors - 1u);
  let far = min(column + LANES, params.head_vectors - 1u);
  let queries = rows_from(query + lane * (16u / LANES), base, stride).xy;

  var a0 = empty_block(); var a1 = empty_block(); var a2 = empty_block(); var a3 = empty_block();
  for (var key = 0u; key < params.tokens; key += 4u * LANES) {
    let own = key + lane * 4u;
    let keys = rows_from(own, base + width, stride);
    var s0 = mat4x4f(); var s1 = mat4x4f(); var s2 = mat4x4f(); var s3 = mat4x4f();
    for (var d = 0u; d < params.head_vectors; d++) {
      let k = transpose(four(keys, d));
      let q = rows_at(queries, d);
      s0 += k * of_rows(q, 0u);
      s1 += k * of_rows(q, 1u);
      s2 += k * of_rows(q, 2u);
      s3 += k * of_rows(q, 3u);
    }
    let valid = own + vec4u(0u, 1u, 2u, 3u) < vec4u(params.tokens);
    a0 = weighed(a0, s0, valid);
    a1 = weighed(a1, s1, valid);
    a2 = weighed(a2, s2, valid);
    a3 = weighed(a3, s3, valid);
    let owners = min(LANES, (params.tokens - key + 3u) / 4u);
    for (var owner = 0u; owner < owners; owner++) {
      let values = rows_from(key + owner * 4u, base + 2u * width, stride);
      let v = four(values, near);
      var w = mat4x4f();
      if (SLOTS > 1u) { w = four(values, far); }
      a0 = added(a0, owner, lane, v, w);
      a1 = added(a1, owner, lane, v, w);
      a2 = added(a2, owner, lane, v, w);
      a3 = added(a3, owner, lane, v, w);
    }
  }

  let place = Place(batch * params.tokens * width + start, index * params.tokens, column);
  finish(a0, query, place);
  finish(a1, query + 4u, place);
  finish(a2, query + 8u, place);
  finish(a3, query + 12u, place);
}
`;
