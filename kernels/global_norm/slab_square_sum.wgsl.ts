export default /* wgsl */ `
// partials[first + c] = sum over chunk c of x[i]^2
//
// x: [elements], as vec4, the padding of a slab being zero; partials: [all chunks of all slabs].
// One workgroup per chunk of CHUNK vec4; neighbouring invocations read neighbouring addresses and
// sum CHUNK / 256 vec4 each, then the workgroup adds its 256 sums as a tree: 8 barriers.
// Error: 2^-24 (CHUNK / 256 + 11) relative at most, all terms being positive.

override CHUNK: u32 = 4096;

struct Params { vectors: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn slab_square_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let chunk = group.y * groups.x + group.x;
  let end = min(params.vectors, (chunk + 1u) * CHUNK);
  var sum = vec4f();
  for (var i = chunk * CHUNK + lane; i < end; i += 256u) {
    let value = x[i];
    sum += value * value;
  }
  sums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
  for (var width = 128u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      sums[lane] += sums[lane + width];
    }
  }
  // The grid is a rectangle, so its last row may reach past the last chunk.
  if (lane == 0u && chunk * CHUNK < params.vectors) {
    partials[params.first + chunk] = sums[0];
  }
}
`;
