/**
 * Float64 norm(x) · weight · (1 + scale) + shift: `x` [batches, tokens, width], `modulation`
 * [batches, chunks · width], `weight` [width], chunk indices `scale` and `shift`.
 */
export function modulateReference(
  values: { x: Float64Array; modulation: Float64Array; weight?: Float64Array | undefined },
  options: {
    batches: number;
    width: number;
    norm: "layer" | "rms";
    scale: number;
    shift?: number | undefined;
    epsilon?: number;
  },
): Float64Array {
  const { x, modulation, weight } = values;
  const { batches, width, norm, scale, shift, epsilon = 1e-6 } = options;
  const perBatch = x.length / batches, stride = modulation.length / batches;
  const out = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += width) {
    const row = x.subarray(first, first + width);
    const base = Math.floor(first / perBatch) * stride;
    const mean = norm === "rms" ? 0 : row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    for (let j = 0; j < width; j++) {
      const normalised = (row[j]! - mean) / Math.sqrt(variance + epsilon) * (weight?.[j] ?? 1);
      out[first + j] = normalised * (1 + modulation[base + scale * width + j]!) +
        (shift === undefined ? 0 : modulation[base + shift * width + j]!);
    }
  }
  return out;
}

/**
 * Float64 x + gate · h: `x`, `h` [batches, tokens, width], `modulation` [batches, chunks · width],
 * chunk index `gate`.
 */
export function gateReference(
  values: { x: Float64Array; h: Float64Array; modulation: Float64Array },
  options: { batches: number; width: number; gate: number },
): Float64Array {
  const { x, h, modulation } = values;
  const { batches, width, gate } = options;
  const perBatch = x.length / batches, stride = modulation.length / batches;
  return x.map((value, i) => {
    const base = Math.floor(i / perBatch) * stride;
    return value + modulation[base + gate * width + i % width]! * h[i]!;
  });
}
