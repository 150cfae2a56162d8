export default /* wgsl */ `
// dtable[indices[b]][j] += dy[b][j] for b = first, first + 1, ... before end, in this order
//
// indices: [batch], of which at most 65,535 are taken at once; dy: [batch, width]; dtable: [rows,
// width]. One invocation per column, so that no two write to one address and the order of additions
// is fixed. No barrier.
// Error: |error| <= n 2^-24 sum |dy| for a row that n indices name.

struct Params { rows: u32, width: u32, first: u32, end: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dtable: array<f32>;

@compute @workgroup_size(64)
fn scatter_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let column = (group.y * groups.x + group.x) * 64u + lane;
  if (column >= params.width) { return; }
  for (var b = params.first; b < params.end; b++) {
    let row = min(indices[b], params.rows - 1u);
    dtable[row * params.width + column] += dy[b * params.width + column];
  }
}
`;
