export default /* wgsl */ `
// out[i] = gelu(x[i]), the tanh form: see common/activation; for CPU drivers
//
// x, out: [elements], as vec4; x is bound as a texture, which such a driver loads several times
// faster than a storage buffer. Moves 8 bytes for each element. One invocation per vec4. No barrier.
// Error: about 2^-22 |x|.

struct Params { vectors: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn gelu_forward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.vectors) {
    out[i] = gelu(textureLoad(x, texel_of(i)));
  }
}
`;
