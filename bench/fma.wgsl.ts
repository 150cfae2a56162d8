export default /* wgsl */ `
// Multiply-adds in registers: the adapter's arithmetic ceiling
//
// out: [invocations]. Each invocation runs 5 independent chains of 1,024 x 4 multiply-adds on vec4
// values, 2 x 81,920 flops, with one load and one store. No barrier.
// Error: not looked at, nobody reads the numbers.

@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn fma_ceiling(@builtin(global_invocation_id) id: vec3u) {
  let a = out[id.x];
  let b = a * 0.5;
  var c0 = a; var c1 = a + 0.1; var c2 = a + 0.2; var c3 = a + 0.3; var c4 = a + 0.4;
  for (var i = 0u; i < 1024u; i++) {
    c0 = c0 * a + b; c1 = c1 * a + b; c2 = c2 * a + b; c3 = c3 * a + b; c4 = c4 * a + b;
    c0 = c0 * a + b; c1 = c1 * a + b; c2 = c2 * a + b; c3 = c3 * a + b; c4 = c4 * a + b;
    c0 = c0 * a + b; c1 = c1 * a + b; c2 = c2 * a + b; c3 = c3 * a + b; c4 = c4 * a + b;
    c0 = c0 * a + b; c1 = c1 * a + b; c2 = c2 * a + b; c3 = c3 * a + b; c4 = c4 * a + b;
  }
  out[id.x] = c0 + c1 + c2 + c3 + c4;
}
`;
