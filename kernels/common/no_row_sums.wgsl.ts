/**
 * The functions of `row_sums` for products without them.
 *
 * - Formula, bindings, work, barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
fn note_staged(block: mat4x4<Number>, is_summed: bool) {}

fn store_row_sum(i: u32) {}
`;
