/**
 * Where a staged tensor's elements lie in its texture, as a WGSL function.
 *
 * - `texel_of(i)`: the texel that holds the elements from 4 i on. Rows have 1,024 texels, as
 *   `STAGING_ROW_TEXELS` says. No bindings, no barrier, exact.
 *
 * @module
 */
export default /* wgsl */ `
fn texel_of(i: u32) -> vec2u { return vec2u(i & 1023u, i >> 10u); }
`;
