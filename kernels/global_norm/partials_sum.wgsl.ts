export default /* wgsl */ `
// bits = those of the sum of partials
//
// partials: [count]; bits: [1]. The bits are for a kernel that has to tell whether the sum is finite.
// One workgroup of 256 sums every 256th partial and then adds its sums as a tree: 8 barriers.
// Error: 2^-24 (count / 256 + 8) relative at most, all terms being positive.

struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> bits: array<u32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn partials_sum(@builtin(local_invocation_index) lane: u32) {
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
  if (lane == 0u) { bits[0] = bitcast<u32>(sums[0]); }
}
`;
