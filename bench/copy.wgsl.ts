export default /* wgsl */ `
// out = x: the bandwidth ceiling of a kernel
//
// x, out: [elements] as vec4. One invocation copies one vec4: 32 bytes moved. No barrier.
// Error: none.

@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn copy_ceiling(@builtin(global_invocation_id) id: vec3u) {
  out[id.x] = x[id.x];
}
`;
