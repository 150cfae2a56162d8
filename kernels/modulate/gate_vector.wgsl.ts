export default /* wgsl */ `
// out (+)= x + gate_b h, without x unless HAS_X; for GPUs
//
// x, h, out: [batches, tokens, width]; modulation: any, whose gate_b is the width elements from
// b stride + gate on; all as vec4, width a multiple of 4. One invocation per 4 columns and 8 tokens,
// for which the gate is loaded once. No barrier. Moves 12 bytes for each element, as many with
// accumulate in place of x, 8 with neither. Error: two roundings.

override HAS_X: bool = false;

struct Params { tokens: u32, width: u32, stride: u32, gate: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> h: array<vec4f>;
@group(0) @binding(3) var<storage, read> modulation: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn gate_vector(@builtin(global_invocation_id) id: vec3u) {
  let vectors = params.width / 4u;
  if (id.x >= vectors) { return; }
  let factor = modulation[(id.z * params.stride + params.gate) / 4u + id.x];
  let end = min(params.tokens, id.y * 8u + 8u);
  for (var token = id.y * 8u; token < end; token++) {
    let i = (id.z * params.tokens + token) * vectors + id.x;
    var value = factor * h[i];
    if (HAS_X) { value += x[i]; }
    if (params.accumulate == 1u) { value += out[i]; }
    out[i] = value;
  }
}
`;
