/** Float64 scale Σ x² of each row of `x` [N, width], or 1 / √(Σ x²). */
export function rowSquaresReference(
  x: Float64Array,
  options: { width: number; scale?: number; inverseRoot?: boolean },
): Float64Array {
  const { width, scale = 1, inverseRoot = false } = options;
  return Float64Array.from({ length: x.length / width }, (_, row) => {
    const squares = x.subarray(row * width, (row + 1) * width)
      .reduce((sum, value) => sum + value * value, 0);
    return inverseRoot ? 1 / Math.sqrt(squares) : scale * squares;
  });
}
