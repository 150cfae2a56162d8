export default /* wgsl */ `
// out[i] = x[i] + rows[i mod period]
//
// x, out: [elements]; rows: [period]. One invocation per element. No barrier.
// Error: one rounding, 2^-24 relative.

struct Params { elements: u32, period: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn add_rows(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  out[i] = x[i] + rows[i % params.period];
}
`;
