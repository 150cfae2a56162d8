export default /* wgsl */ `
// Queries and keys: out = x cos + rotate_half(x) sin, or its transpose; values: out = x.
// rotate_half turns the neighbours (a, b) into (-b, a).
//
// x, out: [batch, tokens, 3, heads, head width] as pairs of neighbours; cosines, sines: [tokens,
// head width] as pairs. One invocation per pair. No barrier. Transposed, the pair (a, b) becomes
// (a cos_0 + b sin_1, b cos_1 - a sin_0).
// Error: |error| <= 3 2^-24 (|a| + |b|).

struct Params {
  pairs: u32, tokens: u32, pairs_per_part: u32, pairs_per_head: u32, transposed: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec2f>;
@group(0) @binding(2) var<storage, read> cosines: array<vec2f>;
@group(0) @binding(3) var<storage, read> sines: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec2f>;

@compute @workgroup_size(64)
fn rotate(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.pairs) { return; }
  let row = i / params.pairs_per_part;
  var pair = x[i];
  if (row % 3u < 2u) {
    let token = (row / 3u) % params.tokens;
    let angle = token * params.pairs_per_head + i % params.pairs_per_head;
    let cosine = cosines[angle];
    let sine = select(sines[angle], -sines[angle].yx, params.transposed == 1u);
    pair = vec2f(pair.x * cosine.x - pair.y * sine.x, pair.y * cosine.y + pair.x * sine.y);
  }
  if (params.accumulate == 1u) { pair += out[i]; }
  out[i] = pair;
}
`;
