/** Float64 (norm, factor) over all slabs: norm of scale·g and scale·min(1, maxNorm / (norm + 1e-6)). */
export function globalNormReference(
  slabs: readonly ArrayLike<number>[],
  options: { maxNorm?: number; scale?: number } = {},
): [norm: number, factor: number] {
  const { maxNorm, scale = 1 } = options;
  let sum = 0;
  for (const slab of slabs) {
    for (let i = 0; i < slab.length; i++) sum += (scale * slab[i]!) ** 2;
  }
  const norm = Math.sqrt(sum);
  if (!Number.isFinite(norm)) return [norm, 0];
  return [norm, maxNorm === undefined ? scale : scale * Math.min(1, maxNorm / (norm + 1e-6))];
}
