/**
 * Geometry of images: crop, flip, resize and rotate in one pass.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./resample.wgsl.ts";

const RESAMPLE = new Kernel({ source });

/** Options of {@linkcode resample}. */
export interface ResampleOptions {
  /** Height of the results in pixels. */
  readonly height: number;
  /** Width of the results in pixels. */
  readonly width: number;
}

/**
 * Draws images anew through an affine map of each: `images` [B, C, H, W], `transforms` [B, 12],
 * result [B, C, height, width]. Not differentiated.
 *
 * A transform takes a point of the result to a point of the image, both in pixels from the top left
 * corner, so that pixel centres are at halves. Its 12 numbers are a `mat3` of wgpu-matrix: columns
 * for x, y and 1, each padded to four; see {@linkcode stackTransforms}. The filter is the cubic of
 * Catmull and Rom (Keys, "Cubic convolution interpolation for digital image processing", 1981, with
 * a = −1/2), widened when the image shrinks, as Pillow's `BICUBIC`; beyond the edge, the image goes
 * on with its last pixels. Shrinking by more than 60 widens no further: shrink in two passes.
 *
 * Throws `TypeError` when the shapes do not fit, and `RangeError` for a size that is not a positive
 * integer.
 *
 * @example
 * ```ts
 * import { cropTransform, Device, resample, stackTransforms } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using image = device.tensor(Float32Array.of(1, 2, 3, 4), [1, 1, 1, 4]);
 * const size = { width: 2, height: 1 }, right = cropTransform({ x: 2, y: 0, ...size }, size);
 * using transforms = stackTransforms(device, [right]);
 * using crop = resample(image, transforms, size);
 * console.log(await crop.read()); // Float32Array(2) [ 3, 4 ]
 * ```
 */
export function resample(images: Tensor, transforms: Tensor, options: ResampleOptions): Tensor {
  const { height, width } = options;
  const [batch = 0, channels = 0, inputHeight = 0, inputWidth = 0] = images.shape;
  if (
    images.shape.length !== 4 || inputHeight * inputWidth === 0 ||
    formatShape(transforms.shape) !== formatShape([batch, 12])
  ) {
    throw new TypeError(
      `Cannot resample ${formatShape(images.shape)} by transforms ` +
        `${formatShape(transforms.shape)}: expected [B, C, H, W] and [B, 12]`,
    );
  }
  if (!Number.isInteger(height) || !Number.isInteger(width) || height < 1 || width < 1) {
    throw new RangeError(
      `Cannot resample to ${width} by ${height} pixels: expected positive integers`,
    );
  }
  const { device } = images;
  const out = device.empty([batch, channels, height, width]);
  const { elements } = out;
  device.dispatch(RESAMPLE, {
    tensors: { images, transforms, out },
    params: {
      elements,
      channels,
      height: inputHeight,
      width: inputWidth,
      out_height: height,
      out_width: width,
    },
    workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
  });
  return out;
}
