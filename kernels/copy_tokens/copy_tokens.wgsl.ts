export default /* wgsl */ `
// out[b, out_first + i] (+)= x[b, x_first + i] for i below count
//
// x: [B, x_length], out: [B, out_length], each sample's tokens on end; what lies outside of the copied
// part of out stays as it is. One invocation per element copied. No barrier.
// Error: none, but one rounding, 2^-24 relative, of the sum when it accumulates.

struct Params {
  elements: u32, count: u32, x_first: u32, x_length: u32, out_first: u32, out_length: u32, accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn copy_tokens(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let sample = i / params.count;
  let place = i - sample * params.count;
  let to = sample * params.out_length + params.out_first + place;
  var value = x[sample * params.x_length + params.x_first + place];
  if (params.accumulate == 1u) { value += out[to]; }
  out[to] = value;
}
`;
