export default /* wgsl */ `
// Queries and keys: out = (x - mean) inverse_deviation weight + bias; values: out = x.
// LAYER: mean and variance over the head width, inverse_deviation = 1 / sqrt(variance + epsilon).
// Otherwise: mean = 0, bias = 0 and variance = the mean of x^2.
//
// qkv, out: [batch, tokens, 3, heads, head width]; weights and biases: [head width]; statistics:
// [batch, tokens, 2, heads] of (mean, inverse_deviation).
// One invocation per head of queries, keys or values. No barrier.
// Error: |error| <= (head width + 4) 2^-24 (|out| + max |x| inverse_deviation |weight|), in order.

struct Params { rows: u32, heads: u32, head_width: u32, epsilon: f32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> query_weight: array<f32>;
@group(0) @binding(3) var<storage, read> key_weight: array<f32>;
@group(0) @binding(4) var<storage, read> query_bias: array<f32>;
@group(0) @binding(5) var<storage, read> key_bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn qk_norm_forward(
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
    for (var i = 0u; i < width; i++) { out[first + i] = qkv[first + i]; }
    return;
  }
  var mean = 0.0;
  if (LAYER) {
    for (var i = 0u; i < width; i++) { mean += qkv[first + i]; }
    mean /= f32(width);
  }
  var square = 0.0;
  for (var i = 0u; i < width; i++) {
    let centred = qkv[first + i] - mean;
    square += centred * centred;
  }
  let inverse_deviation = 1.0 / sqrt(square / f32(width) + params.epsilon);
  for (var i = 0u; i < width; i++) {
    var weight = query_weight[i];
    if (part == 1u) { weight = key_weight[i]; }
    var value = (qkv[first + i] - mean) * inverse_deviation * weight;
    if (LAYER) {
      if (part == 0u) { value += query_bias[i]; } else { value += key_bias[i]; }
    }
    out[first + i] = value;
  }
  let token = row / (3u * params.heads);
  statistics[(token * 2u + part) * params.heads + row % params.heads] =
    vec2f(mean, inverse_deviation);
}
`;
