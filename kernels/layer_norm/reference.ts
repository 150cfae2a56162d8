/** Float64 norm of every row: `x` [rows, width], `weight`, `bias` [width], result [rows, width]. */
export function layerNormReference(
  values: {
    x: Float64Array;
    weight?: Float64Array | undefined;
    bias?: Float64Array | undefined;
  },
  options: { width: number; norm?: "layer" | "rms"; epsilon?: number },
): Float64Array {
  const { x, weight, bias } = values;
  const { width, norm = "layer", epsilon = 1e-6 } = options;
  const out = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += width) {
    const row = x.subarray(first, first + width);
    const mean = norm === "rms" ? 0 : row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    for (let j = 0; j < width; j++) {
      out[first + j] = (row[j]! - mean) / Math.sqrt(variance + epsilon) * (weight?.[j] ?? 1) +
        (bias?.[j] ?? 0);
    }
  }
  return out;
}
