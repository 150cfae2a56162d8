/**
 * Float64 u + scale (c - u) on the first `guided` of `channels` channels, c on the others; c is the
 * first half of `predictions`, u the second.
 */
export function guideReference(
  predictions: Float64Array,
  options: { plane: number; channels: number; guided: number; scale: number },
): Float64Array {
  const { plane, channels, guided, scale } = options;
  const elements = predictions.length / 2;
  return predictions.subarray(0, elements).map((c, i) => {
    const u = predictions[elements + i]!;
    return Math.floor(i / plane) % channels < guided ? u + scale * (c - u) : c;
  });
}
