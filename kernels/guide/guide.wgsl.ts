export default /* wgsl */ `
// out[i] = u[i] + scale (c[i] - u[i]) on the first guided channels, c[i] on the others
//
// predictions: [2, elements], the conditional ones (c) and then the unconditional ones (u);
// out: [elements], channel i / plane mod channels.
// One invocation per element. No barrier. Error: |error| <= 3 2^-24 (|u| + |scale| |c - u|).

struct Params { elements: u32, plane: u32, channels: u32, guided: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> predictions: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn guide(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let c = predictions[i];
  if (i / params.plane % params.channels >= params.guided) {
    out[i] = c;
    return;
  }
  let u = predictions[params.elements + i];
  out[i] = u + params.scale * (c - u);
}
`;
