/** Catmull and Rom's cubic (Keys, a = −1/2). */
function cubic(x: number): number {
  const d = Math.abs(x);
  if (d < 1) return 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
  if (d < 2) return -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2;
  return 0;
}

/** Weights of the pixels of one axis at a point, with a sum of 1; pixels outside count as the edge. */
function weightsAt(point: number, options: { spread: number; size: number }): Float64Array {
  const { spread, size } = options;
  const weights = new Float64Array(size);
  let total = 0;
  for (let i = Math.floor(point - 3 * spread); i <= point + 3 * spread; i++) {
    const weight = cubic((i + 0.5 - point) / spread);
    weights[Math.min(Math.max(i, 0), size - 1)]! += weight;
    total += weight;
  }
  return weights.map((weight) => weight / total);
}

/**
 * Float64 resampling of one plane [height, width] through a transform of 12 numbers, to
 * [outHeight, outWidth].
 */
export function resampleReference(
  plane: Float64Array,
  options: {
    transform: ArrayLike<number>;
    height: number;
    width: number;
    outHeight: number;
    outWidth: number;
  },
): Float64Array {
  const { transform, height, width, outHeight, outWidth } = options;
  const [a = 0, c = 0, , , b = 0, d = 0, , , e = 0, f = 0] = Array.from(transform);
  const out = new Float64Array(outHeight * outWidth);
  for (let row = 0; row < outHeight; row++) {
    for (let column = 0; column < outWidth; column++) {
      const u = a * (column + 0.5) + b * (row + 0.5) + e;
      const v = c * (column + 0.5) + d * (row + 0.5) + f;
      const across = weightsAt(u, { spread: Math.max(1, Math.hypot(a, b)), size: width });
      const down = weightsAt(v, { spread: Math.max(1, Math.hypot(c, d)), size: height });
      let sum = 0;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) sum += down[y]! * across[x]! * plane[y * width + x]!;
      }
      out[row * outWidth + column] = sum;
    }
  }
  return out;
}
