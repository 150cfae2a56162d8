/**
 * Sizes that kernels are fast for.
 *
 * @module
 */

/** The next multiple of 4: kernels load four numbers at once, and rows or columns of zeros add nothing. */
export function paddedSize(size: number): number {
  return Math.ceil(size / 4) * 4;
}
