/**
 * The function of `reduce.wgsl.ts` for devices with subgroups of any size.
 *
 * - Formula: the sum of `value` over all 64 lanes of a workgroup, first within each subgroup, then
 *   over the subgroups in order; the same in every lane.
 * - Work: one write and, for subgroups of s lanes, 64 / s reads of workgroup memory. Barriers: 2.
 *   Memory: 512 bytes. The lanes of a subgroup are taken to follow each other, as they do in
 *   workgroups of one dimension.
 * - Error: at most 10 roundings on the way of each value with subgroups of 8 lanes, 7 with 16 and 6
 *   with 32 or 64, where the device adds lanes by halves. The order is fixed.
 *
 * @module
 */
export default /* wgsl */ `
var<workgroup> subgroup_sums: array<vec2f, 64>;

fn workgroup_sum(value: vec2f, lane: u32) -> vec2f {
  let own = subgroupAdd(value);
  let first = subgroupMin(lane);
  // Counted, not asked for: drivers differ in what they call the size of a subgroup.
  let size = subgroupAdd(1u);
  if (lane == first) { subgroup_sums[first] = own; }
  workgroupBarrier();
  var sum = vec2f();
  for (var i = 0u; i < 64u; i += size) { sum += subgroup_sums[i]; }
  // The next call writes the memory again.
  workgroupBarrier();
  return sum;
}
`;
