export default /* wgsl */ `
// out[b][j] (+)= masked ? masked_noise n : scale x[b][j] + kept_noise n
// masked = bits(j div 4, first_sample + b, step, stream)[j mod 4] < threshold, with j = 0 for all of a
// sample where it is masked as a whole; n ~ N(0, 1) from counters whose first word is 2^31 higher
//
// x, out: [batch, width]. One invocation per sample and counter, which masks four elements.
// No barrier. The mask is exact; one rounding where there is no noise, otherwise the error of
// normal4 in common/philox.wgsl.ts.

struct Params {
  batch: u32,
  width: u32,
  key_low: u32,
  key_high: u32,
  stream: u32,
  step: u32,
  first_sample: u32,
  threshold: u32,
  scale: f32,
  masked_noise: f32,
  kept_noise: f32,
  whole: u32,
  accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn mask_snippets(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = (params.width + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * blocks) { return; }
  let b = i / blocks;
  let block = i % blocks;
  let key = vec2u(params.key_low, params.key_high);
  let whole = params.whole == 1u;
  let counter = vec4u(select(block, 0u, whole), params.first_sample + b, params.step, params.stream);
  let bits = philox(counter, key);
  var normals = vec4f();
  if (params.masked_noise != 0.0 || params.kept_noise != 0.0) {
    normals = normal4(philox(counter + vec4u(0x80000000u, 0u, 0u, 0u), key));
  }
  let count = min(4u, params.width - 4u * block);
  let first = b * params.width + 4u * block;
  for (var k = 0u; k < count; k++) {
    var value = params.masked_noise * normals[k];
    if (bits[select(k, 0u, whole)] >= params.threshold) {
      value = params.scale * x[first + k] + params.kept_noise * normals[k];
    }
    if (params.accumulate == 1u) { value += out[first + k]; }
    out[first + k] = value;
  }
}
`;
