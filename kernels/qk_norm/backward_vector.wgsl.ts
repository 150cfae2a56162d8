export default /* wgsl */ `
// Queries and keys: dqkv (+)= inverse_deviation (g - mean(g) - y mean(g y)) with g = dy weight and
// y = (x - mean) inverse_deviation; without LAYER there is no mean(g). Values: dqkv (+)= dy.
//
// qkv, dy, dqkv: [batch, tokens, 3, heads, head width]; weights: [head width]; all as vec4, the head
// width a multiple of 4; statistics: [batch, tokens, 2, heads] of (mean, inverse_deviation).
// For GPUs: eight invocations per head of queries, keys or values read neighbouring vec4, a second
// time from the cache, and add their sums in order through 512 bytes of workgroup memory: one
// barrier. Moves 12 bytes for each element, 16 when it adds.
// Error: |error| <= (head width / 8 + 16) 2^-24 inverse_deviation max |g| (1 + max |y|)^2.

struct Params { rows: u32, heads: u32, head_width: u32, accumulate: u32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;
@group(0) @binding(4) var<storage, read> query_weight: array<vec4f>;
@group(0) @binding(5) var<storage, read> key_weight: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4f>;

var<workgroup> partial: array<vec2f, 64>;

@compute @workgroup_size(64)
fn qk_norm_backward_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 8u + lane / 8u;
  let part = (row / params.heads) % 3u;
  let vectors = params.head_width / 4u;
  let first = row * vectors;
  let normalised = row < params.rows && part < 2u;
  let token = row / (3u * params.heads);
  var moments = vec2f();
  if (normalised) {
    moments = statistics[(token * 2u + part) * params.heads + row % params.heads];
  }
  // All take part in the barrier; values and rows past the last have nothing to sum.
  var own = vec2f();
  for (var i = lane % 8u; i < select(0u, vectors, normalised); i += 8u) {
    let g = dy[first + i] * select(query_weight[i], key_weight[i], part == 1u);
    let y = (qkv[first + i] - moments.x) * moments.y;
    own += vec2f(dot(g, vec4f(1.0)), dot(g, y));
  }
  partial[lane] = own;
  workgroupBarrier();
  if (row >= params.rows) { return; }
  var sums = vec2f();
  for (var i = lane / 8u * 8u; i < lane / 8u * 8u + 8u; i++) { sums += partial[i]; }
  sums /= f32(params.head_width);
  if (!LAYER) { sums.x = 0.0; }
  for (var i = lane % 8u; i < vectors; i += 8u) {
    var value = dy[first + i];
    if (normalised) {
      let g = value * select(query_weight[i], key_weight[i], part == 1u);
      let y = (qkv[first + i] - moments.x) * moments.y;
      value = moments.y * (g - sums.x - y * sums.y);
    }
    if (params.accumulate == 1u) { value += dqkv[first + i]; }
    dqkv[first + i] = value;
  }
}
`;
