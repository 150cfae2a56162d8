export default /* wgsl */ `
// out[i] = c0 x0[i] + ... + c3 x3[i], TERMS of them; plus keep before[i] with KEEPS; for CPU
// drivers
//
// x0 ... x3: [elements], bound as textures of vec4, and so is before: out as it was; out:
// [elements], as vec4. Bindings past TERMS are not read. One invocation per vec4. No barrier.
// Past the last element 0 is stored: out may lie in a slab of gradients, whose padding a norm reads.
// Error: |error| <= 5 2^-24 (|keep out| + sum |c x|).

override TERMS: u32 = 4u;
override KEEPS: bool = false;

struct Params { elements: u32, keep: f32, c0: f32, c1: f32, c2: f32, c3: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var x0: texture_storage_2d<rgba32float, read>;
@group(0) @binding(2) var x1: texture_storage_2d<rgba32float, read>;
@group(0) @binding(3) var x2: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var x3: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var before: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn combine_texture(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = 4u * i;
  if (first >= params.elements) { return; }
  let inside = vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.elements);
  let place = texel_of(i);
  var sum = params.c0 * textureLoad(x0, place);
  if (TERMS > 1u) { sum += params.c1 * textureLoad(x1, place); }
  if (TERMS > 2u) { sum += params.c2 * textureLoad(x2, place); }
  if (TERMS > 3u) { sum += params.c3 * textureLoad(x3, place); }
  if (KEEPS) { sum += params.keep * textureLoad(before, place); }
  out[i] = select(vec4f(), sum, inside);
}
`;
