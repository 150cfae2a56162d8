export default /* wgsl */ `
// Queries and keys: dqkv (+)= inverse_deviation (g - mean(g) - y mean(g y)) with g = dy weight and
// y = (x - mean) inverse_deviation; without LAYER there is no mean(g). Values: dqkv (+)= dy.
//
// qkv, dy, dqkv: [batch, tokens, 3, heads, head width]; weights: [head width]; all as vec4, the head
// width a multiple of 4; all but dqkv are bound as textures; statistics: [batch, tokens, 2, heads]
// of (mean, inverse_deviation).
// For CPU drivers: one invocation per head of queries, keys or values. No barrier. Moves 12 bytes
// for each element, 16 when it adds.
// Error: |error| <= (head width + 8) 2^-24 inverse_deviation max |g| (1 + max |y|)^2, in order.

struct Params { rows: u32, heads: u32, head_width: u32, accumulate: u32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var query_weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var key_weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<vec4f>;

fn at_x(i: u32) -> vec4f { return textureLoad(qkv, texel_of(i)); }
fn at_dy(i: u32) -> vec4f { return textureLoad(dy, texel_of(i)); }

fn weight_of(part: u32, i: u32) -> vec4f {
  let place = texel_of(i);
  if (part == 0u) { return textureLoad(query_weight, place); }
  return textureLoad(key_weight, place);
}

fn store(i: u32, gradient: vec4f) {
  if (params.accumulate == 1u) { dqkv[i] += gradient; } else { dqkv[i] = gradient; }
}

@compute @workgroup_size(64)
fn qk_norm_backward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let vectors = params.head_width / 4u;
  let first = row * vectors;
  let part = (row / params.heads) % 3u;
  if (part == 2u) {
    for (var i = 0u; i < vectors; i++) { store(first + i, at_dy(first + i)); }
    return;
  }
  let token = row / (3u * params.heads);
  let moments = statistics[(token * 2u + part) * params.heads + row % params.heads];
  var sum = vec4f();
  var product = vec4f();
  for (var i = 0u; i < vectors; i++) {
    let g = at_dy(first + i) * weight_of(part, i);
    sum += g;
    product += g * (at_x(first + i) - moments.x) * moments.y;
  }
  var means = vec2f(dot(sum, vec4f(1.0)), dot(product, vec4f(1.0))) / f32(params.head_width);
  if (!LAYER) { means.x = 0.0; }
  for (var i = 0u; i < vectors; i++) {
    let g = at_dy(first + i) * weight_of(part, i);
    let y = (at_x(first + i) - moments.x) * moments.y;
    store(first + i, moments.y * (g - means.x - y * means.y));
  }
}
`;
