/** Float64 u + scale (c - u) on the first `guided` of `channels` channels, c on the others. */
export function guideReference(
  { conditional, unconditional }: { conditional: Float64Array; unconditional: Float64Array },
  options: { plane: number; channels: number; guided: number; scale: number },
): Float64Array {
  const { plane, channels, guided, scale } = options;
  return conditional.map((c, i) => {
    const u = unconditional[i]!;
    return Math.floor(i / plane) % channels < guided ? u + scale * (c - u) : c;
  });
}
