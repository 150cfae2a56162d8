export default /* wgsl */ `
// out = x, read from its staged copy: the bandwidth ceiling of kernels for CPU drivers
//
// x: [elements] as texels, out: [elements] as vec4. One invocation copies four vec4 that lie 64 apart,
// 128 bytes moved. Filling the texture is not part of it. No barrier.
// Error: none.

@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

fn load(i: u32) -> vec4f {
  return textureLoad(x, texel_of(i));
}

@compute @workgroup_size(64)
fn copy_texture_ceiling(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = workgroup.x * 256u + lane;
  out[i] = load(i);
  out[i + 64u] = load(i + 64u);
  out[i + 128u] = load(i + 128u);
  out[i + 192u] = load(i + 192u);
}
`;
