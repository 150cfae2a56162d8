export default /* wgsl */ `
// out[b][j] = number j mod 4 of normal4(philox((j div 4, first_sample + b, step, stream), key))
//
// out: [batch, elements]. One invocation per sample and counter, which gives four elements.
// No barrier. The bits are those of core/random.ts; the error of the normal numbers is that of
// common/philox.wgsl.ts.

struct Params {
  batch: u32,
  elements: u32,
  key_low: u32,
  key_high: u32,
  stream: u32,
  step: u32,
  first_sample: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn random_normal(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = (params.elements + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * blocks) { return; }
  let b = i / blocks;
  let block = i % blocks;
  let counter = vec4u(block, params.first_sample + b, params.step, params.stream);
  let normals = normal4(philox(counter, vec2u(params.key_low, params.key_high)));
  let count = min(4u, params.elements - 4u * block);
  let first = b * params.elements + 4u * block;
  for (var k = 0u; k < count; k++) {
    out[first + k] = normals[k];
  }
}
`;
