export default /* wgsl */ `
// out[c][j] (+)= sum over the rows i of chunk c of x[i][j]
//
// x: [rows, columns]; out: [ceil(rows / chunk), columns]. The gradient of a bias: run over
// chunks of rows, then over the partial sums until one row is left.
// One invocation per column and chunk, one chunk for a workgroup; neighbouring invocations read
// neighbouring addresses.
// No barrier. Error: |error| <= chunk 2^-24 sum |x|, summed in order.

struct Params { rows: u32, columns: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn column_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.y * groups.x + group.x;
  let tiles = (params.columns + 63u) / 64u;
  let column = tile % tiles * 64u + lane;
  let first = tile / tiles * params.chunk;
  if (column >= params.columns || first >= params.rows) { return; }
  let end = min(params.rows, first + params.chunk);
  var sum = 0.0;
  for (var row = first; row < end; row++) {
    sum += x[row * params.columns + column];
  }
  let i = tile / tiles * params.columns + column;
  if (params.accumulate == 1u) { sum += out[i]; }
  out[i] = sum;
}
`;
