/** Float64 mean of (scale_b · out − target)² over each sample: `out`, `target` [B, ...], result [B]. */
export function meanSquareReference(
  values: { out: Float64Array; target: Float64Array; scale?: Float64Array },
  options: { batch: number },
): Float64Array {
  const { out, target, scale } = values;
  const elements = out.length / options.batch;
  const loss = new Float64Array(options.batch);
  for (let i = 0; i < out.length; i++) {
    const b = Math.floor(i / elements);
    loss[b]! += ((scale?.[b] ?? 1) * out[i]! - target[i]!) ** 2 / elements;
  }
  return loss;
}
