export default /* wgsl */ `
// out[r] = scale |x[r]|^2, or 1 / max(|x[r]|, epsilon) with INVERSE_ROOT, for CPU drivers
//
// x: [rows, width], width a multiple of 4, bound as a texture of vec4; out: [rows]. One invocation per
// row. No barrier. Error: |error| <= (width / 4 + 5) 2^-24 |out|.

struct Params { rows: u32, width: u32, scale: f32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

override INVERSE_ROOT: bool = false;

@compute @workgroup_size(8)
fn row_squares_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * 8u + lane;
  if (row >= params.rows) { return; }
  let first = row * (params.width / 4u);
  var sums = vec4f();
  for (var i = first; i < first + params.width / 4u; i++) {
    let value = textureLoad(x, texel_of(i));
    sums += value * value;
  }
  let sum = (sums.x + sums.y) + (sums.z + sums.w);
  out[row] = select(params.scale * sum, 1.0 / max(sqrt(sum), params.epsilon), INVERSE_ROOT);
}
`;
