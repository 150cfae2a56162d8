export default /* wgsl */ `
// One third of the gradient of attention, any sizes:
//   P = exp(scale q kT - lse),  dS = P (dy vT - delta)
//   PART 0: dq = scale dS k,  PART 1: dk = scale dST q,  PART 2: dv = PT dy
//
// qkv and out, its gradient: [B, T, 3, H, head_width]; dy: [B, T, H, head_width]; lse, delta: [B, H, T].
// One invocation per row (query, or key for parts 1 and 2), over the tokens [first, end) of the other
// side; with first > 0 it adds to what is there. No barrier.
// Some drivers end an invocation's loops after 65,535 iterations in all, nested ones included:
// an invocation takes (end - first) (2 head_width + 3) + head_width.
// Error: that of P and dS, 2^-24 (2 |s| + head_width sum |q k| scale) relative, plus T 2^-24 of
// the sum of magnitudes.

override PART: u32 = 0u;

struct Params {
  rows: u32, tokens: u32, heads: u32, head_width: u32, first: u32, end: u32, scale: f32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn attention_backward_naive(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (group.y * groups.x + group.x) * 64u + lane;
  if (item >= params.rows) { return; }
  let row = item % params.tokens;
  let index = item / params.tokens;
  let batch = index / params.heads;
  let width = params.heads * params.head_width;
  let start = index % params.heads * params.head_width;
  let base = batch * params.tokens * 3u * width + start;
  let base_dy = batch * params.tokens * width + start;
  let to = base + row * 3u * width + PART * width;
  if (params.first == 0u) {
    for (var d = 0u; d < params.head_width; d++) { out[to + d] = 0.0; }
  }
  for (var other = params.first; other < params.end; other++) {
    let query = select(other, row, PART == 0u);
    let key = select(row, other, PART == 0u);
    let q = base + query * 3u * width;
    let k = base + width + key * 3u * width;
    let v = k + width;
    let dy_row = base_dy + query * width;
    var s = 0.0;
    var dp = 0.0;
    for (var d = 0u; d < params.head_width; d++) {
      s += qkv[q + d] * qkv[k + d];
      if (PART != 2u) { dp += dy[dy_row + d] * qkv[v + d]; }
    }
    let stats = index * params.tokens + query;
    let p = exp(s * params.scale - lse[stats]);
    let ds = p * (dp - delta[stats]) * params.scale;
    for (var d = 0u; d < params.head_width; d++) {
      if (PART == 0u) { out[to + d] += ds * qkv[k + d]; }
      if (PART == 1u) { out[to + d] += ds * qkv[q + d]; }
      if (PART == 2u) { out[to + d] += p * dy[dy_row + d]; }
    }
  }
}
`;
