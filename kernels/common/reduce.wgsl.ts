/**
 * Sums over the invocations of a workgroup of 64, as a WGSL function without bindings.
 *
 * - Formula: the sum of `value` over all 64 lanes, halved six times, the same in every lane.
 * - Work: 13 reads and 7 writes of workgroup memory at most. Barriers: 8. Memory: 512 bytes.
 * - Error: at most 6 roundings on the way of each value. The order is fixed.
 *
 * @module
 */
export default /* wgsl */ `
var<workgroup> partial_sums: array<vec2f, 64>;

fn workgroup_sum(value: vec2f, lane: u32) -> vec2f {
  partial_sums[lane] = value;
  for (var distance = 32u; distance > 0u; distance /= 2u) {
    workgroupBarrier();
    if (lane < distance) { partial_sums[lane] += partial_sums[lane + distance]; }
  }
  workgroupBarrier();
  let sum = partial_sums[0];
  // The next call writes the memory again.
  workgroupBarrier();
  return sum;
}
`;
