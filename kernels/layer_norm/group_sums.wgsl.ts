export default /* wgsl */ `
// sums[g] = sum of dy,  products[g] = sum of dy n  over the rows of group g,  n = (x - mean) rstd,
// or n = x with PLAIN
//
// x, dy: [batches, tokens, width]; stats: [batches tokens] of (mean, rstd); group g = b chunks + c
// is chunk c of the tokens of b; sums, products: [groups, width]. The first stage of the gradients
// of gains and offsets.
// One invocation per column and group; neighbouring invocations read neighbouring addresses. No
// barrier. Moves 8 bytes for each element.
// Error: about 2^-24 (4 + sqrt(chunk)) of the sum of magnitudes, summed in order.

override PLAIN: bool = false;

struct Params { tokens: u32, width: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> products: array<f32>;

@compute @workgroup_size(64)
fn group_sums(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  if (id.x >= params.width) { return; }
  let first = id.z * params.tokens;
  let end = first + min(params.tokens, (id.y + 1u) * params.chunk);
  var sum = 0.0;
  var product = 0.0;
  for (var row = first + id.y * params.chunk; row < end; row++) {
    let i = row * params.width + id.x;
    var n = x[i];
    if (!PLAIN) {
      let moments = stats[row];
      n = (n - moments.x) * moments.y;
    }
    sum += dy[i];
    product += dy[i] * n;
  }
  let i = (id.z * groups.y + id.y) * params.width + id.x;
  sums[i] = sum;
  products[i] = product;
}
`;
