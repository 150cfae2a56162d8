export default /* wgsl */ `
// out[i] = silu(x[i]) = x[i] / (1 + exp(-x[i]))
//
// x, out: [elements], as vec4. Moves 8 bytes for each element. One invocation per vec4. No barrier.
// Error: about 2^-22 |x|.

struct Params { vectors: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn silu_forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < params.vectors) {
    out[i] = silu(x[i]);
  }
}
`;
