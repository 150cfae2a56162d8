/** Float64 Σ weightᵢ · mean(lossᵢ), as an array of one. */
export function weightedSumReference(
  losses: readonly Float64Array[],
  weights: readonly number[],
): Float64Array {
  const means = losses.map((loss) => loss.reduce((sum, value) => sum + value, 0) / loss.length);
  return Float64Array.of(means.reduce((sum, mean, i) => sum + weights[i]! * mean, 0));
}
