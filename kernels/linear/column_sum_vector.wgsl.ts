export default /* wgsl */ `
// out[c][j] (+)= sum over the rows i of chunk c of x[i][j], for GPUs
//
// x: [rows, columns], f32 or f16, by fours; out: [ceil(rows / chunk), columns]; columns a multiple of 4.
// One workgroup of 16 by 8 per 16 vec4 of columns and chunk; invocation (x, y) sums the rows y,
// y + 8, ... of the chunk, then the 8 sums of a column are added in order. One barrier, 2 KiB of
// workgroup memory. Moves the bytes of x.
// Error: |error| <= (chunk / 8 + 8) 2^-24 sum |x|, in fixed order.

struct Params { rows: u32, columns: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Loaded>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

var<workgroup> partial: array<vec4f, 128>;

@compute @workgroup_size(16, 8)
fn column_sum_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let stride = params.columns / 4u;
  let tile = group.y * groups.x + group.x;
  let tiles = (stride + 15u) / 16u;
  let column = tile % tiles * 16u + local.x;
  let first = tile / tiles * params.chunk;
  if (first >= params.rows) { return; }
  let end = min(params.rows, first + params.chunk);
  var sum = vec4f();
  if (column < stride) {
    for (var row = first + local.y; row < end; row += 8u) {
      sum += loaded(row * stride + column);
    }
  }
  partial[local.y * 16u + local.x] = sum;
  workgroupBarrier();
  if (column >= stride || local.y > 0u) { return; }
  var total = vec4f();
  for (var y = 0u; y < 8u; y++) { total += partial[y * 16u + local.x]; }
  let i = tile / tiles * stride + column;
  if (params.accumulate == 1u) { total += out[i]; }
  out[i] = total;
}
`;
