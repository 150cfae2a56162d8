export default /* wgsl */ `
// For each of the 2 batch lines x of the products, the rows and then the columns, of which x_own lies
// on the diagonal, with s = exp(log_scale):
//   normalizers[l] = log(sum over j of exp(s x_j)),  losses[l] = normalizers[l] - s x_own,
//   slopes[l] = s (sum over j of exp(s x_j - normalizers[l]) x_j - x_own), the loss by log_scale
//
// products: [batch, batch]; log_scale: [1]; normalizers, losses, slopes: [2 batch].
// One invocation per line, which reads it twice; neighbours read neighbouring columns. No barrier.
// Error of losses: (4 |log_scale| + 8) 2^-24 of the largest |s x| and (batch + 8) 2^-24 of the loss; of
// slopes: s times the largest |x| times that of the losses.

struct Params { batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> products: array<f32>;
@group(0) @binding(2) var<storage, read> log_scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> normalizers: array<f32>;
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> slopes: array<f32>;

@compute @workgroup_size(64)
fn contrastive_loss_lines(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= 2u * params.batch) { return; }
  let scale = exp(log_scale[0]);
  let line = i % params.batch;
  let is_row = i < params.batch;
  let first = select(line, line * params.batch, is_row);
  let stride = select(params.batch, 1u, is_row);
  let own = products[line * (params.batch + 1u)];
  var largest = own;
  for (var j = 0u; j < params.batch; j++) {
    largest = max(largest, products[first + j * stride]);
  }
  var sum = 0.0;
  var weighted = 0.0;
  for (var j = 0u; j < params.batch; j++) {
    let x = products[first + j * stride];
    let weight = exp(scale * (x - largest));
    sum += weight;
    weighted += weight * (x - own);
  }
  normalizers[i] = scale * largest + log(sum);
  losses[i] = scale * (largest - own) + log(sum);
  slopes[i] = scale * weighted / sum;
}
`;
