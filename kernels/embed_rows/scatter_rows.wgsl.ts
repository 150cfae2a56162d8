export default /* wgsl */ `
// dtable[indices[b]][j] += dy[b][j] for b = 0, 1, ... in this order
//
// indices: [batch], batch < 65,535; dy: [batch, width]; dtable: [rows, width]. One invocation per
// column, so that no two write to one address and the order of additions is fixed. No barrier.
// Error: |error| <= n 2^-24 sum |dy| for a row that n indices name.

struct Params { rows: u32, width: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dtable: array<f32>;

@compute @workgroup_size(64)
fn scatter_rows(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.width) { return; }
  for (var b = 0u; b < params.batch; b++) {
    let row = min(indices[b], params.rows - 1u);
    dtable[row * params.width + id.x] += dy[b * params.width + id.x];
  }
}
`;
