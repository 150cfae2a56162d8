export default /* wgsl */ `
// Of gradients that carry the factor s: norm = n / s, factor = f / s, times
// min(1, max_norm / (norm + 1e-6)) where has_limit is 1; factor = 0 where f is 0, an overflow. Then
//   overflow: s = max(1, s / 2), steps = 0
//   else: steps += 1, and at growth_interval of them: s = min(max_scale, 2 s), steps = 0
//
// scaled: [2] = (n, f); scale: [1] = s; good_steps: [1] = steps; out: [2] = (norm, factor).
// One invocation. No barrier. Error: 2^-22 relative. Scales are powers of two where the first is.

struct Params { has_limit: u32, max_norm: f32, growth_interval: f32, max_scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scaled: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> good_steps: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(1)
fn loss_scale() {
  let s = scale[0];
  let norm = scaled[0] / s;
  var factor = scaled[1] / s;
  if (params.has_limit == 1u) {
    factor *= min(1.0, params.max_norm / (norm + 1e-6));
  }
  out[0] = norm;
  if (scaled[1] == 0.0) {
    out[1] = 0.0;
    scale[0] = max(1.0, 0.5 * s);
    good_steps[0] = 0.0;
    return;
  }
  out[1] = factor;
  let steps = good_steps[0] + 1.0;
  if (steps >= params.growth_interval) {
    scale[0] = min(params.max_scale, 2.0 * s);
    good_steps[0] = 0.0;
  } else {
    good_steps[0] = steps;
  }
}
`;
