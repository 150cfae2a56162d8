export default /* wgsl */ `
// d[b stride + at + j] (+)= factor_bj  sum over the chunks c of sums[b][c][j],
// factor_bj = 1, or factors[b factor_stride + factor_at + j], plus 1 with PLUS_ONE
//
// sums: [batches, chunks, width]; factors: any; d: any. The second stage of the gradients of shift,
// scale and gate, whose chunks of the modulation tensor are width wide, at b stride + at.
// One invocation per column and b. No barrier. Moves 4 chunks + 8 bytes for each.
// Error: chunks + 2 roundings.

override HAS_FACTOR: bool = false;
override PLUS_ONE: bool = false;

struct Params {
  width: u32, chunks: u32,
  stride: u32, at: u32,
  factor_stride: u32, factor_at: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read> factors: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(64)
fn spread_sums(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width) { return; }
  var value = 0.0;
  for (var c = 0u; c < params.chunks; c++) {
    value += sums[(id.y * params.chunks + c) * params.width + id.x];
  }
  if (HAS_FACTOR) {
    var factor = factors[id.y * params.factor_stride + params.factor_at + id.x];
    if (PLUS_ONE) { factor += 1.0; }
    value *= factor;
  }
  let i = id.y * params.stride + params.at + id.x;
  if (params.accumulate == 1u) { value += d[i]; }
  d[i] = value;
}
`;
