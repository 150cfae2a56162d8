export default /* wgsl */ `
// The gradient of attention through workgroup memory, for GPUs:
//   P = exp(scale q kT - lse),  dS = P (dy vT - delta)
//   PART 0: dq = scale dS k,  PART 1: dk = scale dST q and dv = PT dy
//
// qkv and out, its gradient: [B, T, 3, H, 4 HEAD_VECTORS]; dy: [B, T, H, 4 HEAD_VECTORS]; lse, delta: [B, H, T].
// One workgroup of 8 by 16 computes 64 rows (queries, or keys for part 1) by COLUMNS vec4 of one
// head, at most 32; workgroups in z take further columns and make P and dS again. Invocation (x, y)
// owns the rows y + 16 i. Over tiles of 32 tokens of the other side:
// 1. for chunks of 8 vec4 of the head, 64 rows and 32 of the other side lie in workgroup memory
//    between two barriers; an invocation makes 4 by 4 products with the tokens x + 8 j: first q k,
//    then dy v;
// 2. P or dS replaces them, 32 rows of the other side lie behind; an invocation adds to its columns
//    x + 8 slot. Of 1, 2 or 4 columns that are left (REST) it adds REST eighths of the tokens to one;
//    the eighths meet at the end. Part 1 does this for P and for dS.
// Two barriers a chunk and two or four more a tile. 10 + 0.5 COLUMNS KiB of workgroup memory.
// For each head 24 or 32 T^2 HEAD_VECTORS flops, 80 or 96 T HEAD_VECTORS bytes; the cache is to hold
// what is read again, 112 or 128 T HEAD_VECTORS bytes for every 64 rows.
// What a GPU's compiler makes of it: bench/gpu_code.md.
// Error: that of P and dS, 2^-24 (2 |s| + 4 HEAD_VECTORS scale sum |q k|) relative, plus T 2^-24 of
// the sum of magnitudes.

override PART: u32 = 0u;
override HEAD_VECTORS: u32 = 16u;
override COLUMNS: u32 = 16u;
override SLOTS: u32 = 2u;
override REST: u32 = 0u;
override MEMORY_VECTORS: u32 = 1152u;

struct Params { tokens: u32, heads: u32, tiles: u32, units: u32, scale: f32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;

const SECOND = 512u;

// First [8 vec4 of the head][64 rows], then [8][32 tokens of the other side]; or first coefficients
// [8 vec4 of tokens x + 8 j][64 rows], then rows of the other side [32][COLUMNS].
var<workgroup> memory: array<vec4f, MEMORY_VECTORS>;

// Where things are, the same for the whole workgroup, and who the invocation is.
struct Place { qkv: u32, dy: u32, stats: u32, slice: u32, row: u32, x: u32, y: u32 }

fn width() -> u32 { return params.heads * HEAD_VECTORS; }

// A vec4 of a token's q, k, v (0, 1, 2) or dy (3).
fn element(what: u32, token: u32, d: u32, place: Place) -> vec4f {
  let t = min(token, params.tokens - 1u);
  if (what == 3u) { return dy[place.dy + t * width() + d]; }
  return qkv[place.qkv + (t * 3u + what) * width() + d];
}

// sum + m w, one multiply-add after the other so that compilers fuse them.
fn plus(sum: vec4f, m: mat4x4f, w: vec4f) -> vec4f {
  var result = sum;
  result += m[0] * w.x;
  result += m[1] * w.y;
  result += m[2] * w.z;
  result += m[3] * w.w;
  return result;
}
fn plus_product(sum: mat4x4f, m: mat4x4f, w: mat4x4f) -> mat4x4f {
  return mat4x4f(plus(sum[0], m, w[0]), plus(sum[1], m, w[1]), plus(sum[2], m, w[2]),
    plus(sum[3], m, w[3]));
}

// Dot products of the rows of one kind (columns) with the tokens other + x + 8 j of another.
fn products(of_row: u32, of_other: u32, other: u32, place: Place) -> mat4x4f {
  let x = place.x;
  let y = place.y;
  var s = mat4x4f();
  for (var first = 0u; first < HEAD_VECTORS; first += 8u) {
    let d = first + x;
    let i = x * 64u + (y ^ x);
    let j = SECOND + x * 32u + (y ^ x);
    if (d < HEAD_VECTORS) {
      memory[i] = element(of_row, place.row, d, place);
      memory[i + 16u] = element(of_row, place.row + 16u, d, place);
      memory[i + 32u] = element(of_row, place.row + 32u, d, place);
      memory[i + 48u] = element(of_row, place.row + 48u, d, place);
      memory[j] = element(of_other, other + y, d, place);
      memory[j + 16u] = element(of_other, other + y + 16u, d, place);
    }
    workgroupBarrier();
    for (var c = 0u; c < min(8u, HEAD_VECTORS - first); c++) {
      let a = c * 64u + (y ^ c);
      let b = SECOND + c * 32u + (x ^ c);
      let k = mat4x4f(memory[b], memory[b + 8u], memory[b + 16u], memory[b + 24u]);
      let q = mat4x4f(memory[a], memory[a + 16u], memory[a + 32u], memory[a + 48u]);
      s = plus_product(s, transpose(k), q);
    }
    workgroupBarrier();
  }
  return s;
}

// The columns x + 8 slot of an invocation's four rows, and its share of a column that is left.
struct Columns { a: mat4x4f, b: mat4x4f, c: mat4x4f, d: mat4x4f, rest: mat4x4f }

fn four_rows(first: u32) -> mat4x4f {
  let apart = 8u * COLUMNS;
  return mat4x4f(memory[first], memory[first + apart], memory[first + 2u * apart],
    memory[first + 3u * apart]);
}

// sum + coefficients times the other side's rows of one kind.
fn added(sum: Columns, coefficients: mat4x4f, what: u32, other: u32, place: Place) -> Columns {
  let x = place.x;
  let y = place.y;
  let to = x * 64u + (y ^ x);
  memory[to] = coefficients[0];
  memory[to + 16u] = coefficients[1];
  memory[to + 32u] = coefficients[2];
  memory[to + 48u] = coefficients[3];
  for (var d = x; d < min(COLUMNS, HEAD_VECTORS - place.slice); d += 8u) {
    memory[SECOND + y * COLUMNS + d] = element(what, other + y, place.slice + d, place);
    memory[SECOND + (y + 16u) * COLUMNS + d] = element(what, other + y + 16u, place.slice + d, place);
  }
  workgroupBarrier();
  var result = sum;
  for (var c = 0u; c < 8u; c++) {
    let i = c * 64u + (y ^ c);
    let w = mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
    // Columns past the head's last one are never stored.
    let v = SECOND + c * COLUMNS + x;
    result.a = plus_product(result.a, four_rows(v), w);
    if (SLOTS > 1u) { result.b = plus_product(result.b, four_rows(v + 8u), w); }
    if (SLOTS > 2u) { result.c = plus_product(result.c, four_rows(v + 16u), w); }
    if (SLOTS > 3u) { result.d = plus_product(result.d, four_rows(v + 24u), w); }
  }
  if (REST > 0u) {
    let column = 8u * SLOTS + x % max(REST, 1u);
    let first = x / max(REST, 1u) * REST;
    for (var k = 0u; k < REST; k++) {
      let c = first + k;
      let i = c * 64u + (y ^ c);
      let w = mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
      result.rest = plus_product(result.rest, four_rows(SECOND + c * COLUMNS + column), w);
    }
  }
  workgroupBarrier();
  return result;
}

fn store(what: u32, token: u32, column: u32, value: vec4f, place: Place) {
  if (token >= params.tokens) { return; }
  let i = place.qkv + (token * 3u + what) * width() + column;
  var sum = value;
  if (what != 2u) { sum *= params.scale; }
  store_results(i, sum, params.accumulate);
}

fn store_column(what: u32, own: u32, x: mat4x4f, place: Place) {
  let column = place.slice + own;
  if (own >= COLUMNS || column >= HEAD_VECTORS) { return; }
  store(what, place.row, column, x[0], place);
  store(what, place.row + 16u, column, x[1], place);
  store(what, place.row + 32u, column, x[2], place);
  store(what, place.row + 48u, column, x[3], place);
}

fn store_columns(what: u32, sum: Columns, place: Place) {
  store_column(what, place.x, sum.a, place);
  if (SLOTS > 1u) { store_column(what, place.x + 8u, sum.b, place); }
  if (SLOTS > 2u) { store_column(what, place.x + 16u, sum.c, place); }
  if (SLOTS > 3u) { store_column(what, place.x + 24u, sum.d, place); }
  if (REST > 0u) {
    let own = place.x * 64u + place.y;
    memory[own] = sum.rest[0];
    memory[own + 16u] = sum.rest[1];
    memory[own + 32u] = sum.rest[2];
    memory[own + 48u] = sum.rest[3];
    workgroupBarrier();
    if (place.x < REST) {
      var whole = mat4x4f();
      for (var i = own; i < 512u; i += 64u * max(REST, 1u)) {
        whole += mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
      }
      store_column(what, 8u * SLOTS + place.x, whole, place);
    }
    // Part 1 comes here twice.
    workgroupBarrier();
  }
}

// lse or delta of the four queries from first on, apart by a distance.
fn four_lse(first: u32, apart: u32, place: Place) -> vec4f {
  let i = place.stats + min(first + apart * vec4u(0u, 1u, 2u, 3u), vec4u(params.tokens - 1u));
  return vec4f(lse[i.x], lse[i.y], lse[i.z], lse[i.w]);
}
fn four_delta(first: u32, apart: u32, place: Place) -> vec4f {
  let i = place.stats + min(first + apart * vec4u(0u, 1u, 2u, 3u), vec4u(params.tokens - 1u));
  return vec4f(delta[i.x], delta[i.y], delta[i.z], delta[i.w]);
}

// A value for each row (matrix column), or the same ones for all rows.
fn spread(x: vec4f) -> mat4x4f {
  if (PART == 0u) { return mat4x4f(vec4f(x.x), vec4f(x.y), vec4f(x.z), vec4f(x.w)); }
  return mat4x4f(x, x, x, x);
}

@compute @workgroup_size(8, 16)
fn attention_backward_tiled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let unit = group.y * groups.x + group.x;
  if (unit >= params.units) { return; }
  let index = unit / params.tiles;
  let first = index / params.heads * params.tokens;
  let start = index % params.heads * HEAD_VECTORS;
  let place = Place(
    first * 3u * width() + start,
    first * width() + start,
    index * params.tokens,
    group.z * COLUMNS,
    unit % params.tiles * 64u + local.y,
    local.x,
    local.y,
  );

  var near: Columns;
  var far: Columns;
  var row_lse = vec4f();
  var row_delta = vec4f();
  if (PART == 0u) {
    row_lse = four_lse(place.row, 16u, place);
    row_delta = four_delta(place.row, 16u, place);
  }
  for (var other = 0u; other < params.tokens; other += 32u) {
    if (PART == 1u) {
      row_lse = four_lse(other + local.x, 8u, place);
      row_delta = four_delta(other + local.x, 8u, place);
    }
    let valid = vec4u(other + local.x) + vec4u(0u, 8u, 16u, 24u) < vec4u(params.tokens);
    let none = vec4f();
    let s = products(PART, 1u - PART, other, place) * params.scale - spread(row_lse);
    let p = mat4x4f(select(none, exp(s[0]), valid), select(none, exp(s[1]), valid),
      select(none, exp(s[2]), valid), select(none, exp(s[3]), valid));
    let dp = products(3u - PART, 2u + PART, other, place) - spread(row_delta);
    let ds = mat4x4f(p[0] * dp[0], p[1] * dp[1], p[2] * dp[2], p[3] * dp[3]);
    near = added(near, ds, 1u - PART, other, place);
    if (PART == 1u) { far = added(far, p, 3u, other, place); }
  }
  store_columns(PART, near, place);
  if (PART == 1u) { store_columns(2u, far, place); }
}
`;
