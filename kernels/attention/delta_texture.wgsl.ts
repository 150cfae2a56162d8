export default /* wgsl */ `
// delta = the sum over each head's columns of dy x, for CPU drivers
//
// dy, x: [B, T, H, 4 head_vectors], bound as textures of vec4; delta: [B, H, T].
// One invocation per element of delta, neighbours along T. No barrier.
// Error: |error| <= 4 head_vectors 2^-24 sum |dy x|.

struct Params { tokens: u32, heads: u32, head_vectors: u32, rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(64)
fn attention_delta_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let index = row / params.tokens;
  let token = index / params.heads * params.tokens + row % params.tokens;
  let start = (token * params.heads + index % params.heads) * params.head_vectors;
  var sum = 0.0;
  for (var d = 0u; d < params.head_vectors; d++) {
    let i = start + d;
    let place = texel_of(i);
    sum += dot(textureLoad(dy, place), textureLoad(x, place));
  }
  delta[row] = sum;
}
`;
