/** Float64 silu(x₁) · x₂ of the halves of every row: `x` [rows, 2 width], result [rows, width]. */
export function swigluReference(x: Float64Array, options: { width: number }): Float64Array {
  const { width } = options;
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const at = Math.floor(i / width) * 2 * width + i % width;
    return x[at]! / (1 + Math.exp(-x[at]!)) * x[at + width]!;
  });
}
