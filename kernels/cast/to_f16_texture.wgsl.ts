export default /* wgsl */ `
// out[i] = x[i] rounded to the nearest f16: see common/half; for CPU drivers
//
// x: [elements], bound as a texture of vec4, which such a driver loads several times faster than a
// storage buffer; out: [elements], four halves as a vec2u. Moves 6 bytes for each element.
// One invocation per vec4. No barrier. Error: 2^-11 relative, 2^-25 absolute below 2^-14.

struct Params { elements: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec2u>;

@compute @workgroup_size(64)
fn cast_to_f16_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (4u * i < params.elements) {
    out[i] = half_bits(textureLoad(x, texel_of(i)));
  }
}
`;
