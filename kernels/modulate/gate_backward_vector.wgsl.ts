export default /* wgsl */ `
// out (+)= gate_b dy,  products[g] = sum of dy h  over the tokens of group g; for GPUs
//
// dy, h, out: [batches, tokens, width]; modulation: any, whose gate_b is the width elements from b stride + gate on;
// group g = b chunks + c is chunk c of the tokens of b; products: [groups, width]; all as vec4, out also in f16, width a
// multiple of 4. The gradient of what is gated, and the first stage of that of the gate: dy is read once.
// One workgroup of 16 by 8 per 16 vec4 of columns and group; invocation (x, y) takes the rows y, y + 8, ... of
// the group; then the 8 sums of a column are added in order. One barrier, 2 KiB of workgroup memory. Moves 12 bytes
// for each element, 16 with accumulate, 10 where out is f16.
// Error: of out two roundings, of products about 2^-24 (4 + sqrt(chunk)) of the sum of magnitudes, in fixed order.

struct Params { tokens: u32, width: u32, stride: u32, gate: u32, chunk: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>;
@group(0) @binding(2) var<storage, read> h: array<vec4f>;
@group(0) @binding(3) var<storage, read> modulation: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<Stored>;
@group(0) @binding(5) var<storage, read_write> products: array<vec4f>;

// [8][16]
var<workgroup> partial: array<vec4f, 128>;

@compute @workgroup_size(16, 8)
fn gate_backward_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let vectors = params.width / 4u;
  let column = group.x * 16u + local.x;
  let first = group.z * params.tokens;
  let end = first + min(params.tokens, (group.y + 1u) * params.chunk);
  var product = vec4f();
  if (column < vectors) {
    let factor = modulation[(group.z * params.stride + params.gate) / 4u + column];
    for (var row = first + group.y * params.chunk + local.y; row < end; row += 8u) {
      let i = row * vectors + column;
      let slope = dy[i];
      store_results(i, factor * slope, params.accumulate);
      product += slope * h[i];
    }
  }
  partial[local.y * 16u + local.x] = product;
  workgroupBarrier();
  if (column >= vectors || local.y > 0u) { return; }
  var total = vec4f();
  for (var y = 0u; y < 8u; y++) { total += partial[y * 16u + local.x]; }
  products[(group.z * groups.y + group.y) * vectors + column] = total;
}
`;
