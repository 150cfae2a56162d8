export default /* wgsl */ `
// norm = scale sqrt(sum of partials), factor = scale min(1, max_norm / (norm + 1e-6))
//
// partials: [count]; out: [2] = (norm, factor). has_limit 0 leaves out the clipping. When the norm is
// infinite or not a number, the factor is 0.
// One workgroup of 256 sums every 256th partial and then adds its sums as a tree: 8 barriers.
// Error of the norm: half of 2^-24 (count / 256 + 8) relative, and that of sqrt.

struct Params { count: u32, has_limit: u32, max_norm: f32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn clip_factor(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += 256u) {
    sum += partials[i];
  }
  sums[lane] = sum;
  for (var width = 128u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      sums[lane] += sums[lane + width];
    }
  }
  if (lane != 0u) { return; }
  let norm = params.scale * sqrt(sums[0]);
  var factor = params.scale;
  if (params.has_limit == 1u) {
    factor *= min(1.0, params.max_norm / (norm + 1e-6));
  }
  // Compilers may assume that no float is infinite or NaN, so the exponent is tested as an integer.
  let finite = (bitcast<u32>(norm) & 0x7f800000u) != 0x7f800000u;
  out[0] = norm;
  out[1] = select(0.0, factor, finite);
}
`;
