/**
 * Operands of a matrix product on a CPU driver, and its result, as WGSL functions without bindings:
 * what the shaders `matmul/register` and `matmul/subgroup` share.
 *
 * - The shader declares what is used here: the overrides TRANSPOSE_B and HAS_BIAS, `params` with M,
 *   N, K and accumulate, the textures `a`, `b` and `bias`, and `out` as vec4.
 * - Work: none by itself. No barrier. Error: |error| ≤ 2^-23 (|sum| + |bias| + |out|) for a stored
 *   block with both additions.
 *
 * @module
 */
export default /* wgsl */ `
// Four rows from 4 row4 on, at their vec4 column4, of a matrix with stride vec4 in a row.
fn stored_block(
  matrix: texture_storage_2d<rgba32float, read>, base: u32, row4: u32, column4: u32, stride: u32,
) -> mat4x4f {
  let i = base + row4 * 4u * stride + column4;
  return mat4x4f(
    textureLoad(matrix, texel_of(i)), textureLoad(matrix, texel_of(i + stride)),
    textureLoad(matrix, texel_of(i + 2u * stride)), textureLoad(matrix, texel_of(i + 3u * stride)));
}

// The block of op(B) at rows 4 k4 and columns 4 column4; its matrix columns run along K.
fn operand_block_b(base: u32, k4: u32, column4: u32) -> mat4x4f {
  if (TRANSPOSE_B) { return transpose(stored_block(b, base, column4, k4, params.K / 4u)); }
  return stored_block(b, base, k4, column4, params.N / 4u);
}

// Writes 4 rows from row on by 4 columns, with bias and accumulation.
fn store_result_block(batch: u32, row: u32, column4: u32, block: mat4x4f) {
  let stride = params.N / 4u;
  let i = (batch * params.M + row) * stride + column4;
  var value = block;
  if (HAS_BIAS) {
    let shift = textureLoad(bias, texel_of(column4));
    value += mat4x4f(shift, shift, shift, shift);
  }
  if (params.accumulate == 1u) {
    value += mat4x4f(out[i], out[i + stride], out[i + 2u * stride], out[i + 3u * stride]);
  }
  // The rows are guarded by the end of the matrix: comparing the row itself, which is the same for
  // a whole workgroup, makes this driver compile the kernel anew at every dispatch.
  let end = (batch + 1u) * params.M * stride;
  if (i < end && column4 < stride) {
    out[i] = value[0];
    out[i + stride] = value[1];
    out[i + 2u * stride] = value[2];
    out[i + 3u * stride] = value[3];
  }
}
`;
