export default /* wgsl */ `
// Queries and keys: out = x cos + rotate_half(x) sin, or its transpose; values: out = x; for CPU
// drivers.
// rotate_half turns the neighbours (a, b) into (-b, a).
//
// x, out: [batch, tokens, 3, heads, head width]; cosines, sines: [tokens, head width]; all as vec4
// of two pairs of neighbours, all but out bound as textures, the head width a multiple of 4. One
// invocation per vec4. No barrier.
// Moves 8 bytes for each element. Transposed, the pair (a, b) becomes
// (a cos_0 + b sin_1, b cos_1 - a sin_0).
// Error: |error| <= 3 2^-24 (|a| + |b|).

struct Params {
  vectors: u32, tokens: u32, vectors_per_part: u32, vectors_per_head: u32, transposed: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var cosines: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var sines: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn rotate_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  let row = i / params.vectors_per_part;
  var value = textureLoad(x, texel_of(i));
  if (row % 3u < 2u) {
    let token = (row / 3u) % params.tokens;
    let angle = token * params.vectors_per_head + i % params.vectors_per_head;
    var sine = textureLoad(sines, texel_of(angle)) * vec4f(-1.0, 1.0, -1.0, 1.0);
    if (params.transposed == 1u) { sine = sine.yxwz; }
    value = value * textureLoad(cosines, texel_of(angle)) + value.yxwz * sine;
  }
  if (params.accumulate == 1u) { value += out[i]; }
  out[i] = value;
}
`;
