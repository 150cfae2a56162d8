export default /* wgsl */ `
// Queries and keys: dqkv (+)= inverse_deviation (g - mean(g) - y mean(g y)) with g = dy weight and
// y = (x - mean) inverse_deviation; without LAYER there is no mean(g). Values: dqkv (+)= dy.
//
// qkv, dy, dqkv: [batch, tokens, 3, heads, head width]; weights: [head width]; statistics: [batch,
// tokens, 2, heads] of (mean, inverse_deviation).
// One invocation per head of queries, keys or values. No barrier.
// Error: |error| <= (head width + 8) 2^-24 inverse_deviation max |g| (1 + max |y|)^2, in order.

struct Params { rows: u32, heads: u32, head_width: u32, accumulate: u32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> query_weight: array<f32>;
@group(0) @binding(5) var<storage, read> key_weight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<f32>;

fn weight_of(part: u32, i: u32) -> f32 {
  if (part == 0u) { return query_weight[i]; }
  return key_weight[i];
}

fn store(i: u32, gradient: f32) {
  if (params.accumulate == 1u) { dqkv[i] += gradient; } else { dqkv[i] = gradient; }
}

@compute @workgroup_size(64)
fn qk_norm_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let width = params.head_width;
  let first = row * width;
  let part = (row / params.heads) % 3u;
  if (part == 2u) {
    for (var i = 0u; i < width; i++) { store(first + i, dy[first + i]); }
    return;
  }
  let token = row / (3u * params.heads);
  let moments = statistics[(token * 2u + part) * params.heads + row % params.heads];
  var sums = vec2f();
  for (var i = 0u; i < width; i++) {
    let g = dy[first + i] * weight_of(part, i);
    let y = (qkv[first + i] - moments.x) * moments.y;
    sums += vec2f(g, g * y);
  }
  sums /= f32(width);
  if (!LAYER) { sums.x = 0.0; }
  for (var i = 0u; i < width; i++) {
    let g = dy[first + i] * weight_of(part, i);
    let y = (qkv[first + i] - moments.x) * moments.y;
    store(first + i, moments.y * (g - sums.x - y * sums.y));
  }
}
`;
