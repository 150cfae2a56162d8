export default /* wgsl */ `
// delta = the sum over each head's columns of dy x, x what attention gave, for GPUs
//
// dy, x: [B, T, H, 4 head_vectors], as vec4, x also in f16; delta: [B, H, T].
// Eight invocations per element of delta read neighbouring vec4; their sums are added in order. One
// barrier, 256 bytes of workgroup memory. Error: |error| <= 4 head_vectors 2^-24 sum |dy x|.

struct Params { tokens: u32, heads: u32, head_vectors: u32, rows: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<Loaded>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn attention_delta_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  // Neighbours take neighbouring heads, which lie side by side in dy and x.
  let item = (group.y * groups.x + group.x) * 8u + lane / 8u;
  var sum = 0.0;
  if (item < params.rows) {
    let end = (item + 1u) * params.head_vectors;
    for (var i = item * params.head_vectors + lane % 8u; i < end; i += 8u) {
      sum += dot(dy[i], loaded(i));
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (item >= params.rows || lane % 8u != 0u) { return; }
  var total = 0.0;
  for (var i = 0u; i < 8u; i++) { total += partial[lane + i]; }
  let head = item % params.heads;
  let token = item / params.heads;
  let batch = token / params.tokens;
  delta[(batch * params.heads + head) * params.tokens + token % params.tokens] = total;
}
`;
