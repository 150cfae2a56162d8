/** Float64 y = x Wᵀ + b: `x` [rows, inputs], `weight` [outputs, inputs], `bias` [outputs]. */
export function linearReference(
  values: { x: Float64Array; weight: Float64Array; bias?: Float64Array },
  options: { inputs: number },
): Float64Array {
  const { x, weight, bias } = values;
  const { inputs } = options;
  const rows = x.length / inputs, outputs = weight.length / inputs;
  const out = new Float64Array(rows * outputs);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < outputs; j++) {
      let sum = bias?.[j] ?? 0;
      for (let k = 0; k < inputs; k++) sum += x[i * inputs + k]! * weight[j * inputs + k]!;
      out[i * outputs + j] = sum;
    }
  }
  return out;
}
