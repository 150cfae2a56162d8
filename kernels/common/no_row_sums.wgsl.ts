/**
 * The functions of `row_sums` for products without them.
 *
 * - Formula, bindings, work, barriers: none. Error: none.
 *
 * @module
 */
export default /* wgsl */ `
fn note_staged(block: mat4x4<Number>, of_a: bool, group: vec3u) {}

fn store_row_sums(row: u32, k4: u32, of_a: bool, group: vec3u) {}
`;
