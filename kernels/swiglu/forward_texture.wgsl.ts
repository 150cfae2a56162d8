export default /* wgsl */ `
// out[r][j] = silu(x[r][j]) x[r][h + j], for CPU drivers
//
// x: [rows, 2 h], bound as a texture of vec4; out: [rows, h]; h a multiple of 4. Moves 12 bytes for
// each element of out. One invocation per vec4 of out; "vectors" counts those of out, "width" those
// of a row of it. No barrier. Error: about 2^-22 of the product.

struct Params { vectors: u32, width: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

fn at_x(i: u32) -> vec4f { return textureLoad(x, texel_of(i)); }

@compute @workgroup_size(64)
fn swiglu_forward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  let at = i + i / params.width * params.width;
  out[i] = silu(at_x(at)) * at_x(at + params.width);
}
`;
