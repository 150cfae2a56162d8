export default /* wgsl */ `
// norm = sqrt(sum), factor = min(1, max_norm / (norm + 1e-6))
//
// bits: [1], those of the sum of squares; out: [2] = (norm, factor). has_limit 0 leaves out the clipping.
// When the sum is infinite or not a number, the factor is 0. One invocation. No barrier.
// Error of the norm: half that of the sum relative, and that of sqrt.

struct Params { has_limit: u32, max_norm: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bits: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(1)
fn clip_factor() {
  let norm = sqrt(bitcast<f32>(bits[0]));
  var factor = 1.0;
  if (params.has_limit == 1u) {
    factor = min(1.0, params.max_norm / (norm + 1e-6));
  }
  // Compilers may assume that no float they compute is infinite or NaN, and leave out a test of its bits.
  // They know nothing of an integer that they load, which is why the sum has a kernel of its own.
  let finite = (bits[0] & 0x7f800000u) != 0x7f800000u;
  out[0] = norm;
  out[1] = select(0.0, factor, finite);
}
`;
