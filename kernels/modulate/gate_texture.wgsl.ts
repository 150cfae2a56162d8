export default /* wgsl */ `
// out = x + gate_b h, without x unless HAS_X; for CPU drivers
//
// x, h: [batches, tokens, width]; x may be out as it was; modulation: any; all three bound as
// textures of vec4; gate_b is the width elements from b stride + gate on; width a multiple of 4. One
// invocation per 4 columns and 8 tokens, for which the gate is loaded once. No barrier. Moves 12
// bytes for each element. Error: two roundings.

override HAS_X: bool = false;

struct Params { tokens: u32, width: u32, stride: u32, gate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var h: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var modulation: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(16)
fn gate_texture(@builtin(global_invocation_id) id: vec3u) {
  let vectors = params.width / 4u;
  if (id.x >= vectors) { return; }
  let first = (id.z * params.stride + params.gate) / 4u;
  let factor = textureLoad(modulation, texel_of(first + id.x));
  let end = min(params.tokens, id.y * 8u + 8u);
  for (var token = id.y * 8u; token < end; token++) {
    let i = (id.z * params.tokens + token) * vectors + id.x;
    let place = texel_of(i);
    var value = factor * textureLoad(h, place);
    if (HAS_X) { value += textureLoad(x, place); }
    out[i] = value;
  }
}
`;
