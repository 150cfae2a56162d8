export default /* wgsl */ `
// out[c][j] (+)= sum over the rows i of chunk c of x[i][j], for CPU drivers
//
// x: [rows, columns], bound as a texture of vec4; out: [ceil(rows / chunk), columns]; columns a
// multiple of 4. One invocation per 4 columns and chunk. No barrier.
// Error: |error| <= chunk 2^-24 sum |x|, summed in order.

struct Params { rows: u32, columns: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(8)
fn column_sum_texture(@builtin(global_invocation_id) id: vec3u) {
  let stride = params.columns / 4u;
  if (id.x >= stride) { return; }
  let end = min(params.rows, (id.y + 1u) * params.chunk);
  var sum = vec4f();
  for (var row = id.y * params.chunk; row < end; row++) {
    let i = row * stride + id.x;
    sum += textureLoad(x, texel_of(i));
  }
  let i = id.y * stride + id.x;
  if (params.accumulate == 1u) { sum += out[i]; }
  out[i] = sum;
}
`;
