/** Float64 rows of length one: `x` [N, width]. */
export function l2NormalizeReference(
  x: Float64Array,
  options: { width: number; epsilon?: number },
): Float64Array {
  const { width, epsilon = 1e-12 } = options;
  const out = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += width) {
    const norm = Math.hypot(...x.subarray(first, first + width));
    for (let i = first; i < first + width; i++) out[i] = x[i]! / Math.max(norm, epsilon);
  }
  return out;
}
