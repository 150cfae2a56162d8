/** Float64 Σ cᵢ xᵢ. */
export function combineReference(
  terms: readonly (readonly [Float64Array, number])[],
): Float64Array {
  return terms[0]![0].map((_, i) => terms.reduce((sum, [x, c]) => sum + c * x[i]!, 0));
}
