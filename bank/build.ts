/**
 * Banks from images.
 *
 * @module
 */

import type { ImageRecords, SnippetSet } from "./bank.ts";
import type { Encoder } from "./encoders/encoder.ts";
import { BankWriter } from "./file.ts";
import { type ImageSource, readInOrder } from "./image_source.ts";

/** What is encoded, and by what. */
export interface EncodeOptions {
  /** The images, and what is known of them. */
  readonly images: ImageSource;
  /** What makes a snippet of an image. */
  readonly encoder: Encoder;
  /** Called after each batch with the number of images encoded, of N. */
  readonly onProgress?: (done: number) => void;
}

/** What is encoded, by what, and where to. */
export interface BuildOptions extends EncodeOptions {
  /** The bank file to write. */
  readonly path: string;
}

/**
 * Encodes all images of a source to a bank file, with one batch in memory at a time: snippet i is that
 * of image i. The file takes its name when it is complete; one that was there stays until then.
 *
 * Throws what the encoder throws: a TypeError for images that it does not take, a RangeError that
 * names the image for one that has no direction; and a CheckpointError if the disk refuses.
 *
 * @example
 * ```ts ignore
 * const images = await loadEmoji({ imageSize: 16 });
 * using encoder = await PixelPca.fit({ device, images, dim: 64, resolution: 16 });
 * await buildBank({ images, encoder, path: "bank.safetensors" });
 * using bank = loadBank(device, "bank.safetensors");
 * ```
 */
export async function buildBank(options: BuildOptions): Promise<void> {
  const { path, images } = options;
  using writer = new BankWriter(path, { ...recordsOf(options), size: images.size });
  for await (const rows of encodeInOrder(options)) writer.append(rows);
  writer.commit();
}

/**
 * Encodes all images of a source to snippets in memory: snippet i is that of image i.
 *
 * Throws what the encoder throws, as {@linkcode buildBank} does.
 */
export async function encodeImages(options: EncodeOptions): Promise<SnippetSet> {
  const records = recordsOf(options);
  const snippets = new Float32Array(options.images.size * records.dim);
  let written = 0;
  for await (const rows of encodeInOrder(options)) {
    snippets.set(rows, written);
    written += rows.length;
  }
  return { ...records, snippets };
}

async function* encodeInOrder(options: EncodeOptions): AsyncGenerator<Float32Array> {
  const { images: source, encoder, onProgress } = options;
  const { channels, imageSize } = source;
  for await (const { first, count, images } of readInOrder(source)) {
    const shape = { count, channels, height: imageSize, width: imageSize, firstIndex: first };
    yield await encoder.encode(images, shape);
    onProgress?.(first + count);
  }
}

/** Everything beside the snippets; labels without classes to name them mean nothing and are left out. */
function recordsOf(options: EncodeOptions): Omit<SnippetSet, "snippets"> {
  const { images, encoder } = options;
  const { names, labels, classes = [], texts } = images;
  const known: ImageRecords = {
    names,
    texts,
    classes,
    labels: classes.length > 0 ? labels : undefined,
  };
  return {
    ...known,
    dim: encoder.dim,
    encoder: encoder.description,
    encoderWeights: encoder.weights,
  };
}
