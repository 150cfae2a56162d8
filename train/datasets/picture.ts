/**
 * Pictures that show many images at once.
 *
 * @module
 */

import { toBytes } from "../../bank/pixels.ts";
import { requireCount } from "../../kernels/core/counted.ts";
import type { RawImage } from "./png.ts";

/** How {@linkcode tileImages} lays the images out. */
export interface TileImagesOptions {
  /** Images in a row. */
  readonly columns: number;
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image: 3 for RGB, 1 for grey; none else. */
  readonly channels: number;
  /** Picture pixels to an image pixel in each direction, a whole number; 1 by default. */
  readonly scale?: number | undefined;
}

/** White picture pixels between two images. */
const GAP = 2;

const WHITE = 255;

/** Width in pixels that a picture of samples should about have. */
const PICTURE_WIDTH = 640;

/** Picture pixels to an image pixel that make a picture about 640 pixels wide. */
export function pictureScale(
  { columns, imageSize }: Pick<TileImagesOptions, "columns" | "imageSize">,
): number {
  return Math.max(1, Math.round(PICTURE_WIDTH / (columns * imageSize)));
}

/**
 * Tiles N images [N, C, H, W] in [-1, 1] into one picture, row by row, 2 pixels apart, in white what no
 * image covers. A pixel x becomes the whole part of 127.5 x + 128 kept in 0 … 255, as SiT writes its
 * samples, which gives back the very bytes that `ImageSet.read` read.
 *
 * Throws a RangeError if an option is not a positive integer or images have other channels, and a
 * TypeError if pixels is not a whole number of images, at least one.
 *
 * @example
 * ```ts
 * import { tileImages } from "@gmem/gmem";
 *
 * const blackAndWhite = Float32Array.of(-1, 1);
 * const options = { columns: 2, imageSize: 1, channels: 1, scale: 8 };
 * const { width, height, data } = tileImages(blackAndWhite, options); // 8 black, 2 of gap, 8 white
 * console.log(width, height, data.subarray(6, 10)); // 18 8 Uint8Array(4) [ 0, 0, 255, 255 ]
 * ```
 */
export function tileImages(pixels: Float32Array, options: TileImagesOptions): RawImage {
  const { columns, imageSize, channels, scale = 1 } = options;
  for (const [name, value] of Object.entries({ columns, imageSize, channels, scale })) {
    requireCount(`Cannot tile images: ${name}`, value, 1);
  }
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(`Cannot tile images: they have ${channels} channels, expected 1 or 3`);
  }
  const plane = imageSize * imageSize;
  const count = pixels.length / (channels * plane);
  if (!Number.isInteger(count) || count === 0) {
    throw new TypeError(
      `Cannot tile images: pixels has ${pixels.length} elements, ` +
        `expected a multiple of ${channels * plane} ` +
        `for [N, ${channels}, ${imageSize}, ${imageSize}]`,
    );
  }
  const bytes = toBytes(pixels);
  const rows = Math.ceil(count / columns);
  const tile = imageSize * scale;
  const width = columns * tile + (columns - 1) * GAP;
  const height = rows * tile + (rows - 1) * GAP;
  const data = new Uint8Array(width * height * channels).fill(WHITE);
  for (let image = 0; image < count; image++) {
    const left = (image % columns) * (tile + GAP);
    const top = Math.floor(image / columns) * (tile + GAP);
    for (let y = 0; y < tile; y++) {
      const sourceRow = Math.floor(y / scale) * imageSize;
      for (let x = 0; x < tile; x++) {
        const source = sourceRow + Math.floor(x / scale);
        const target = ((top + y) * width + left + x) * channels;
        for (let channel = 0; channel < channels; channel++) {
          data[target + channel] = bytes[(image * channels + channel) * plane + source]!;
        }
      }
    }
  }
  return { width, height, channels, data };
}
