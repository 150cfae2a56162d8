export default /* wgsl */ `
// Queries and keys: out = (x - mean) inverse_deviation weight + bias; values: out = x.
// LAYER: mean and variance over the head width, inverse_deviation = 1 / sqrt(variance + epsilon).
// Otherwise: mean = 0, bias = 0 and variance = the mean of x^2.
//
// qkv, out: [batch, tokens, 3, heads, head width]; weights and biases: [head width]; all as vec4,
// the head width a multiple of 4; all but out are bound as textures; statistics: [batch, tokens, 2,
// heads] of (mean, inverse_deviation).
// For CPU drivers: one invocation per head of queries, keys or values. No barrier. Moves 8 bytes for
// each element.
// Error: |error| <= (head width + 4) 2^-24 (|out| + max |x| inverse_deviation |weight|), in order.

struct Params { rows: u32, heads: u32, head_width: u32, epsilon: f32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var query_weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var key_weight: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var query_bias: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var key_bias: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4f>;

fn at_x(i: u32) -> vec4f { return textureLoad(qkv, texel_of(i)); }

fn weight_of(part: u32, i: u32) -> vec4f {
  let place = texel_of(i);
  if (part == 0u) { return textureLoad(query_weight, place); }
  return textureLoad(key_weight, place);
}
fn bias_of(part: u32, i: u32) -> vec4f {
  let place = texel_of(i);
  if (part == 0u) { return textureLoad(query_bias, place); }
  return textureLoad(key_bias, place);
}

@compute @workgroup_size(64)
fn qk_norm_forward_texture(
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
    for (var i = 0u; i < vectors; i++) { out[first + i] = at_x(first + i); }
    return;
  }
  let count = f32(params.head_width);
  var mean = 0.0;
  if (LAYER) {
    var sum = vec4f();
    for (var i = 0u; i < vectors; i++) { sum += at_x(first + i); }
    mean = dot(sum, vec4f(1.0)) / count;
  }
  var square = vec4f();
  for (var i = 0u; i < vectors; i++) {
    let centred = at_x(first + i) - mean;
    square += centred * centred;
  }
  let inverse_deviation = 1.0 / sqrt(dot(square, vec4f(1.0)) / count + params.epsilon);
  for (var i = 0u; i < vectors; i++) {
    var value = (at_x(first + i) - mean) * inverse_deviation * weight_of(part, i);
    if (LAYER) { value += bias_of(part, i); }
    out[first + i] = value;
  }
  let token = row / (3u * params.heads);
  statistics[(token * 2u + part) * params.heads + row % params.heads] =
    vec2f(mean, inverse_deviation);
}
`;
