export default /* wgsl */ `
// partial[c][i] = sum over the heads of chunk c of dy (x - mean) inverse_deviation, the gradient of
// a weight, or with BIAS of dy, the gradient of a bias
//
// qkv, dy: [batch, tokens, 3, heads, head width], of which one part (0 queries, 1 keys) is read;
// statistics: [batch, tokens, 2, heads] of (mean, inverse_deviation); partial: [chunks, head width].
// One invocation per channel and chunk; neighbouring invocations read neighbouring addresses.
// No barrier. Error: |error| <= (chunk + 3) 2^-24 sum |dy y|, summed in order.

struct Params { rows: u32, heads: u32, head_width: u32, part: u32, chunk: u32 }
override BIAS: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(64)
fn qk_norm_parameter_sum(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if (channel >= params.head_width) { return; }
  let end = min(params.rows, (id.y + 1u) * params.chunk);
  var sum = 0.0;
  for (var row = id.y * params.chunk; row < end; row++) {
    let token = row / params.heads;
    let head = row % params.heads;
    let i = ((token * 3u + params.part) * params.heads + head) * params.head_width + channel;
    if (BIAS) {
      sum += dy[i];
    } else {
      let moments = statistics[(token * 2u + params.part) * params.heads + head];
      sum += dy[i] * (qkv[i] - moments.x) * moments.y;
    }
  }
  partial[id.y * params.head_width + channel] = sum;
}
`;
