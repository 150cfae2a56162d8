export default /* wgsl */ `
// out[b] = part[indices[b] - first] for the b whose row is in the part; the others stay
//
// part: [rows, width], the rows first, first + 1, ... of a table of params.total; indices: [batch], one
// past the end of the table meaning its last row; out: [batch, width]. One workgroup of 64 per b, which
// leaves at once when its row is in another part. No barrier. Error: none.

struct Params { first: u32, rows: u32, total: u32, width: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gather_part(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.y * groups.x + group.x;
  if (b >= params.batch) { return; }
  // Below the part, the subtraction wraps to a row far beyond it.
  let row = min(indices[b], params.total - 1u) - params.first;
  if (row >= params.rows) { return; }
  for (var j = lane; j < params.width; j += 64u) {
    out[b * params.width + j] = part[row * params.width + j];
  }
}
`;
