/**
 * Images seen in a mirror.
 *
 * @module
 */

/** Turns each row of images [n, C, H, `width`] round, in place, and returns them. */
export function mirrorRows(images: Float32Array, width: number): Float32Array {
  for (let start = 0; start < images.length; start += width) {
    images.subarray(start, start + width).reverse();
  }
  return images;
}
