/**
 * The size that an encoder wants its images in.
 *
 * @module
 */

import type { Device } from "../../kernels/core/device.ts";
import { resample } from "../../kernels/resample/mod.ts";
import { cropTransform, stackTransforms } from "../../kernels/resample/transforms.ts";
import { resizePlanes, tapsOf } from "../taps.ts";
import type { ImageBatchShape } from "./encoder.ts";
import type { Interpolation } from "./preprocessing.ts";

/** What {@linkcode resizeImages} makes of which images. */
export interface ResizeOptions {
  /** Sizes of the images. */
  readonly shape: ImageBatchShape;
  /** Height and width of the results in pixels. */
  readonly size: number;
  /** Share of either side that is kept around the centre; 1, all, by default. */
  readonly crop?: number | undefined;
  /** Default `bicubic`. */
  readonly interpolation?: Interpolation | undefined;
}

/** Sides in pixels. */
type Size = Pick<ImageBatchShape, "height" | "width">;

/** Bytes of images on the GPU at once: within every device's largest binding. */
const MAX_BYTES = 2 ** 26;

/** The kernel's filter widens up to here; images that shrink by more do so in several passes. */
const MOST_IN_A_PASS = 60;

/**
 * Resizes the central part of images [n, C, H, W] to [n, C, size, size]: `bicubic` by `resample` on the
 * GPU, the other filters in float64 on the CPU. To resize to 256 and crop to 224, as most encoders are
 * evaluated, is a size of 224 with a crop of 224 / 256 = 0.875. Images that have the size already are
 * returned as they are.
 *
 * Throws a TypeError if the values are not those of the shape.
 */
export async function resizeImages(
  device: Device,
  images: Float32Array,
  options: ResizeOptions,
): Promise<Float32Array> {
  const { shape, size, crop = 1, interpolation = "bicubic" } = options;
  const { count, channels, height, width } = shape;
  if (images.length !== count * channels * height * width) {
    throw new TypeError(
      `Cannot resize images of ${images.length} values: expected ` +
        `${count * channels * height * width} for [${count}, ${channels}, ${height}, ${width}]`,
    );
  }
  if (crop === 1 && height === size && width === size) return images;
  return interpolation === "bicubic"
    ? await resizeByKernel(device, images, { shape, size: { height: size, width: size }, crop })
    : resizeByTaps(images, { shape, size, crop, interpolation });
}

async function resizeByKernel(
  device: Device,
  images: Float32Array,
  options: { shape: ImageBatchShape; size: Size; crop: number },
): Promise<Float32Array> {
  const { shape, size, crop } = options, { count, channels, height, width } = shape;
  const most = { height: MOST_IN_A_PASS * size.height, width: MOST_IN_A_PASS * size.width };
  if (crop * height > most.height || crop * width > most.width) {
    const between = {
      height: Math.min(Math.ceil(crop * height), most.height),
      width: Math.min(Math.ceil(crop * width), most.width),
    };
    const smaller = await resizeByKernel(device, images, { shape, size: between, crop });
    return await resizeByKernel(device, smaller, {
      shape: { ...shape, ...between },
      size,
      crop: 1,
    });
  }
  const window = {
    x: (1 - crop) / 2 * width,
    y: (1 - crop) / 2 * height,
    width: crop * width,
    height: crop * height,
  };
  const transform = cropTransform(window, size);
  const perImage = channels * height * width, perResult = channels * size.height * size.width;
  const resized = new Float32Array(count * perResult);
  const atOnce = Math.max(1, Math.floor(MAX_BYTES / (4 * Math.max(perImage, perResult))));
  for (let first = 0; first < count; first += atOnce) {
    const part = Math.min(atOnce, count - first);
    using result = device.scope(() =>
      resample(
        device.tensor(
          images.subarray(first * perImage, (first + part) * perImage),
          [part, channels, height, width],
        ),
        stackTransforms(device, Array(part).fill(transform)),
        size,
      )
    );
    resized.set(await result.read(), first * perResult);
  }
  return resized;
}

/** On the CPU, in float64. */
function resizeByTaps(
  images: Float32Array,
  options: {
    shape: ImageBatchShape;
    size: number;
    crop: number;
    interpolation: Exclude<Interpolation, "bicubic">;
  },
): Float32Array {
  const { shape: { height, width }, size, crop, interpolation } = options;
  const [across, down] = [width, height].map((length) =>
    tapsOf(interpolation, {
      ...{ length, size },
      start: (1 - crop) / 2 * length,
      scale: crop * length / size,
    })
  );
  return new Float32Array(resizePlanes(images, { width, height, across: across!, down: down! }));
}
