export default /* wgsl */ `
// sums[g] = sum of dy,  products[g] = sum of dy n  over the rows of group g,  n = (x - mean) rstd,
// or n = x with PLAIN
//
// x, dy: [batches, tokens, width]; stats: [batches tokens] of (mean, rstd); group g = b chunks + c
// is chunk c of the tokens of b; sums, products: [groups, width]; all but stats as vec4, width a
// multiple of 4. The first stage of the gradients of gains and offsets.
// For GPUs: one workgroup of 16 by 8 per 16 vec4 of columns and group; invocation (x, y) sums the
// rows y, y + 8, ... of the group, so that even few groups keep a GPU busy; then the 8 sums of a
// column are added in order. One barrier, 4 KiB of workgroup memory. Moves 8 bytes for each element.
// Error: about 2^-24 (4 + sqrt(chunk)) of the sum of magnitudes, in fixed order.

override PLAIN: bool = false;

struct Params { tokens: u32, width: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> products: array<vec4f>;

// Sums [8][16], then products.
var<workgroup> partial: array<vec4f, 256>;

@compute @workgroup_size(16, 8)
fn group_sums_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let vectors = params.width / 4u;
  let column = group.x * 16u + local.x;
  let first = group.z * params.tokens;
  let end = first + min(params.tokens, (group.y + 1u) * params.chunk);
  var sum = vec4f();
  var product = vec4f();
  if (column < vectors) {
    for (var row = first + group.y * params.chunk + local.y; row < end; row += 8u) {
      let i = row * vectors + column;
      let slope = dy[i];
      var n = x[i];
      if (!PLAIN) {
        let moments = stats[row];
        n = (n - moments.x) * moments.y;
      }
      sum += slope;
      product += slope * n;
    }
  }
  let at = local.y * 16u + local.x;
  partial[at] = sum;
  partial[128u + at] = product;
  workgroupBarrier();
  if (column >= vectors || local.y > 1u) { return; }
  // The first row of invocations adds the sums, the second the products.
  var total = vec4f();
  for (var y = 0u; y < 8u; y++) { total += partial[local.y * 128u + y * 16u + local.x]; }
  let i = (group.z * groups.y + group.y) * vectors + column;
  if (local.y == 0u) { sums[i] = total; } else { products[i] = total; }
}
`;
