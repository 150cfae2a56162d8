export default /* wgsl */ `
// delta = the sum over each head's columns of dy x
//
// dy, x: [B, T, H, head_width]; delta: [B, H, T].
// One invocation per element of delta. No barrier.
// Error: |error| <= head_width 2^-24 sum |dy x|.

struct Params { tokens: u32, heads: u32, head_width: u32, rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(64)
fn attention_delta(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  // Neighbours take neighbouring heads, which lie side by side in dy and x.
  let item = (group.y * groups.x + group.x) * 64u + lane;
  if (item >= params.rows) { return; }
  let head = item % params.heads;
  let token = item / params.heads;
  var sum = 0.0;
  for (var i = item * params.head_width; i < (item + 1u) * params.head_width; i++) {
    sum += dy[i] * x[i];
  }
  let batch = token / params.tokens;
  delta[(batch * params.heads + head) * params.tokens + token % params.tokens] = sum;
}
`;
