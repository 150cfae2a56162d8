export default /* wgsl */ `
// out[b] = s / max(|s|, epsilon), s = mean + basis c, c = coefficients[indices[b]], for GPUs
//
// coefficients: [rows, rank]; indices: [batch], one past the end meaning the last row (without
// HAS_INDICES, c = coefficients[b]); basis: [width, columns] as vec4, columns = rank rounded up to a
// multiple of 4, at most 768, with zeros beyond rank; mean: [width]; out: [batch, width].
// One workgroup of 64 per 4 rows: their coefficients lie in workgroup memory (12 KiB), and each
// invocation computes every 64th element of the 4 rows, so that a vec4 of the basis is read once for
// 16 multiply-adds. Elements are written as they are, then each invocation scales its own.
// Barriers: one after the coefficients, seven in the sum of the squares.
// Error: |error| <= (columns + width / 64 + 12) 2^-24 (|mean| + sum |c basis|) / |s|.

struct Params { rows: u32, rank: u32, columns4: u32, width: u32, batch: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> basis: array<vec4f>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

override HAS_INDICES: bool = true;

// Four rows of at most 768 coefficients: [k][row], so that one step of k reads neighbours.
var<workgroup> staged: array<vec4f, 768>;
var<workgroup> squares: array<vec4f, 64>;

fn staged_row(b: u32) -> u32 {
  let within = min(b, params.batch - 1u);
  if (HAS_INDICES) { return min(indices[within], params.rows - 1u); }
  return within;
}

@compute @workgroup_size(64)
fn reconstruct_workgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 4u;
  let at = vec4u(staged_row(first), staged_row(first + 1u), staged_row(first + 2u), staged_row(first + 3u)) *
    params.rank;
  for (var k = lane; k < params.columns4 * 4u; k += 64u) {
    var c = vec4f();
    if (k < params.rank) {
      c = vec4f(
        coefficients[at.x + k], coefficients[at.y + k], coefficients[at.z + k], coefficients[at.w + k]);
    }
    staged[k] = c;
  }
  workgroupBarrier();

  var sum_of_squares = vec4f();
  for (var j = lane; j < params.width; j += 64u) {
    var s = vec4f(mean[j]);
    for (var k4 = 0u; k4 < params.columns4; k4++) {
      let b = basis[j * params.columns4 + k4];
      s += b.x * staged[k4 * 4u] + b.y * staged[k4 * 4u + 1u] + b.z * staged[k4 * 4u + 2u] +
        b.w * staged[k4 * 4u + 3u];
    }
    sum_of_squares += s * s;
    for (var row = 0u; row < 4u; row++) {
      if (first + row < params.batch) { out[(first + row) * params.width + j] = s[row]; }
    }
  }

  squares[lane] = sum_of_squares;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { squares[lane] += squares[lane + half]; }
    workgroupBarrier();
  }
  let norm = max(sqrt(squares[0]), vec4f(params.epsilon));
  for (var j = lane; j < params.width; j += 64u) {
    for (var row = 0u; row < 4u; row++) {
      if (first + row < params.batch) {
        let i = (first + row) * params.width + j;
        out[i] = out[i] / norm[row];
      }
    }
  }
}
`;
