/** Float64 points and targets: `data`, `noise` [B, ...], `coefficients` [B, 4]. */
export function interpolateReference(
  data: Float64Array,
  noise: Float64Array,
  coefficients: Float64Array,
): { x: Float64Array; target: Float64Array } {
  const elements = data.length / (coefficients.length / 4);
  function mix(i: number, first: number): number {
    const row = 4 * Math.floor(i / elements) + first;
    return coefficients[row]! * data[i]! + coefficients[row + 1]! * noise[i]!;
  }
  return { x: data.map((_, i) => mix(i, 0)), target: data.map((_, i) => mix(i, 2)) };
}
