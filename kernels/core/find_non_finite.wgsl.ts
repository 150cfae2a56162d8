export default /* wgsl */ `
// found = min(found, number) where an element of x is infinite or NaN
//
// bits: those of x [elements], per_word elements in each word: one of f32 or two of f16; exponent: the bits
// of the exponent, which are all set where an element is not finite; found: [1]. One invocation per element.
// No barrier. Error: none.

struct Params { elements: u32, per_word: u32, exponent: u32, number: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bits: array<u32>;
@group(0) @binding(2) var<storage, read_write> found: array<atomic<u32>>;

@compute @workgroup_size(64)
fn find_non_finite(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.elements) { return; }
  let element = bits[i / params.per_word] >> (16u * (i % params.per_word));
  if ((element & params.exponent) == params.exponent) {
    atomicMin(&found[0], params.number);
  }
}
`;
