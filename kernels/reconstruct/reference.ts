/**
 * Float64 c Bᵀ + μ, each row divided by its norm: `coefficients` [N, rank], `basis` [d, columns] with
 * columns ≥ rank, `mean` [d], `indices` [B] or all rows in order; result [B, d].
 */
export function reconstructReference(
  coefficients: ArrayLike<number>,
  options: {
    rank: number;
    basis: ArrayLike<number>;
    mean: ArrayLike<number>;
    indices?: ArrayLike<number>;
  },
): Float64Array {
  const { rank, basis, mean } = options;
  const dim = mean.length, columns = basis.length / dim;
  const indices = options.indices ??
    Array.from({ length: coefficients.length / rank }, (_, row) => row);
  const out = new Float64Array(indices.length * dim);
  for (let b = 0; b < indices.length; b++) {
    let squares = 0;
    for (let j = 0; j < dim; j++) {
      let sum = mean[j]!;
      for (let k = 0; k < rank; k++) {
        sum += coefficients[indices[b]! * rank + k]! * basis[j * columns + k]!;
      }
      out[b * dim + j] = sum;
      squares += sum * sum;
    }
    for (let j = 0; j < dim; j++) out[b * dim + j]! /= Math.sqrt(squares);
  }
  return out;
}
