/**
 * A matrix product through workgroup memory, for GPUs, as WGSL functions without bindings; the
 * shaders `matmul/tiled` and `matmul/tiled_f16` differ in the type of their operands and in how the
 * products of a step are summed.
 *
 * - Formula: out[z] = f(op(A[z]) op(B[z]) (+ bias)) (+ out[z]), f an epilogue. With `chunk` > 0, z is no batch but a
 *   part of the sum: the `chunk` terms from z · chunk on, in a matrix of its own, `stride_out` apart.
 * - The shader declares what is used here: the overrides TRANSPOSE_A, TRANSPOSE_B, HAS_BIAS and those
 *   that follow from TILE, `params`, `bias` and `out`, the type `Number` of an operand's elements,
 *   `operand_block`, which loads 4 by 4 of them, and `add_eight_products`, which adds those of 8
 *   steps of K from workgroup memory to the sums. `whole_rows` or `odd_rows` declares VECTORS (rows of all
 *   matrices are whole vec4; without it elements are gathered one by one) and stores the result. `row_sums` sums the
 *   rows of A besides, `no_row_sums` does not.
 * - Work: a workgroup computes TILE × TILE of out (64 with 64 invocations, 128 with 256), an
 *   invocation 8 × 8 of them in registers: two times 4 rows by two times 4 columns, half a tile
 *   apart, so that neighbours store neighbouring vec4. One step takes TILE / 8 of K. Each invocation
 *   stages one block of 4 × 4, half of them of A and half of B: it is loaded into registers, the
 *   step before is multiplied, then the block is written, K first, to the other half of workgroup
 *   memory (8 KiB for 64, 32 KiB for 128; half of that for f16). Barriers: one before the
 *   first step and one in each.
 * - Error: |error| ≤ K 2^-24 Σ |a b| with f32, summed in order; with f16 as the shader says.
 *
 * What the machine code of RDNA 2 showed, by which the axes of `tile` are chosen (bench/gpu_code.md).
 * An index of workgroup memory that is not constant is clamped. Here all are constant, or the same
 * for the whole workgroup (scalar registers), but the lane: its clamp is one minimum for 8 steps of
 * K and the rest goes into the offsets of the loads: 512 multiply-adds, 32 loads, 16 waits and a
 * dozen others. A flat array costs a minimum and an addition for each load. Loads of rows past the
 * edge need no guard of ours: they give what the buffer's range holds and reach only rows that are
 * not stored. Past the end of K zeros are staged, in a branch that only the last step takes.
 * Subgroup broadcasts, which are fast on the CPU driver, have no variant here: one of them brings a
 * number to 8 multiply-adds of a lane, where a load from workgroup memory brings four to 16.
 *
 * @module
 */
