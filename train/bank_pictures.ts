/**
 * Pictures that show what a trained model makes of snippets: GMem's figures 4, 7, 8 and 10.
 *
 * @module
 */

import { resizeImages } from "../bank/encoders/resize.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { mixChannels } from "../bank/pixels.ts";
import { swapAxes } from "../bank/select_rows.ts";
import type { Device } from "../kernels/core/device.ts";
import { pathOf } from "../sample/network.ts";
import { drawAll, drawRows, repeatRow } from "../sample/rows.ts";
import { tileImages } from "./datasets/picture.ts";
import {
  pictureOfPairs,
  pictureOfRows,
  type RowPart,
  viewingScale,
} from "./datasets/picture_rows.ts";
import type { RawImage } from "./datasets/png.ts";
import type { TrainedModel } from "./trained.ts";

/** A picture and what its samples cost. */
export interface SamplePicture {
  /** The picture. */
  readonly picture: RawImage;
  /** Evaluations of the network for each sample (NFE). */
  readonly evaluations: number;
}

/** What every picture is drawn with. */
interface PictureOptions {
  /** Called with the number of samples drawn, and of all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Draws from snippets [k, d] between two images (figures 7 and 8): a column for each snippet, a row for
 * each noise, and the two images [C, H, W] at the ends of every row, where they are known.
 *
 * Throws what `drawRows` throws.
 */
export async function pictureInterpolation(
  trained: TrainedModel,
  options: PictureOptions & {
    readonly snippets: Float32Array;
    readonly noises: number;
    readonly ends: readonly [Float32Array, Float32Array] | undefined;
  },
): Promise<SamplePicture> {
  const { snippets, noises, ends, onProgress } = options;
  const { images, evaluations } = await drawRows({
    ...drawing(trained),
    snippets,
    noises,
    onProgress,
  });
  const length = pixelsOf(trained), columns = images.length / (noises * length);
  const samples = { images: swapAxes(images, { rows: columns, columns: noises, length }), columns };
  const end = (image: Float32Array) => ({ images: repeatRow(image, noises), columns: 1 });
  const parts = ends === undefined ? [samples] : [end(ends[0]), samples, end(ends[1])];
  return { picture: pictureOfRows(parts, tileOf(trained)), evaluations };
}

/**
 * Draws from the snippets [k, d] of new images [k, C, H, W] (figure 4): a row for each, of the image,
 * samples from its snippet with a noise each, and the images [k, m, C, H, W] nearest to it, where they
 * are known.
 *
 * Throws what `drawRows` throws.
 */
export async function pictureNovel(
  trained: TrainedModel,
  options: PictureOptions & {
    readonly images: Float32Array;
    readonly snippets: Float32Array;
    readonly noises: number;
    readonly nearest: RowPart | undefined;
  },
): Promise<SamplePicture> {
  const { images, snippets, noises, nearest, onProgress } = options;
  const drawn = await drawRows({ ...drawing(trained), snippets, noises, onProgress });
  const parts = [{ images, columns: 1 }, { images: drawn.images, columns: noises }];
  if (nearest !== undefined) parts.push(nearest);
  return {
    picture: pictureOfRows(parts, tileOf(trained)),
    evaluations: drawn.evaluations,
  };
}

/**
 * Draws from the snippets of the given indices (figure 10), each with a noise of its own, `columns` in a
 * row; under rows of the images [n, C, H, W] that the snippets are of, where they are known.
 *
 * Throws a TypeError if the model takes no snippets, and what `drawAll` throws.
 */
export async function pictureTransfer(
  trained: TrainedModel,
  options: PictureOptions & {
    readonly indices: Uint32Array;
    readonly columns: number;
    readonly sources: Float32Array | undefined;
  },
): Promise<SamplePicture> {
  const { indices, columns, sources, onProgress } = options;
  const { bank } = trained;
  if (bank === undefined) throw new TypeError("Cannot draw from a bank: the model takes labels");
  const count = indices.length;
  const { images, evaluations } = await drawAll({
    ...drawing(trained),
    count,
    conditionOf: (first, size) => bank.gather(indices.subarray(first, first + size)),
    onProgress,
  });
  const tile = { ...tileOf(trained), columns };
  const picture = sources === undefined
    ? tileImages(images, { ...tile, scale: viewingScale(tile.imageSize) })
    : pictureOfPairs(sources, images, tile);
  return { picture, evaluations };
}

/**
 * Reads images [n, C, H, W] in one size and number of channels, such as those of a model's data: resized,
 * grey or in colour. An index of −1 gives a white image.
 *
 * Throws what `resizeImages` throws.
 */
export async function imagesFor(
  { imageSize, channels }: { readonly imageSize: number; readonly channels: number },
  options: {
    readonly device: Device;
    readonly images: ImageSource;
    readonly indices: ArrayLike<number>;
  },
): Promise<Float32Array> {
  const { device, images, indices } = options;
  const length = channels * imageSize ** 2;
  const known = Array.from(indices).filter((index) => index >= 0);
  const shape = {
    count: known.length,
    channels: images.channels,
    height: images.imageSize,
    width: images.imageSize,
  };
  const pixels = await images.read(Uint32Array.from(known));
  const resized = mixChannels(await resizeImages(device, pixels, { shape, size: imageSize }), {
    from: images.channels,
    to: channels,
    plane: imageSize ** 2,
  });
  const out = new Float32Array(indices.length * length).fill(1);
  let next = 0;
  for (let i = 0; i < indices.length; i++) {
    if (indices[i]! < 0) continue;
    out.set(resized.subarray(next * length, (next + 1) * length), i * length);
    next++;
  }
  return out;
}

function drawing(trained: TrainedModel) {
  const { model, config } = trained;
  return { model, config: config.sample, ...pathOf(config) };
}

function tileOf({ config: { data } }: TrainedModel): { imageSize: number; channels: 1 | 3 } {
  return { imageSize: data.imageSize, channels: data.channels as 1 | 3 };
}

function pixelsOf(trained: TrainedModel): number {
  const { imageSize, channels } = tileOf(trained);
  return channels * imageSize ** 2;
}
