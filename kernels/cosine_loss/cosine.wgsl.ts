export default /* wgsl */ `
// cosines[b][p] = sum over c of a b / (max(|a|, epsilon) max(|b|, epsilon)), the cosine of the two
// vectors at position p, and stats[b][p] = (ra rb, cos ra^2, cos rb^2, 0) for the gradient, with
// r = 1 / max(norm, epsilon) and a zero for cos r^2 where the norm is clamped and thus constant
//
// a, b: [batch, channels, positions], or [batch, positions, channels] when channel_last is 1;
// cosines: [batch, positions]; stats: the same of vec4. One invocation per position. No barrier.
// Error: |error| <= (2 channels + 6) 2^-24 for each cosine.

struct Params { batch: u32, channels: u32, positions: u32, channel_last: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> cosines: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec4f>;

@compute @workgroup_size(64)
fn cosine(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * params.positions) { return; }
  var first = i / params.positions * params.channels * params.positions + i % params.positions;
  var stride = params.positions;
  if (params.channel_last == 1u) {
    first = i * params.channels;
    stride = 1u;
  }
  var product = 0.0;
  var squares = vec2f();
  for (var c = 0u; c < params.channels; c++) {
    let pair = vec2f(a[first + c * stride], b[first + c * stride]);
    product += pair.x * pair.y;
    squares += pair * pair;
  }
  let norms = sqrt(squares);
  let inverse = 1.0 / max(norms, vec2f(params.epsilon));
  let value = product * inverse.x * inverse.y;
  let slopes = select(vec2f(), value * inverse * inverse, norms > vec2f(params.epsilon));
  cosines[i] = value;
  stats[i] = vec4f(inverse.x * inverse.y, slopes, 0.0);
}
`;