export default /* wgsl */ `
// [chunk][k / 4][k % 4][row / 32][row / 4 % 8]: a chunk is 8 of K by 128 rows or columns. With a
// tile of 64 these are 64 rows of A and 64 columns of B; with 128, chunks of A and B take turns.
var<workgroup> tile: array<array<array<array<array<vec4<Number>, 8>, 4>, 4>, 2>, ALL_CHUNKS>;

var<private> sum_00: mat4x4f;
var<private> sum_01: mat4x4f;
var<private> sum_10: mat4x4f;
var<private> sum_11: mat4x4f;

// The columns of the block are 4 steps of K, of which left are within the sum.
fn stage_product_block(
  chunk: u32, k4: u32, row4: u32, block: mat4x4<Number>, left: i32, is_summed: bool,
) {
  var kept = block;
  if (left < 4) {
    let none = vec4<Number>();
    kept = mat4x4<Number>(
      select(none, block[0], left > 0), select(none, block[1], left > 1),
      select(none, block[2], left > 2), none);
  }
  note_staged(kept, is_summed);
  tile[chunk][k4][0][row4 / 8u][row4 % 8u] = kept[0];
  tile[chunk][k4][1][row4 / 8u][row4 % 8u] = kept[1];
  tile[chunk][k4][2][row4 / 8u][row4 % 8u] = kept[2];
  tile[chunk][k4][3][row4 / 8u][row4 % 8u] = kept[3];
}

fn store_product_block(base: u32, row: u32, column: u32, block: mat4x4f) {
  store_product_row(base, row, column, block[0]);
  store_product_row(base, row + 1u, column, block[1]);
  store_product_row(base, row + 2u, column, block[2]);
  store_product_row(base, row + 3u, column, block[3]);
}

fn tiled_product(group: vec3u, local: vec3u, index: u32) {
  let begin = group.z * params.chunk;
  let end = select(min(params.K, begin + params.chunk), params.K, params.chunk == 0u);

  // The block that this invocation stages: 4 rows (columns of B) by 4 of K. Where memory runs along
  // K it is transposed on its way. Neighbouring invocations load neighbouring vec4.
  let of_a = index < BLOCKS;
  let number = index % BLOCKS;
  let along_k = select(TRANSPOSE_B, !TRANSPOSE_A, of_a);
  let k4 = select(number / (TILE / 4u), number % (STEP / 4u), along_k);
  let row4 = select(number % (TILE / 4u), number / (STEP / 4u), along_k);
  let rows = select(params.N, params.M, of_a);
  let row = select(group.x, group.y, of_a) * TILE + row4 * 4u;
  let k = begin + k4 * 4u;
  let base = group.z * select(params.stride_b, params.stride_a, of_a);
  let stride = select(rows, params.K, along_k) / UNIT;
  let advance = select(STEP * rows, STEP, along_k) / UNIT;
  var place = (base + select(k * rows + row, row * params.K + k, along_k)) / UNIT;
  var left = i32(end) - i32(k);

  var staged_chunk = 0u;
  var staged_row4 = row4 + select(16u, 0u, of_a);
  var p = vec4u(0u, 0u, 1u, local.y);
  var q = vec4u(0u, 2u, 3u, local.x);
  if (TILE == 128u) {
    staged_chunk = k4 / 2u * 2u + select(1u, 0u, of_a);
    staged_row4 = row4;
    p = vec4u(0u, local.y / 8u, local.y / 8u + 2u, local.y % 8u);
    q = vec4u(1u, local.x / 8u, local.x / 8u + 2u, local.x % 8u);
  }

  // All workgroups along x stage the same rows of A, of which the first notes sums.
  let is_summed = of_a && group.x == 0u;
  var block = operand_block(of_a, place, stride);
  if (along_k) { block = transpose(block); }
  stage_product_block(staged_chunk, k4 % 2u, staged_row4, block, left, is_summed);
  workgroupBarrier();
  var half = 0u;
  for (var k0 = begin; k0 < end; k0 += STEP) {
    // In the last step this loads what is never multiplied.
    place += advance;
    left -= i32(STEP);
    block = operand_block(of_a, place, stride);
    add_eight_products(p + vec4u(half, 0u, 0u, 0u), q + vec4u(half, 0u, 0u, 0u));
    if (TILE == 128u) {
      add_eight_products(p + vec4u(half + 2u, 0u, 0u, 0u), q + vec4u(half + 2u, 0u, 0u, 0u));
    }
    half = CHUNKS - half;
    // Two calls: one with the block of either kind would move it through registers first.
    if (along_k) {
      stage_product_block(
        half + staged_chunk, k4 % 2u, staged_row4, transpose(block), left, is_summed);
    } else {
      stage_product_block(half + staged_chunk, k4 % 2u, staged_row4, block, left, is_summed);
    }
    workgroupBarrier();
  }

  if (is_summed && row < params.M) { store_row_sum((group.z * (STEP / 4u) + k4) * params.M + row); }
  let row_out = group.y * TILE + local.y * 4u;
  let column_out = group.x * TILE + local.x * 4u;
  let base_out = group.z * params.stride_out;
  store_product_block(base_out, row_out, column_out, sum_00);
  store_product_block(base_out, row_out, column_out + TILE / 2u, sum_01);
  store_product_block(base_out, row_out + TILE / 2u, column_out, sum_10);
  store_product_block(base_out, row_out + TILE / 2u, column_out + TILE / 2u, sum_11);
}
`;
