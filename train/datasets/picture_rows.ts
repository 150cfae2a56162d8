/**
 * Pictures of images that belong together: rows in parts, such as an image and what was drawn from it,
 * and pairs, such as images and what was drawn from each.
 *
 * @module
 */

import { tileImages, type TileImagesOptions } from "./picture.ts";
import type { RawImage } from "./png.ts";

/** Some columns of every row. */
export interface RowPart {
  /** Images [rows, columns, C, H, W] in [−1, 1]. */
  readonly images: Float32Array;
  /** Number of columns. */
  readonly columns: number;
}

/** The images' sizes. */
export interface RowOptions extends Pick<TileImagesOptions, "imageSize"> {
  /** Channels of an image: 3 for RGB, 1 for grey. */
  readonly channels: 1 | 3;
}

/** How {@linkcode pictureOfPairs} lays images out. */
export interface PairOptions extends RowOptions {
  /** Pairs in a row. */
  readonly columns: number;
}

/** Width in picture pixels that an image should about have, and at least has if it is larger. */
const TILE_WIDTH = 96;

/** White picture pixels between parts; images of a part are 2 apart. */
const PART_GAP = 14;

const WHITE = 255;

/** Picture pixels to an image pixel in each direction, so that images are easy to see. */
export function viewingScale(imageSize: number): number {
  return Math.max(1, Math.round(TILE_WIDTH / imageSize));
}

/**
 * Puts parts of equally many rows beside each other, with wider gaps between parts than within.
 *
 * Throws what {@linkcode tileImages} throws, and a TypeError if there is no part or one has another
 * number of rows.
 */
export function pictureOfRows(parts: readonly RowPart[], options: RowOptions): RawImage {
  const { imageSize } = options;
  const pictures = parts.map(({ images, columns }) =>
    tileImages(images, { ...options, columns, scale: viewingScale(imageSize) })
  );
  const heights = pictures.map(({ height }) => height);
  if (new Set(heights).size !== 1) {
    throw new TypeError(
      `Cannot picture rows: their parts are ${heights.join(", ") || "none"} pixels high, ` +
        "expected equal heights",
    );
  }
  const width = pictures.reduce((sum, part) => sum + part.width, PART_GAP * (parts.length - 1));
  const joined = blank(options, { width, height: heights[0]! });
  let left = 0;
  for (const part of pictures) {
    paste(part, joined, { left, top: 0 });
    left += part.width + PART_GAP;
  }
  return joined;
}

/**
 * Puts each of the images `above` [N, C, H, W] over its one of `below`, `columns` pairs in a row, with
 * wider gaps between rows of pairs than within.
 *
 * Throws what {@linkcode tileImages} throws, and a TypeError if there are not equally many of both.
 */
export function pictureOfPairs(
  above: Float32Array,
  below: Float32Array,
  options: PairOptions,
): RawImage {
  const { imageSize, channels, columns } = options;
  if (above.length !== below.length) {
    throw new TypeError(
      `Cannot picture pairs of ${above.length} and ${below.length} values: ` +
        "expected as many images above as below",
    );
  }
  const length = columns * channels * imageSize ** 2, pairs = pairRows(above, below, length);
  const rows = pairs.length / (2 * length);
  const pictures = Array.from({ length: rows }, (_, row) => {
    const images = pairs.subarray(2 * row * length, 2 * (row + 1) * length);
    return tileImages(images, { ...options, scale: viewingScale(imageSize) });
  });
  const { width = 0, height = 0 } = pictures[0] ?? {};
  const joined = blank(options, { width, height: rows * (height + PART_GAP) - PART_GAP });
  for (const [row, part] of pictures.entries()) {
    paste(part, joined, { left: 0, top: row * (height + PART_GAP) });
  }
  return joined;
}

/** Each row of some `length` values of `above` over its one of `below`; what a last row lacks is white. */
export function pairRows(above: Float32Array, below: Float32Array, length: number): Float32Array {
  const rows = Math.ceil(above.length / length);
  const pairs = new Float32Array(2 * rows * length).fill(1);
  for (let row = 0; row < rows; row++) {
    pairs.set(above.subarray(row * length, (row + 1) * length), 2 * row * length);
    pairs.set(below.subarray(row * length, (row + 1) * length), (2 * row + 1) * length);
  }
  return pairs;
}

function blank(options: RowOptions, size: { width: number; height: number }): RawImage {
  const { channels } = options, { width, height } = size;
  return { width, height, channels, data: new Uint8Array(width * height * channels).fill(WHITE) };
}

/** Copies a picture into a larger one of as many channels. */
function paste(part: RawImage, whole: RawImage, corner: { left: number; top: number }): void {
  const { left, top } = corner;
  const length = part.width * part.channels;
  for (let y = 0; y < part.height; y++) {
    const row = part.data.subarray(y * length, (y + 1) * length);
    whole.data.set(row, ((top + y) * whole.width + left) * whole.channels);
  }
}
