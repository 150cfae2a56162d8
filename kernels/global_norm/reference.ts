/** Float64 (norm, factor) over all slabs: norm of g and min(1, maxNorm / (norm + 1e-6)). */
export function globalNormReference(
  slabs: readonly ArrayLike<number>[],
  options: { maxNorm?: number } = {},
): [norm: number, factor: number] {
  const { maxNorm } = options;
  let sum = 0;
  for (const slab of slabs) {
    for (let i = 0; i < slab.length; i++) sum += slab[i]! ** 2;
  }
  const norm = Math.sqrt(sum);
  if (!Number.isFinite(norm)) return [norm, 0];
  return [norm, maxNorm === undefined ? 1 : Math.min(1, maxNorm / (norm + 1e-6))];
}
