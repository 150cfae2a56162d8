export default /* wgsl */ `
// x_out[b] = alpha data[b] + sigma noise[b];  target_out[b] = c_data data[b] + c_noise noise[b]
//
// data, noise, x_out, target_out: [batch, elements]; coefficients: [batch] of (alpha, sigma, c_data,
// c_noise). One invocation per four elements of a sample. No barrier.
// Error: |error| <= 2 2^-24 (|a data| + |b noise|) with the two coefficients a and b of a result.

struct Params { batch: u32, elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<f32>;
@group(0) @binding(2) var<storage, read> noise: array<f32>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> x_out: array<f32>;
@group(0) @binding(5) var<storage, read_write> target_out: array<f32>;

@compute @workgroup_size(64)
fn interpolate(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let quads = (params.elements + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * quads) { return; }
  let b = i / quads;
  let quad = i % quads;
  let c = coefficients[b];
  let count = min(4u, params.elements - 4u * quad);
  let first = b * params.elements + 4u * quad;
  for (var k = first; k < first + count; k++) {
    let pair = vec2f(data[k], noise[k]);
    x_out[k] = dot(c.xy, pair);
    target_out[k] = dot(c.zw, pair);
  }
}
`;
