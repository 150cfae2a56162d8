export default /* wgsl */ `
// cosines[p] = sum over c of a b / (max(|a|, epsilon) max(|b|, epsilon)), the cosine of the two
// vectors at position p, and stats[p] = (ra rb, cos ra^2, cos rb^2, 0) for the gradient, with
// r = 1 / max(norm, epsilon) and a zero for cos r^2 where the norm is clamped and thus constant
//
// a, b: [positions, channels], as vec4, channels a multiple of 4; cosines: [positions]; stats: the
// same of vec4. Eight invocations per position read neighbouring vec4; their sums are added in
// order. One barrier, 1 KiB of workgroup memory.
// Error: |error| <= (channels / 4 + 16) 2^-24 for each cosine.

struct Params { positions: u32, vectors: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> cosines: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec4f>;

// Products, squares of a, squares of b.
var<workgroup> partial: array<vec3f, 64>;

@compute @workgroup_size(64)
fn cosine_vector(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let position = (group.y * groups.x + group.x) * 8u + lane / 8u;
  var sums = vec3f();
  if (position < params.positions) {
    let end = (position + 1u) * params.vectors;
    for (var i = position * params.vectors + lane % 8u; i < end; i += 8u) {
      let x = a[i];
      let y = b[i];
      sums += vec3f(dot(x, y), dot(x, x), dot(y, y));
    }
  }
  partial[lane] = sums;
  workgroupBarrier();
  if (position >= params.positions || lane % 8u != 0u) { return; }
  sums = vec3f();
  for (var i = lane; i < lane + 8u; i++) { sums += partial[i]; }
  let norms = sqrt(sums.yz);
  let inverse = 1.0 / max(norms, vec2f(params.epsilon));
  let value = sums.x * inverse.x * inverse.y;
  let slopes = select(vec2f(), value * inverse * inverse, norms > vec2f(params.epsilon));
  cosines[position] = value;
  stats[position] = vec4f(inverse.x * inverse.y, slopes, 0.0);
}
`;
