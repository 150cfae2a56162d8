/**
 * Float64 norm of queries and keys over each head: `qkv` [B, T, 3, H, headWidth], weights and biases
 * [headWidth]; LayerNorm with biases, RMS norm without.
 */
export function qkNormReference(
  values: {
    qkv: Float64Array;
    queryWeight: Float64Array;
    keyWeight: Float64Array;
    queryBias?: Float64Array;
    keyBias?: Float64Array;
  },
  options: { heads: number; epsilon: number },
): Float64Array {
  const { qkv, queryWeight, keyWeight, queryBias, keyBias } = values;
  const { heads, epsilon } = options;
  const width = queryWeight.length, out = qkv.slice();
  for (let row = 0; row < qkv.length / width; row++) {
    const part = Math.floor(row / heads) % 3;
    if (part === 2) continue;
    const x = qkv.subarray(row * width, (row + 1) * width);
    const weight = part === 0 ? queryWeight : keyWeight;
    const bias = part === 0 ? queryBias : keyBias;
    const mean = bias ? x.reduce((sum, value) => sum + value, 0) / width : 0;
    const square = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    for (let i = 0; i < width; i++) {
      const normalised = (x[i]! - mean) / Math.sqrt(square + epsilon);
      out[row * width + i] = normalised * weight[i]! + (bias?.[i] ?? 0);
    }
  }
  return out;
}
