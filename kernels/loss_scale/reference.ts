/** Float64 (norm, factor) without the scale, and the scale and number of good steps that follow. */
export function lossScaleReference(
  before: { norm: number; factor: number; scale: number; goodSteps: number },
  options: { maxNorm?: number | undefined; growthInterval: number; maxScale: number },
): { norm: number; factor: number; scale: number; goodSteps: number } {
  const { scale, goodSteps } = before, norm = before.norm / scale;
  if (before.factor === 0) {
    return { norm, factor: 0, scale: Math.max(1, scale / 2), goodSteps: 0 };
  }
  const clip = Math.min(1, (options.maxNorm ?? Infinity) / (norm + 1e-6));
  const factor = before.factor / scale * clip;
  return goodSteps + 1 >= options.growthInterval
    ? { norm, factor, scale: Math.min(options.maxScale, 2 * scale), goodSteps: 0 }
    : { norm, factor, scale, goodSteps: goodSteps + 1 };
}
