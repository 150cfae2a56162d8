export default /* wgsl */ `
// out = softmax(scale q kT) v for each head through workgroup memory, for GPUs
//
// qkv: [B, T, 3, H, 4 HEAD_VECTORS]; out: [B, T, H, 4 HEAD_VECTORS]; lse: [B, H, T], the logarithm
// of every row's sum of exponentials, for the backward pass.
// One workgroup of 8 by 16 computes 64 query rows by COLUMNS vec4 of one head, at most 32;
// workgroups in z take further columns and make the scores again. Invocation (x, y) owns the rows
// y + 16 i. Over tiles of 32 keys:
// 1. for chunks of 8 vec4 of the head, 64 rows of q and 32 of k lie in workgroup memory between two
//    barriers; an invocation makes 4 by 4 scores, of the keys x + 8 j: 512 multiply-adds from 64
//    reads;
// 2. maxima over the 8 invocations of a row through workgroup memory, sums stay apart until the end;
// 3. the weights replace q and k, 32 rows of v lie behind them; an invocation adds to its columns
//    x + 8 slot: 512 multiply-adds for each slot from 32 (1 + slots) reads. Of 1, 2 or 4 columns
//    that are left (REST) it adds REST eighths of the keys to one; the eighths meet at the end.
// Three barriers a tile besides those of the chunks. 10 + 0.5 COLUMNS KiB of workgroup memory,
// vec4 with the row XOR the column so that neighbours hit different banks, both ways.
// For each head 16 T^2 HEAD_VECTORS flops, 64 T HEAD_VECTORS bytes, 56 where out is f16; the cache is to hold what is
// read again, 64 T HEAD_VECTORS bytes for every 64 rows.
// What a GPU's compiler makes of it: bench/gpu_code.md.
// Error relative to the largest |v|: the scores' absolute error, 2^-24 (4 HEAD_VECTORS scale
// sum |q k| + 2 |s|), plus T 2^-24.

override HEAD_VECTORS: u32 = 16u;
override COLUMNS: u32 = 16u;
override SLOTS: u32 = 2u;
override REST: u32 = 0u;
override MEMORY_VECTORS: u32 = 1152u;

struct Params { tokens: u32, heads: u32, tiles: u32, units: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<Stored>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;

const NEVER = -1e30;
const SECOND = 512u;

// First q [8 vec4 of the head][64 rows], then k [8][32 keys]; or first the weights
// [8 vec4 of keys x + 8 j][64 rows], then v [32 keys][COLUMNS], then maxima or sums [8][16].
var<workgroup> memory: array<vec4f, MEMORY_VECTORS>;

fn over_row(i: u32) -> array<vec4f, 8> {
  return array<vec4f, 8>(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u],
    memory[i + 64u], memory[i + 80u], memory[i + 96u], memory[i + 112u]);
}

fn columns_times(x: mat4x4f, factor: vec4f) -> mat4x4f {
  return mat4x4f(x[0] * factor.x, x[1] * factor.y, x[2] * factor.z, x[3] * factor.w);
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

fn values(first: u32) -> mat4x4f {
  let apart = 8u * COLUMNS;
  return mat4x4f(memory[first], memory[first + apart], memory[first + 2u * apart],
    memory[first + 3u * apart]);
}

// Where columns go: the start of the head, the slice's first column, the first query.
struct Place { start: u32, slice: u32, token: u32 }

fn store(x: mat4x4f, place: Place, column: u32) {
  let token = place.token;
  if (column >= COLUMNS || place.slice + column >= HEAD_VECTORS) { return; }
  let stride = params.heads * HEAD_VECTORS;
  let i = place.start + place.slice + column + token * stride;
  if (token < params.tokens) { store_results(i, x[0], 0u); }
  if (token + 16u < params.tokens) { store_results(i + 16u * stride, x[1], 0u); }
  if (token + 32u < params.tokens) { store_results(i + 32u * stride, x[2], 0u); }
  if (token + 48u < params.tokens) { store_results(i + 48u * stride, x[3], 0u); }
}

@compute @workgroup_size(8, 16)
fn attention_forward_tiled(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let unit = group.y * groups.x + group.x;
  if (unit >= params.units) { return; }
  let x = local.x;
  let y = local.y;
  let index = unit / params.tiles;
  let batch = index / params.heads;
  let start = index % params.heads * HEAD_VECTORS;
  let width = params.heads * HEAD_VECTORS;
  let stride = 3u * width;
  let base = batch * params.tokens * stride + start;
  let query = unit % params.tiles * 64u + y;
  let last = params.tokens - 1u;
  let slice = group.z * COLUMNS;
  let sums = SECOND + 32u * COLUMNS;

  var top = vec4f(NEVER);
  var sum = vec4f();
  var o0 = mat4x4f(); var o1 = mat4x4f(); var o2 = mat4x4f(); var o3 = mat4x4f();
  var rest = mat4x4f();
  let column_rest = 8u * SLOTS + x % max(REST, 1u);
  let first_rest = x / max(REST, 1u) * REST;

  for (var key = 0u; key < params.tokens; key += 32u) {
    var s = mat4x4f();
    for (var first = 0u; first < HEAD_VECTORS; first += 8u) {
      let d = first + x;
      let row = x * 64u + (y ^ x);
      let column = SECOND + x * 32u + (y ^ x);
      if (d < HEAD_VECTORS) {
        memory[row] = qkv[base + min(query, last) * stride + d];
        memory[row + 16u] = qkv[base + min(query + 16u, last) * stride + d];
        memory[row + 32u] = qkv[base + min(query + 32u, last) * stride + d];
        memory[row + 48u] = qkv[base + min(query + 48u, last) * stride + d];
        memory[column] = qkv[base + width + min(key + y, last) * stride + d];
        memory[column + 16u] = qkv[base + width + min(key + y + 16u, last) * stride + d];
      }
      workgroupBarrier();
      for (var c = 0u; c < min(8u, HEAD_VECTORS - first); c++) {
        let i = c * 64u + (y ^ c);
        let j = SECOND + c * 32u + (x ^ c);
        let k = mat4x4f(memory[j], memory[j + 8u], memory[j + 16u], memory[j + 24u]);
        let q = mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
        s = plus_product(s, transpose(k), q);
      }
      workgroupBarrier();
    }

    let valid = vec4u(key + x) + vec4u(0u, 8u, 16u, 24u) < vec4u(params.tokens);
    let never = vec4f(NEVER);
    s = mat4x4f(select(never, s[0] * params.scale, valid), select(never, s[1] * params.scale, valid),
      select(never, s[2] * params.scale, valid), select(never, s[3] * params.scale, valid));
    let t = transpose(s);
    memory[sums + x * 16u + y] = max(max(t[0], t[1]), max(t[2], t[3]));
    for (var slot = 0u; slot < (COLUMNS + 7u) / 8u; slot++) {
      let column = x + 8u * slot;
      if (column < COLUMNS && slice + column < HEAD_VECTORS) {
        let from_v = base + 2u * width + slice + column;
        let to = SECOND + column;
        memory[to + y * COLUMNS] = qkv[from_v + min(key + y, last) * stride];
        memory[to + (y + 16u) * COLUMNS] = qkv[from_v + min(key + y + 16u, last) * stride];
      }
    }
    workgroupBarrier();
    let m = over_row(sums + y);
    let high = max(top, max(max(max(m[0], m[1]), max(m[2], m[3])), max(max(m[4], m[5]), max(m[6], m[7]))));
    let fade = exp(top - high);
    top = high;
    let p = mat4x4f(exp(s[0] - top.x), exp(s[1] - top.y), exp(s[2] - top.z), exp(s[3] - top.w));
    let q = transpose(p);
    sum = sum * fade + ((q[0] + q[1]) + (q[2] + q[3]));
    let to = x * 64u + (y ^ x);
    memory[to] = p[0];
    memory[to + 16u] = p[1];
    memory[to + 32u] = p[2];
    memory[to + 48u] = p[3];
    workgroupBarrier();
    o0 = columns_times(o0, fade);
    if (SLOTS > 1u) { o1 = columns_times(o1, fade); }
    if (SLOTS > 2u) { o2 = columns_times(o2, fade); }
    if (SLOTS > 3u) { o3 = columns_times(o3, fade); }
    for (var c = 0u; c < 8u; c++) {
      let i = c * 64u + (y ^ c);
      let w = mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
      // Columns past the head's last one are never stored.
      let v = SECOND + c * COLUMNS + x;
      o0 = plus_product(o0, values(v), w);
      if (SLOTS > 1u) { o1 = plus_product(o1, values(v + 8u), w); }
      if (SLOTS > 2u) { o2 = plus_product(o2, values(v + 16u), w); }
      if (SLOTS > 3u) { o3 = plus_product(o3, values(v + 24u), w); }
    }
    if (REST > 0u) {
      rest = columns_times(rest, fade);
      for (var k = 0u; k < REST; k++) {
        let c = first_rest + k;
        let i = c * 64u + (y ^ c);
        let w = mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
        rest = plus_product(rest, values(SECOND + c * COLUMNS + column_rest), w);
      }
    }
    workgroupBarrier();
  }

  memory[sums + x * 16u + y] = sum;
  if (REST > 0u) {
    let i = x * 64u + y;
    memory[i] = rest[0];
    memory[i + 16u] = rest[1];
    memory[i + 32u] = rest[2];
    memory[i + 48u] = rest[3];
  }
  workgroupBarrier();
  let l = over_row(sums + y);
  let total = ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]));
  let share = 1.0 / total;
  let to = Place(batch * params.tokens * width + start, slice, query);
  store(columns_times(o0, share), to, x);
  if (SLOTS > 1u) { store(columns_times(o1, share), to, x + 8u); }
  if (SLOTS > 2u) { store(columns_times(o2, share), to, x + 16u); }
  if (SLOTS > 3u) { store(columns_times(o3, share), to, x + 24u); }
  if (x < REST) {
    var whole = mat4x4f();
    for (var i = x * 64u + y; i < 512u; i += 64u * max(REST, 1u)) {
      whole += mat4x4f(memory[i], memory[i + 16u], memory[i + 32u], memory[i + 48u]);
    }
    store(columns_times(whole, share), to, 8u * SLOTS + x);
  }
  if (x == 0u && slice == 0u) {
    let z = top + log(total);
    let row = index * params.tokens + query;
    if (query < params.tokens) { lse[row] = z.x; }
    if (query + 16u < params.tokens) { lse[row + 16u] = z.y; }
    if (query + 32u < params.tokens) { lse[row + 32u] = z.z; }
    if (query + 48u < params.tokens) { lse[row + 48u] = z.w; }
  }
}
`;
