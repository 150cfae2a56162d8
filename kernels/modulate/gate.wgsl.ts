export default /* wgsl */ `
// out (+)= x + gate_b h, without x unless HAS_X
//
// x, h, out: [batches, tokens, width]; modulation: any, whose gate_b is the width elements from
// b stride + gate on. Any width.
// One invocation per column and 8 tokens, for which the gate is loaded once. No barrier. Moves 12
// bytes for each element, as many with accumulate in place of x. Error: two roundings.

override HAS_X: bool = false;

struct Params { tokens: u32, width: u32, stride: u32, gate: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> modulation: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gate(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width) { return; }
  let factor = modulation[id.z * params.stride + params.gate + id.x];
  let end = min(params.tokens, id.y * 8u + 8u);
  for (var token = id.y * 8u; token < end; token++) {
    let i = (id.z * params.tokens + token) * params.width + id.x;
    var value = factor * h[i];
    if (HAS_X) { value += x[i]; }
    if (params.accumulate == 1u) { value += out[i]; }
    out[i] = value;
  }
}
`;
