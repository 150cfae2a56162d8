export default /* wgsl */ `
// out[c][j] (+)= sum over the rows i of chunk c of x[i][j], for CPU drivers
//
// x: [rows, columns], bound as a texture of vec4; out: [ceil(rows / chunk), columns]; columns a
// multiple of 4. One invocation per 4 columns and chunk, one chunk for a workgroup. No barrier.
// Error: |error| <= chunk 2^-24 sum |x|, summed in order.

struct Params { rows: u32, columns: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(16)
fn column_sum_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let stride = params.columns / 4u;
  let tile = group.y * groups.x + group.x;
  let tiles = (stride + 15u) / 16u;
  let column = tile % tiles * 16u + lane;
  let first = tile / tiles * params.chunk;
  if (column >= stride || first >= params.rows) { return; }
  let end = min(params.rows, first + params.chunk);
  var sum = vec4f();
  for (var row = first; row < end; row++) {
    let i = row * stride + column;
    sum += textureLoad(x, texel_of(i));
  }
  let i = tile / tiles * stride + column;
  if (params.accumulate == 1u) { sum += out[i]; }
  out[i] = sum;
}
`;
