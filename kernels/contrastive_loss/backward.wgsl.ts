export default /* wgsl */ `
// dproducts[i][j] = dloss s / (2 batch) (exp(s x - rows[i]) + exp(s x - columns[j]) - 2 [i = j]),
// x = products[i][j], s = exp(log_scale), rows and columns the halves of normalizers
//
// products, dproducts: [batch, batch]; log_scale, dloss: [1]; normalizers: [2 batch], see lines.wgsl.ts.
// One invocation per element. No barrier.
// Error: (4 |log_scale| + 8) 2^-24 of the largest |s x|, and as much of 2, times the factor.

struct Params { batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read> log_scale: array<f32>;
@group(0) @binding(3) var<storage, read> normalizers: array<f32>;
@group(0) @binding(4) var<storage, read> dloss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dproducts: array<f32>;

@compute @workgroup_size(64)
fn contrastive_loss_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + lane;
  if (at >= params.batch * params.batch) { return; }
  let i = at / params.batch;
  let j = at % params.batch;
  let scale = exp(log_scale[0]);
  let x = scale * products[at];
  var value = exp(x - normalizers[i]) + exp(x - normalizers[params.batch + j]);
  if (i == j) { value -= 2.0; }
  dproducts[at] = value * (dloss[0] * scale / f32(2u * params.batch));
}
`;
