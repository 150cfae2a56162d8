/**
 * Banks from images.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { SnippetSet } from "./bank.ts";
import { BankWriter } from "./bank_writer.ts";
import { type Encoder, identityOf } from "./encoders/encoder.ts";
import { type ImageSource, readInOrder } from "./image_source.ts";
import { findSnippetProblem } from "./normalize.ts";
import { hashImages, PartFile, requireUnchanged } from "./part_file.ts";
import { recordsOfImages } from "./records.ts";

/** Raised when part files change their form, so that those of another are begun anew. */
const PART_FORMAT = 3;

/** Snippets that are copied at once from the part file. */
const COPIED_ROWS = 4096;

/** What is encoded, and by what. */
export interface EncodeImagesOptions {
  /** The images, and what is known of them. */
  readonly images: ImageSource;
  /** What makes a snippet of an image. */
  readonly encoder: Encoder;
  /** Called after each batch with the number of images encoded, and N. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What is encoded, by what, and where to. */
export interface BuildBankOptions extends EncodeImagesOptions {
  /** The bank file to write. */
  readonly out: string;
}

/**
 * Encodes all images of a source to a bank file, with one batch in memory at a time: snippet i is that
 * of image i. The file takes its name when it is complete; one that was there stays until then.
 *
 * Snippets are kept beside it in `OUT.part` as they are made. A build that was killed or failed goes on
 * from there when it is called again with the same encoder and the same images, by number, size and names;
 * with others it begins anew. The result is the same, bit for bit. The pixels of the first and of the
 * last image that were done are compared with what they were, by a hash.
 *
 * Throws what the encoder throws: a TypeError for images that it does not take, a RangeError that
 * names the image for one that has no direction. Throws a TypeError or a RangeError where the encoder
 * gives something else than a snippet of norm 1 for each image; and a CheckpointError if the disk
 * refuses, if another build of that file is under way, if `OUT.part` is a file of another kind, or if an image
 * has changed since the build that was killed.
 *
 * @example
 * ```ts
 * import { BankFile, buildBank, Device, ImageSet, PixelPca } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const images = new ImageSet({
 *   imageSize: 1, channels: 1, pixels: Uint8Array.of(0, 51, 255), names: ["a", "b", "c"],
 * });
 * using encoder = await PixelPca.fit(device, { images, dim: 1, resolution: 1 });
 * const folder = Deno.makeTempDirSync(), out = `${folder}/bank.safetensors`;
 * await buildBank({ images, encoder, out });
 * {
 *   using file = BankFile.open(out);
 *   console.log(file.names, file.rows(0, 3)); // [ "a", "b", "c" ] Float32Array(3) [ -1, -1, 1 ]
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function buildBank(options: BuildBankOptions): Promise<void> {
  const { out, images } = options;
  const records = describe(options);
  using part = PartFile.open(`${out}.part`, {
    key: JSON.stringify([
      PART_FORMAT,
      identityOf(options.encoder.description),
      images.size,
      images.imageSize,
      images.names ?? [],
    ]),
    dim: records.dim,
  });
  await requireUnchanged(part, { images, path: out });
  try {
    for await (const { rows, marks } of encodeInOrder(options, part.rows)) {
      part.append(rows, marks());
    }
  } catch (error) {
    if (part.rows === 0) part.remove();
    throw error;
  }
  using writer = new BankWriter(out, { ...records, size: images.size, shard: images.shard });
  for (let first = 0; first < images.size; first += COPIED_ROWS) {
    writer.append(part.read(first, Math.min(COPIED_ROWS, images.size - first)));
  }
  writer.commit();
  part.remove();
}

/**
 * Encodes all images of a source to snippets [N, d] in memory: snippet i is that of image i.
 *
 * Throws what the encoder throws, as {@linkcode buildBank} does.
 *
 * @example
 * ```ts
 * import { Device, encodeImages, ImageSet, PixelPca } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const images = new ImageSet({
 *   imageSize: 1, channels: 1, pixels: Uint8Array.of(0, 51, 255), names: ["a", "b", "c"],
 * });
 * using encoder = await PixelPca.fit(device, { images, dim: 1, resolution: 1 });
 * const { snippets } = await encodeImages({ images, encoder });
 * console.log(snippets); // Float32Array(3) [ -1, -1, 1 ]
 * ```
 */
export async function encodeImages(options: EncodeImagesOptions): Promise<SnippetSet> {
  const records = describe(options);
  const snippets = new Float32Array(options.images.size * records.dim);
  let written = 0;
  for await (const { rows } of encodeInOrder(options, 0)) {
    snippets.set(rows, written);
    written += rows.length;
  }
  return { ...records, snippets };
}

/** Snippets of a batch of images. */
interface EncodedBatch {
  /** Snippets [n, d]. */
  readonly rows: Float32Array;
  /** Returns the hashes [n] of the images' pixels. */
  marks(): Uint32Array;
}

async function* encodeInOrder(
  options: EncodeImagesOptions,
  start: number,
): AsyncGenerator<EncodedBatch> {
  const { images: source, encoder, onProgress } = options;
  const { channels, imageSize } = source;
  for await (const { first, count, images } of readInOrder(source, start)) {
    const shape = { count, channels, height: imageSize, width: imageSize, firstIndex: first };
    const rows = await encoder.encode(images, shape);
    requireSnippets(rows, { ...shape, dim: encoder.dim });
    yield { rows, marks: () => hashImages(images, count) };
    onProgress?.(first + count, source.size);
  }
}

/** Throws unless an encoder gave a snippet for each image of a batch. */
function requireSnippets(
  rows: Float32Array,
  batch: { count: number; firstIndex: number; dim: number },
): void {
  const { count, dim, firstIndex } = batch;
  if (rows.length !== count * dim) {
    throw new TypeError(
      `Cannot encode images ${firstIndex} to ${firstIndex + count - 1}: the encoder gave ` +
        `${counted(rows.length, "number")}, expected ${counted(count, "snippet")} of ${dim}`,
    );
  }
  const problem = findSnippetProblem(rows, { dim, firstIndex });
  if (problem) throw new RangeError(`Cannot encode images: ${problem}`);
}

/** Everything beside the snippets. */
function describe({ images, encoder }: EncodeImagesOptions): Omit<SnippetSet, "snippets"> {
  return {
    ...recordsOfImages(images),
    dim: encoder.dim,
    encoder: encoder.description,
    encoderWeights: encoder.weights,
    imageSize: images.imageSize,
  };
}
