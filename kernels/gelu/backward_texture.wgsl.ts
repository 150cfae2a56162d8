export default /* wgsl */ `
// dx[i] (+)= dy[i] gelu'(x[i]), the tanh form: see common/activation; for CPU drivers
//
// x, dy, dx: [elements], as vec4; x and dy are bound as textures. Moves 12 bytes for each element,
// 16 when it adds. One invocation per vec4. No barrier. Error: about 2^-21 |dy|.

struct Params { vectors: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn gelu_backward_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.vectors) {
    let place = texel_of(i);
    var value = textureLoad(dy, place) * gelu_slope(textureLoad(x, place));
    if (params.accumulate == 1u) { value += dx[i]; }
    dx[i] = value;
  }
}
`;
