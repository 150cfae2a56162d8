/**
 * Transforms for {@linkcode resample}: from a point of the result to a point of the image, in pixels.
 *
 * @module
 */

import { mat3 } from "@gfx/wgpu-matrix";
import type { Device } from "../core/device.ts";
import type { Tensor } from "../core/tensor.ts";

/**
 * A `mat3` of wgpu-matrix: 12 numbers, columns for x, y and 1, each padded to four. Its functions make
 * others; in a product of several the first to be applied to the image stands first.
 */
export type Transform = Float32Array;

/** A size in pixels. */
export interface Size {
  /** Pixels from left to right. */
  readonly width: number;
  /** Pixels from top to bottom. */
  readonly height: number;
}

/** A part of an image in pixels. */
export interface Window extends Size {
  /** Left edge. */
  readonly x: number;
  /** Top edge. */
  readonly y: number;
}

/**
 * The transform that shows a window of the image, in its pixels, stretched to the size of the
 * result.
 *
 * @example
 * ```ts
 * import { cropTransform } from "@gmem/gmem/kernels";
 *
 * const window = { x: 5, y: 6, width: 4, height: 2 };
 * const transform = cropTransform(window, { width: 2, height: 2 }); // x ← 2 x + 5, y ← y + 6
 * console.log(...transform); // 2 0 0 0 0 1 0 0 5 6 1 0
 * ```
 */
export function cropTransform(window: Window, result: Size): Transform {
  const corner = mat3.translation([window.x, window.y]);
  return mat3.scale(corner, [window.width / result.width, window.height / result.height]);
}

/**
 * Puts the transforms of a batch, 12 numbers each, into a tensor [B, 12].
 *
 * @example
 * ```ts
 * import { cropTransform, Device, stackTransforms } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const size = { width: 8, height: 8 };
 * const left = cropTransform({ x: 0, y: 0, ...size }, size);
 * const right = cropTransform({ x: 8, y: 0, ...size }, size);
 * using transforms = stackTransforms(device, [left, right]);
 * console.log(transforms.shape); // [ 2, 12 ]
 * ```
 */
export function stackTransforms(device: Device, transforms: readonly Transform[]): Tensor {
  const numbers = new Float32Array(transforms.length * 12);
  transforms.forEach((transform, i) => numbers.set(transform, i * 12));
  return device.tensor(numbers, [transforms.length, 12]);
}
