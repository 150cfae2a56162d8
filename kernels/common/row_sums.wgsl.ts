/**
 * Sums of the rows of A that `tiled_product` makes beside a product, as WGSL functions: of the gradient of an affine
 * layer's weights those are the gradient of its bias.
 *
 * - Formula: row_sums[z, c, m] = Σ op(A)[m, k] over the k of part z with ⌊k / 4⌋ mod (STEP / 4) = c. All rows
 *   [·, M] together are the sum.
 * - Bindings: `row_sums`, a vec4 of rows each, at 5. The shader declares what is used here. M is a multiple of 4.
 * - Work: 16 additions for each block of 4 × 4 that is staged, by the workgroups of the first columns alone. Barriers:
 *   none. Error: |error| ≤ (K / STEP + 2) 2^-24 Σ |a|.
 *
 * @module
 */
export default /* wgsl */ `
@group(0) @binding(5) var<storage, read_write> row_sums: array<vec4f>;

var<private> row_sum: vec4f;

// The columns of the block are 4 steps of K.
fn note_staged(block: mat4x4<Number>, is_summed: bool) {
  if (is_summed) {
    row_sum += (vec4f(block[0]) + vec4f(block[1])) + (vec4f(block[2]) + vec4f(block[3]));
  }
}

fn store_row_sum(i: u32) { row_sums[i / 4u] = row_sum; }
`;
