/**
 * The size that an encoder wants its images in.
 *
 * @module
 */

import type { Device } from "../../kernels/core/device.ts";
import { resample } from "../../kernels/resample/mod.ts";
import { resizeTransform, stackTransforms } from "../../kernels/resample/transforms.ts";
import type { ImageBatchShape } from "./encoder.ts";

/** What {@linkcode resizeImages} makes of which images. */
export interface ResizeOptions {
  /** Sizes of the images. */
  readonly shape: ImageBatchShape;
  /** Height and width of the results in pixels. */
  readonly size: number;
}

/** Bytes of images on the GPU at once: within every device's largest binding. */
const MAX_BYTES = 2 ** 26;

/** The kernel's filter widens up to here; beyond, details would alias into the result. */
const MAX_SHRINKING = 60;

/**
 * Stretches images [n, C, H, W] to [n, C, size, size] with the antialiased cubic filter of `resample`.
 * Images that have the size already are returned as they are.
 *
 * Throws a TypeError if the values are not those of the shape, and a RangeError if a side is more
 * than 60 times the size.
 */
export async function resizeImages(
  device: Device,
  images: Float32Array,
  options: ResizeOptions,
): Promise<Float32Array> {
  const { shape: { count, channels, height, width }, size } = options;
  const perImage = channels * height * width;
  if (images.length !== count * perImage) {
    throw new TypeError(
      `Cannot resize images of ${images.length} values: expected ${count * perImage} for ` +
        `[${count}, ${channels}, ${height}, ${width}]`,
    );
  }
  if (height === size && width === size) return images;
  if (Math.max(height, width) > MAX_SHRINKING * size) {
    throw new RangeError(
      `Cannot resize images of ${width} by ${height} pixels to ${size}: expected at most ` +
        `${MAX_SHRINKING * size} pixels a side, shrink them before`,
    );
  }
  const transform = resizeTransform({ width, height }, { width: size, height: size });
  const perResult = channels * size * size;
  const resized = new Float32Array(count * perResult);
  const most = Math.max(1, Math.floor(MAX_BYTES / (4 * Math.max(perImage, perResult))));
  for (let first = 0; first < count; first += most) {
    const part = Math.min(most, count - first);
    using result = device.scope(() =>
      resample(
        device.tensor(
          images.subarray(first * perImage, (first + part) * perImage),
          [part, channels, height, width],
        ),
        stackTransforms(device, Array(part).fill(transform)),
        { height: size, width: size },
      )
    );
    resized.set(await result.read(), first * perResult);
  }
  return resized;
}
