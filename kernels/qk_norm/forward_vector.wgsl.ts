export default /* wgsl */ `
// Queries and keys: out = (x - mean) inverse_deviation weight + bias; values: out = x.
// LAYER: mean and variance over the head width, inverse_deviation = 1 / sqrt(variance + epsilon).
// Otherwise: mean = 0, bias = 0 and variance = the mean of x^2.
//
// qkv, out: [batch, tokens, 3, heads, head width]; weights and biases: [head width]; all as vec4,
// the head width a multiple of 4; statistics: [batch, tokens, 2, heads] of (mean,
// inverse_deviation).
// For GPUs: eight invocations per head of queries, keys or values read neighbouring vec4, a second
// and a third time from the cache, and add their sums in order through 512 bytes of workgroup
// memory: 2 barriers. Moves 8 bytes for each element.
// Error: |error| <= (head width / 8 + 12) 2^-24 (|out| + max |x| inverse_deviation |weight|).

struct Params { rows: u32, heads: u32, head_width: u32, epsilon: f32 }
override LAYER: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> query_weight: array<vec4f>;
@group(0) @binding(3) var<storage, read> key_weight: array<vec4f>;
@group(0) @binding(4) var<storage, read> query_bias: array<vec4f>;
@group(0) @binding(5) var<storage, read> key_bias: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> statistics: array<vec2f>;
@group(0) @binding(7) var<storage, read_write> out: array<vec4f>;

// The sums of x, then those of squares.
var<workgroup> partial: array<f32, 128>;

fn sum_of_eight(value: f32, place: u32) -> f32 {
  partial[place] = value;
  workgroupBarrier();
  let first = place / 8u * 8u;
  var sum = 0.0;
  for (var i = first; i < first + 8u; i++) { sum += partial[i]; }
  return sum;
}

@compute @workgroup_size(64)
fn qk_norm_forward_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 8u + lane / 8u;
  let part = (row / params.heads) % 3u;
  let vectors = params.head_width / 4u;
  let first = row * vectors;
  let count = f32(params.head_width);
  // All take part in the barriers; values and rows past the last have nothing to sum.
  let end = select(vectors, 0u, row >= params.rows || part == 2u);
  var mean = 0.0;
  if (LAYER) {
    var sum = 0.0;
    for (var i = lane % 8u; i < end; i += 8u) { sum += dot(qkv[first + i], vec4f(1.0)); }
    mean = sum_of_eight(sum, lane) / count;
  }
  var square = 0.0;
  for (var i = lane % 8u; i < end; i += 8u) {
    let centred = qkv[first + i] - mean;
    square += dot(centred, centred);
  }
  let inverse_deviation = 1.0 / sqrt(sum_of_eight(square, 64u + lane) / count + params.epsilon);
  if (row >= params.rows) { return; }
  for (var i = lane % 8u; i < vectors; i += 8u) {
    var value = qkv[first + i];
    if (part < 2u) {
      let weight = select(query_weight[i], key_weight[i], part == 1u);
      value = (value - mean) * inverse_deviation * weight;
      if (LAYER) { value += select(query_bias[i], key_bias[i], part == 1u); }
    }
    out[first + i] = value;
  }
  if (part < 2u && lane % 8u == 0u) {
    let token = row / (3u * params.heads);
    statistics[(token * 2u + part) * params.heads + row % params.heads] =
      vec2f(mean, inverse_deviation);
  }
}
`;
