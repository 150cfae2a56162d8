export default /* wgsl */ `
// out = softmax(scale q kT) v for each head, the specification on the GPU
//
// qkv: [B, T, 3, H, head_width]; out: [B, T, H, head_width]; lse: [B, H, T], the logarithm of every
// row's sum of exponentials; any sizes.
// One invocation per query row, over the keys [first, end) twice: for the logarithm of the sum and
// for the output. With first > 0 it goes on from the out and lse of the keys before. No barrier.
// Some drivers end an invocation's loops after 65,535 iterations in all, nested ones included:
// an invocation takes (end - first) (3 head_width + 5) + head_width.
// Error relative to the largest |v|: the scores' absolute error, 2^-24 (head_width sum |q k| scale
// + 2 |s|), plus T 2^-24.

struct Params { rows: u32, tokens: u32, heads: u32, head_width: u32, first: u32, end: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;

const NEVER = -1e30;

fn score(q: u32, k: u32) -> f32 {
  var sum = 0.0;
  for (var d = 0u; d < params.head_width; d++) { sum += qkv[q + d] * qkv[k + d]; }
  return sum * params.scale;
}

@compute @workgroup_size(64)
fn attention_forward_naive(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  if (row >= params.rows) { return; }
  let query = row % params.tokens;
  let index = row / params.tokens;
  let batch = index / params.heads;
  let width = params.heads * params.head_width;
  let start = index % params.heads * params.head_width;
  let base = batch * params.tokens * 3u * width + start;
  let q = base + query * 3u * width;
  let to = (batch * params.tokens + query) * width + start;

  var top = NEVER;
  var sum = 0.0;
  if (params.first > 0u) {
    top = lse[row];
    sum = 1.0;
  }
  for (var key = params.first; key < params.end; key++) {
    let s = score(q, base + width + key * 3u * width);
    if (s > top) {
      sum *= exp(top - s);
      top = s;
    }
    sum += exp(s - top);
  }
  let total = top + log(sum);
  var fade = 0.0;
  if (params.first > 0u) { fade = exp(lse[row] - total); }
  lse[row] = total;
  for (var d = 0u; d < params.head_width; d++) {
    // Never a product with 0: what was not written yet may be no number.
    out[to + d] = select(0.0, fade * out[to + d], params.first > 0u);
  }
  for (var key = params.first; key < params.end; key++) {
    let p = exp(score(q, base + width + key * 3u * width) - total);
    let v = base + 2u * width + key * 3u * width;
    for (var d = 0u; d < params.head_width; d++) { out[to + d] += p * qkv[v + d]; }
  }
}
`;
