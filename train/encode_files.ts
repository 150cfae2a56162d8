/**
 * Image files as snippets. Only programs use this: it reaches the decoder of image files, which the
 * library must not.
 *
 * @module
 */

import type { EncoderRecords } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { readInOrder } from "../bank/image_source.ts";
import { mixChannels } from "../bank/pixels.ts";
import type { ImageSet } from "./datasets/image_set.ts";

/** Image files as squares of one size. */
export async function loadFiles(paths: readonly string[], imageSize: number): Promise<ImageSet> {
  // Imported here alone, so that commands without image files need no native image decoder.
  const { loadImageFiles } = await import("./datasets/image_folder.ts");
  return await loadImageFiles(paths, { imageSize });
}

/** Snippets [n, d] of image files, encoded some at a time, grey for an encoder of grey images. */
export async function encodeFiles(images: ImageSet, encoder: Encoder): Promise<Float32Array> {
  const { size, imageSize } = images;
  const channels = Number(encoder.description.preprocessing["channels"]);
  const snippets = new Float32Array(size * encoder.dim);
  for await (const { first, count, images: pixels } of readInOrder(images)) {
    const encoded = await encoder.encode(
      mixChannels(pixels, { from: images.channels, to: channels, plane: imageSize ** 2 }),
      { count, channels, height: imageSize, width: imageSize, firstIndex: first },
    );
    snippets.set(encoded, first * encoder.dim);
  }
  return snippets;
}

/** How an encoder prepares images, as its description says it. */
interface Prepares {
  readonly preprocessing: Readonly<Record<string, unknown>>;
}

/** Side in pixels of an image whose pixels are those that an encoder sees, which may crop it first. */
export function sideOf({ preprocessing }: Prepares): number {
  const { size, crop = 1 } = preprocessing;
  return Math.round(Number(size) / Number(crop));
}

/**
 * Side in pixels at which images are read that a bank is asked about: that of the images that made it, or,
 * where it does not say, what suits its encoder.
 */
export function sideForBank({ imageSize }: EncoderRecords, encoder: Prepares): number {
  return imageSize ?? sideOf(encoder);
}
