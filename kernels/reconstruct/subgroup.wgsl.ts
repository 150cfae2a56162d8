export default /* wgsl */ `
// out[b] = s / max(|s|, epsilon), s = mean + basis coefficients[b], on a CPU driver with subgroups of 8 or 16
//
// coefficients: [batch, columns]; basis: [width, columns], both bound as textures of vec4, columns a
// multiple of 4; mean: [width] and out: [batch, width] as vec4, width a multiple of 4.
// One subgroup computes 32 rows: each lane loads 4 or 2 of them, from where they are broadcast, and
// computes 8 of 8 LANES elements at a time, 12 or 10 vec4 of loads for 1,024 multiply-adds. A 4 by 4 block is a
// matrix whose columns are rows of out. Elements are written as they are, then each lane scales its
// own. No workgroup memory, no barrier.
// Error: |error| <= (columns + width / 8 + 12) 2^-24 (|mean| + sum |c basis|) / |s|.

override LANES: u32 = 8u;

struct Params { columns4: u32, width: u32, batch: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var coefficients: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var basis: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var<storage, read> mean: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;

fn at_basis(i: u32) -> vec4f { return textureLoad(basis, texel_of(i)); }

fn at_coefficients(i: u32) -> vec4f {
  return textureLoad(coefficients, texel_of(i));
}

// Where the row of the basis of 4 elements begins; elements past the end repeat the last ones.
fn basis_row(j4: u32) -> u32 {
  return min(j4, params.width / 4u - 1u) * 4u * params.columns4;
}

// A block of 4 elements; its matrix columns run along k.
fn basis_block(i: u32) -> mat4x4f {
  let stride = params.columns4;
  return transpose(mat4x4f(
    at_basis(i), at_basis(i + stride), at_basis(i + 2u * stride), at_basis(i + 3u * stride)));
}

fn four_means(j4: u32) -> mat4x4f {
  let values = mean[min(j4, params.width / 4u - 1u)];
  return mat4x4f(values, values, values, values);
}

fn squares_of(block: mat4x4f) -> vec4f {
  return vec4f(
    dot(block[0], block[0]), dot(block[1], block[1]), dot(block[2], block[2]), dot(block[3], block[3]));
}

// The guard compares elements, never the row alone, which is the same for a whole workgroup.
fn store(b: u32, j4: u32, block: mat4x4f) {
  let stride = params.width / 4u;
  let end = params.batch * stride;
  let i = b * stride + j4;
  if (j4 < stride) {
    if (i < end) { out[i] = block[0]; }
    if (i + stride < end) { out[i + stride] = block[1]; }
    if (i + 2u * stride < end) { out[i + 2u * stride] = block[2]; }
    if (i + 3u * stride < end) { out[i + 3u * stride] = block[3]; }
  }
}

fn scale(b: u32, j4: u32, factors: vec4f) {
  let stride = params.width / 4u;
  let end = params.batch * stride;
  let i = b * stride + j4;
  if (j4 < stride) {
    if (i < end) { out[i] = out[i] * factors.x; }
    if (i + stride < end) { out[i + stride] = out[i + stride] * factors.y; }
    if (i + 2u * stride < end) { out[i + 2u * stride] = out[i + 2u * stride] * factors.z; }
    if (i + 3u * stride < end) { out[i + 3u * stride] = out[i + 3u * stride] * factors.w; }
  }
}

fn factors_of(squares: vec4f) -> vec4f {
  return 1.0 / max(sqrt(subgroupAdd(squares)), vec4f(params.epsilon));
}

@compute @workgroup_size(LANES)
fn reconstruct_subgroup(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 32u;
  // Where this lane reads coefficients: rows LANES apart, the last row again past the end.
  let last = params.batch - 1u;
  let r0 = min(first + lane, last) * params.columns4;
  let r1 = min(first + lane + LANES, last) * params.columns4;
  let r2 = min(first + lane + 2u * LANES, last) * params.columns4;
  let r3 = min(first + lane + 3u * LANES, last) * params.columns4;

  var q0 = vec4f();
  var q1 = vec4f();
  var q2 = vec4f();
  var q3 = vec4f();
  var q4 = vec4f();
  var q5 = vec4f();
  var q6 = vec4f();
  var q7 = vec4f();

  for (var start = 0u; start < params.width / 4u; start += 2u * LANES) {
    let j4 = start + lane * 2u;
    let i0 = basis_row(j4);
    let i1 = basis_row(j4 + 1u);
    let m0 = four_means(j4);
    let m1 = four_means(j4 + 1u);
    var c00 = m0; var c01 = m1;
    var c10 = m0; var c11 = m1;
    var c20 = m0; var c21 = m1;
    var c30 = m0; var c31 = m1;
    var c40 = m0; var c41 = m1;
    var c50 = m0; var c51 = m1;
    var c60 = m0; var c61 = m1;
    var c70 = m0; var c71 = m1;
    for (var k4 = 0u; k4 < params.columns4; k4++) {
      let b0 = basis_block(i0 + k4);
      let b1 = basis_block(i1 + k4);
      let v0 = at_coefficients(r0 + k4);
      let v1 = at_coefficients(r1 + k4);
      var v2 = vec4f();
      var v3 = vec4f();
      if (LANES == 8u) {
        v2 = at_coefficients(r2 + k4);
        v3 = at_coefficients(r3 + k4);
      }
      let a0 = broadcast_rows(v0, v1, v2, v3, 0u);
      let a1 = broadcast_rows(v0, v1, v2, v3, 1u);
      let a2 = broadcast_rows(v0, v1, v2, v3, 2u);
      let a3 = broadcast_rows(v0, v1, v2, v3, 3u);
      let a4 = broadcast_rows(v0, v1, v2, v3, 4u);
      let a5 = broadcast_rows(v0, v1, v2, v3, 5u);
      let a6 = broadcast_rows(v0, v1, v2, v3, 6u);
      let a7 = broadcast_rows(v0, v1, v2, v3, 7u);
      c00 += b0 * a0; c01 += b1 * a0;
      c10 += b0 * a1; c11 += b1 * a1;
      c20 += b0 * a2; c21 += b1 * a2;
      c30 += b0 * a3; c31 += b1 * a3;
      c40 += b0 * a4; c41 += b1 * a4;
      c50 += b0 * a5; c51 += b1 * a5;
      c60 += b0 * a6; c61 += b1 * a6;
      c70 += b0 * a7; c71 += b1 * a7;
    }
    let here = vec2f(f32(j4 < params.width / 4u), f32(j4 + 1u < params.width / 4u));
    q0 += here.x * squares_of(c00) + here.y * squares_of(c01);
    q1 += here.x * squares_of(c10) + here.y * squares_of(c11);
    q2 += here.x * squares_of(c20) + here.y * squares_of(c21);
    q3 += here.x * squares_of(c30) + here.y * squares_of(c31);
    q4 += here.x * squares_of(c40) + here.y * squares_of(c41);
    q5 += here.x * squares_of(c50) + here.y * squares_of(c51);
    q6 += here.x * squares_of(c60) + here.y * squares_of(c61);
    q7 += here.x * squares_of(c70) + here.y * squares_of(c71);
    store(first + 0u, j4, c00); store(first + 0u, j4 + 1u, c01);
    store(first + 4u, j4, c10); store(first + 4u, j4 + 1u, c11);
    store(first + 8u, j4, c20); store(first + 8u, j4 + 1u, c21);
    store(first + 12u, j4, c30); store(first + 12u, j4 + 1u, c31);
    store(first + 16u, j4, c40); store(first + 16u, j4 + 1u, c41);
    store(first + 20u, j4, c50); store(first + 20u, j4 + 1u, c51);
    store(first + 24u, j4, c60); store(first + 24u, j4 + 1u, c61);
    store(first + 28u, j4, c70); store(first + 28u, j4 + 1u, c71);
  }

  let f0 = factors_of(q0);
  let f1 = factors_of(q1);
  let f2 = factors_of(q2);
  let f3 = factors_of(q3);
  let f4 = factors_of(q4);
  let f5 = factors_of(q5);
  let f6 = factors_of(q6);
  let f7 = factors_of(q7);
  for (var start = 0u; start < params.width / 4u; start += 2u * LANES) {
    let j4 = start + lane * 2u;
    scale(first + 0u, j4, f0); scale(first + 0u, j4 + 1u, f0);
    scale(first + 4u, j4, f1); scale(first + 4u, j4 + 1u, f1);
    scale(first + 8u, j4, f2); scale(first + 8u, j4 + 1u, f2);
    scale(first + 12u, j4, f3); scale(first + 12u, j4 + 1u, f3);
    scale(first + 16u, j4, f4); scale(first + 16u, j4 + 1u, f4);
    scale(first + 20u, j4, f5); scale(first + 20u, j4 + 1u, f5);
    scale(first + 24u, j4, f6); scale(first + 24u, j4 + 1u, f6);
    scale(first + 28u, j4, f7); scale(first + 28u, j4 + 1u, f7);
  }
}
`;
