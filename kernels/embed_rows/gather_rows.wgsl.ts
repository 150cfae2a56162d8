export default /* wgsl */ `
// out[b][j] = table[indices[b]][j], an index past the end meaning the last row
//
// table: [rows, width]; indices: [batch]; out: [batch, width]. One invocation per element of out.
// No barrier. Error: none.

struct Params { rows: u32, width: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn gather_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.width) { return; }
  let row = min(indices[i / params.width], params.rows - 1u);
  out[i] = table[row * params.width + i % params.width];
}
`;
