export default /* wgsl */ `
// out[first + i] = x[i]
//
// x: [count]; out: any longer tensor. For a few numbers, such as a step's loss in a table of
// losses. One workgroup; invocation i copies elements i, i + 64, … No barrier. Error: none.

struct Params { first: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn store_at(@builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < params.count; i += 64u) {
    out[params.first + i] = x[i];
  }
}
`;
