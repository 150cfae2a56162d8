/**
 * Operands of a matrix product on a CPU driver, and its result, as WGSL functions without bindings:
 * what the shaders `matmul/register` and `matmul/subgroup` share.
 *
 * - The shader declares what is used here: the overrides TRANSPOSE_B and HAS_BIAS, `params` with M,
 *   N, K and accumulate, the textures `a`, `b` and `bias`, and `out` as vec4. An include with
 *   `epilogue` goes with it.
 * - Work: none by itself. No barrier. Error: |error| ≤ 2^-23 (|sum| + |bias| + |out|) for a stored
 *   block with both additions, besides what the epilogue adds.
 *
 * @module
 */
export default /* wgsl */ `
alias Sum = vec4f;

fn operand_a(i: u32) -> vec4f { return textureLoad(a, texel_of(i)); }
fn operand_b(i: u32) -> vec4f { return textureLoad(b, texel_of(i)); }

// The block of op(B) at rows 4 k4 and columns 4 column4; its matrix columns run along K.
fn operand_block_b(base: u32, k4: u32, column4: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    let stride = params.K / 4u;
    let i = base + column4 * 4u * stride + k4;
    return transpose(mat4x4f(
      operand_b(i), operand_b(i + stride), operand_b(i + 2u * stride), operand_b(i + 3u * stride)));
  }
  let stride = params.N / 4u;
  let i = base + k4 * 4u * stride + column4;
  return mat4x4f(
    operand_b(i), operand_b(i + stride), operand_b(i + 2u * stride), operand_b(i + 3u * stride));
}

// Writes 4 rows from row on by 4 columns, with bias, as the epilogue leaves them, with accumulation.
fn store_result_block(batch: u32, row: u32, column4: u32, block: mat4x4f) {
  let stride = params.N / 4u;
  let i = (batch * params.M + row) * stride + column4;
  var value = block;
  if (HAS_BIAS) {
    let shift = textureLoad(bias, texel_of(column4));
    value += mat4x4f(shift, shift, shift, shift);
  }
  // The rows are guarded by the end of the matrix: comparing the row itself, which is the same for
  // a whole workgroup, makes this driver compile the kernel anew at every dispatch.
  let end = (batch + 1u) * params.M * stride;
  if (i < end && column4 < stride) {
    value = mat4x4f(
      epilogue(value[0], i), epilogue(value[1], i + stride), epilogue(value[2], i + 2u * stride),
      epilogue(value[3], i + 3u * stride));
    if (params.accumulate == 1u) {
      value += mat4x4f(out[i], out[i + stride], out[i + 2u * stride], out[i + 3u * stride]);
    }
    out[i] = value[0];
    out[i + stride] = value[1];
    out[i + 2u * stride] = value[2];
    out[i + 3u * stride] = value[3];
  }
}
`;
