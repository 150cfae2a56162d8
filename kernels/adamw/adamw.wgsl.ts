export default /* wgsl */ `
// One step of AdamW with clipped gradients and the moving average of the weights, in place:
//   g = factor gradient
//   m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//   p -= decay p;  p -= step_size m / (sqrt(v) inverse_root + epsilon)
//   a += average_rate (p - a)
// With a factor of 0 nothing changes.
//
// factor: [2] = (norm, factor); the others: [elements], as vec4. average_rate = 1 - EMA decay,
// decay = rate times weight decay, step_size = rate / (1 - beta1^t), inverse_root = (1 - beta2^t)^-1/2.
// One invocation per vec4: 5 loads, 4 stores. No barrier. The moving mean is written as a step
// towards p because rounded decay and 1 - decay do not add up to 1: at 0.9999 the mean of a
// constant would end 2e-4 off.
// Error: 2^-24 relative for each operation, 2.5 ulp for division, that of the device for sqrt.

override HAS_AVERAGES: bool = true;

struct Params {
  vectors: u32,
  decay: f32,
  rate1: f32,
  beta2: f32,
  rate2: f32,
  step_size: f32,
  inverse_root: f32,
  epsilon: f32,
  average_rate: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<vec4f>;
@group(0) @binding(3) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> first_moments: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> second_moments: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> averages: array<vec4f>;

@compute @workgroup_size(64)
fn adamw(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  if (factor[1] == 0.0) { return; }
  let g = gradients[i] * factor[1];
  var m = first_moments[i];
  m += params.rate1 * (g - m);
  let v = params.beta2 * second_moments[i] + params.rate2 * (g * g);
  var p = values[i];
  p -= params.decay * p;
  p -= params.step_size * m / (sqrt(v) * params.inverse_root + params.epsilon);
  first_moments[i] = m;
  second_moments[i] = v;
  values[i] = p;
  if (HAS_AVERAGES) {
    let a = averages[i];
    averages[i] = a + params.average_rate * (p - a);
  }
}
`;
