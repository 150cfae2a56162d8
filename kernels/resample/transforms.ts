/**
 * Transforms for {@linkcode resample}: from a point of the result to a point of the image, in pixels.
 *
 * @module
 */

import { mat3 } from "@gfx/wgpu-matrix";
import type { Device } from "../core/device.ts";
import type { Tensor } from "../core/tensor.ts";

/** A `mat3` of wgpu-matrix: 12 numbers, columns for x, y and 1, each padded to four. */
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

/** Shows a window of the image, stretched to the size of the result. */
export function cropTransform(window: Window, result: Size): Transform {
  const corner = mat3.translation([window.x, window.y]);
  return mat3.scale(corner, [window.width / result.width, window.height / result.height]);
}

/** Shows the whole image, stretched to the size of the result. */
export function resizeTransform(image: Size, result: Size): Transform {
  return cropTransform({ x: 0, y: 0, ...image }, result);
}

/** Mirrors an image of the given width, left to right. */
export function flipTransform(width: number): Transform {
  return mat3.scale(mat3.translation([width, 0]), [-1, 1]);
}

/**
 * One transform for several in the order in which they are applied to the image: the point of the
 * result goes through the last one first.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { composeTransforms, cropTransform, flipTransform } from "@gmem/gmem/kernels";
 *
 * const size = { width: 4, height: 4 };
 * const crop = cropTransform({ x: 2, y: 0, ...size }, size);
 * const both = composeTransforms([crop, flipTransform(4)]); // crop, then flip what is left
 * assert.equal(both[8], 6);
 * ```
 */
export function composeTransforms(transforms: readonly Transform[]): Transform {
  return transforms.reduce(
    (product, transform) => mat3.multiply(product, transform),
    mat3.identity(),
  );
}

/** Puts the transforms of a batch into a tensor [B, 12]. */
export function stackTransforms(device: Device, transforms: readonly Transform[]): Tensor {
  const numbers = new Float32Array(transforms.length * 12);
  transforms.forEach((transform, i) => numbers.set(transform, i * 12));
  return device.tensor(numbers, [transforms.length, 12]);
}
