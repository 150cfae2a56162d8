export default /* wgsl */ `
// sums[g] = sum of dy,  products[g] = sum of dy n  over the rows of group g,  n = (x - mean) rstd,
// or n = x with PLAIN
//
// x, dy: [batches, tokens, width], bound as textures of vec4; stats: [batches tokens] of (mean,
// rstd); group g = b chunks + c is chunk c of the tokens of b; sums, products: [groups, width];
// width a multiple of 4.
// For CPU drivers with subgroups of 8 or 16: one invocation per 4 columns and group; each lane loads the
// moments of another row for all. No barrier. Moves 8 bytes for each element.
// Error: about 2^-24 (4 + sqrt(chunk)) of the sum of magnitudes, summed in order.

override PLAIN: bool = false;
override LANES: u32 = 8u;

struct Params { tokens: u32, width: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var dy: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> products: array<vec4f>;

@compute @workgroup_size(LANES)
fn group_sums_subgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let vectors = params.width / 4u;
  let column = group.x * LANES + lane;
  // Lanes past the width work along, for their share of the moments.
  let j = min(column, vectors - 1u);
  let first = group.z * params.tokens;
  let end = first + min(params.tokens, (group.y + 1u) * params.chunk);
  var sum = vec4f();
  var product = vec4f();
  for (var row = first + group.y * params.chunk; row < end; row += LANES) {
    let count = min(LANES, end - row);
    var own = vec2f(0.0, 1.0);
    if (!PLAIN) { own = stats[row + min(lane, count - 1u)]; }
    for (var r = 0u; r < count; r++) {
      let moments = subgroupShuffle(own, r);
      let i = (row + r) * vectors + j;
      let place = texel_of(i);
      let slope = textureLoad(dy, place);
      sum += slope;
      product += slope * (textureLoad(x, place) - moments.x) * moments.y;
    }
  }
  if (column >= vectors) { return; }
  let i = (group.z * groups.y + group.y) * vectors + column;
  sums[i] = sum;
  products[i] = product;
}
`;
