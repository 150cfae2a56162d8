export default /* wgsl */ `
// partials[first + 8 c + l] = sum over lane l of chunk c of x[i]^2, for CPU drivers
//
// x: [elements], bound as a texture of vec4, the padding of a slab being zero;
// partials: [8 times all chunks of all slabs]. One workgroup of 8 per chunk of CHUNK vec4, CHUNK / 8
// of them for each invocation, which keeps its own sum: no barrier.
// Error: 2^-24 (CHUNK / 8 + 3) relative at most, all terms being positive.

override CHUNK: u32 = 4096;

struct Params { vectors: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(8)
fn slab_square_sum_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let chunk = group.y * groups.x + group.x;
  if (chunk * CHUNK >= params.vectors) { return; }
  let end = min(params.vectors, (chunk + 1u) * CHUNK);
  var sum = vec4f();
  for (var i = chunk * CHUNK + lane; i < end; i += 8u) {
    let value = textureLoad(x, texel_of(i));
    sum += value * value;
  }
  partials[params.first + chunk * 8u + lane] = (sum.x + sum.y) + (sum.z + sum.w);
}
`;
