/**
 * The function of `reduce.wgsl.ts` for devices with subgroups of any size.
 *
 * - Formula: the sum of `value` over all 64 lanes of a workgroup, first within each subgroup, then
 *   over the subgroups; the same in every lane.
 * - Work: one write and, for subgroups of s lanes, 64 / s reads of workgroup memory. Barriers: 2.
 *   Memory: 512 bytes. Which lanes make a subgroup does not matter, as long as all have as many.
 * - Error: at most 10 roundings on the way of each value with subgroups of 8 lanes, 7 with 16 and 6
 *   with 32 or 64, where the device adds lanes by halves: zeros add none. The order is fixed.
 *
 * @module
 */
export default /* wgsl */ `
var<workgroup> subgroup_sums: array<vec2f, 64>;

fn workgroup_sum(value: vec2f, lane: u32) -> vec2f {
  let own = subgroupAdd(value);
  // Counted, not asked for: drivers differ in what they call the size of a subgroup.
  let rank = subgroupExclusiveAdd(1u);
  let size = subgroupAdd(1u);
  subgroup_sums[lane] = select(vec2f(), own, rank == 0u);
  workgroupBarrier();
  var sum = vec2f();
  for (var i = rank; i < 64u; i += size) { sum += subgroup_sums[i]; }
  // The next call writes the memory again.
  workgroupBarrier();
  return subgroupAdd(sum);
}
`;
