/** Float64 [cos(t f_k)] ++ [sin(t f_k)] ++ [0 if width is odd]: `t` [B], result [B, width]. */
export function embedTimeReference(
  t: Float64Array,
  options: { width: number; maxPeriod?: number },
): Float64Array {
  const { width, maxPeriod = 10000 } = options;
  const half = Math.floor(width / 2);
  const out = new Float64Array(t.length * width);
  for (let b = 0; b < t.length; b++) {
    for (let k = 0; k < half; k++) {
      const angle = t[b]! * Math.exp(-Math.log(maxPeriod) * k / half);
      out[b * width + k] = Math.cos(angle);
      out[b * width + half + k] = Math.sin(angle);
    }
  }
  return out;
}
