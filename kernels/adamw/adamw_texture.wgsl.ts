export default /* wgsl */ `
// One step of AdamW with clipped gradients and the moving average of the weights, in place, for CPU
// drivers: the formulas, shapes and errors of adamw, all five slabs read through staged textures.
//
// gradients and old_*, the same tensors as without it: [elements], bound as textures of vec4.
// One workgroup per chunk of CHUNK vec4, as large as a vector of the driver has lanes, 8 where that is neither 8 nor
// 16: with vectors of 8 a step of 5 million parameters takes 11 ms by 8 invocations on two cores of Zen 5, 25 or more
// by 16. No barrier.

override HAS_AVERAGES: bool = true;
override CHUNK: u32 = 4096;
override LANES: u32 = 8u;

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
@group(0) @binding(3) var<storage, read_write> first_moments: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> second_moments: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> averages: array<vec4f>;
@group(0) @binding(6) var gradients: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var old_values: texture_storage_2d<rgba32float, read>;
@group(0) @binding(8) var old_first_moments: texture_storage_2d<rgba32float, read>;
@group(0) @binding(9) var old_second_moments: texture_storage_2d<rgba32float, read>;
@group(0) @binding(10) var old_averages: texture_storage_2d<rgba32float, read>;

@compute @workgroup_size(LANES)
fn adamw_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let chunk = group.y * groups.x + group.x;
  let end = min(params.vectors, (chunk + 1u) * CHUNK);
  let clip = factor[1];
  if (clip == 0.0) { return; }
  for (var i = chunk * CHUNK + lane; i < end; i += LANES) {
    let at = texel_of(i);
    let g = textureLoad(gradients, at) * clip;
    var m = textureLoad(old_first_moments, at);
    m += params.rate1 * (g - m);
    let v = params.beta2 * textureLoad(old_second_moments, at) + params.rate2 * (g * g);
    var p = textureLoad(old_values, at);
    p -= params.decay * p;
    p -= params.step_size * m / (sqrt(v) * params.inverse_root + params.epsilon);
    first_moments[i] = m;
    second_moments[i] = v;
    values[i] = p;
    if (HAS_AVERAGES) {
      let a = textureLoad(old_averages, at);
      averages[i] = a + params.average_rate * (p - a);
    }
  }
}
`;
