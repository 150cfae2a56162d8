export default /* wgsl */ `
// out[c][j] (+)= sum over the rows i of chunk c of x[i][j]
//
// x: [rows, columns]; out: [ceil(rows / chunk), columns]. The gradient of a bias: run once over
// chunks of rows, then once over the partial sums.
// One invocation per column and chunk; neighbouring invocations read neighbouring addresses.
// No barrier. Error: |error| <= chunk 2^-24 sum |x|, summed in order.

struct Params { rows: u32, columns: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn column_sum(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= params.columns) { return; }
  let end = min(params.rows, (id.y + 1u) * params.chunk);
  var sum = 0.0;
  for (var row = id.y * params.chunk; row < end; row++) {
    sum += x[row * params.columns + column];
  }
  let i = id.y * params.columns + column;
  if (params.accumulate == 1u) { sum += out[i]; }
  out[i] = sum;
}
`;
