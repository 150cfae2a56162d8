export default /* wgsl */ `
// out[i] = x[i] + rows[i mod period]
//
// x, out: [elements]; rows: [period]; all as vec4, sizes multiples of 4. One invocation per vec4. No
// barrier.
// Error: one rounding, 2^-24 relative.

struct Params { vectors: u32, period: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> rows: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn add_rows_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.vectors) { return; }
  out[i] = x[i] + rows[i % params.period];
}
`;
