export default /* wgsl */ `
// partial[c][i] = sum over the heads of chunk c of dy (x - mean) inverse_deviation, the gradient of
// a weight, or with BIAS of dy, the gradient of a bias; for CPU drivers
//
// qkv, dy: [batch, tokens, 3, heads, head width], bound as textures of vec4, of which one part (0
// queries, 1 keys) is read; statistics: [batch, tokens, 2, heads] of (mean, inverse_deviation);
// partial: [chunks, head width]; the head width a multiple of 4.
// One invocation per 4 channels and chunk. No barrier.
// Error: |error| <= (chunk + 3) 2^-24 sum |dy y|, summed in order.

struct Params { rows: u32, heads: u32, head_width: u32, part: u32, chunk: u32 }
override BIAS: bool = false;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> partial: array<vec4f>;

@compute @workgroup_size(8)
fn qk_norm_parameter_sum_texture(@builtin(global_invocation_id) id: vec3u) {
  let vectors = params.head_width / 4u;
  if (id.x >= vectors) { return; }
  let end = min(params.rows, (id.y + 1u) * params.chunk);
  var sum = vec4f();
  for (var row = id.y * params.chunk; row < end; row++) {
    let token = row / params.heads;
    let head = row % params.heads;
    let i = ((token * 3u + params.part) * params.heads + head) * vectors + id.x;
    let place = texel_of(i);
    var term = textureLoad(dy, place);
    if (!BIAS) {
      let moments = statistics[(token * 2u + params.part) * params.heads + head];
      term *= (textureLoad(qkv, place) - moments.x) * moments.y;
    }
    sum += term;
  }
  partial[id.y * vectors + id.x] = sum;
}
`;
