/**
 * Images that a bank is built from, wherever they come from.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { ImageRecords } from "./bank.ts";

/** N square images of one size, read in batches. `ImageSet` is one. */
export interface ImageSource extends ImageRecords {
  /** Number of images N. */
  readonly size: number;
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image. */
  readonly channels: number;
  /** Which part of a larger source it is; undefined for one that is whole. */
  readonly shard?: Shard | undefined;
  /** Reads a batch of images [n, C, H, W] with values in [−1, 1]. */
  read(indices: Uint32Array): Float32Array | Promise<Float32Array>;
}

/** Images that each have a name and a class. `ImageSet` is such a source. */
export interface LabelledImages extends ImageSource {
  /** Names of the images [N]. */
  readonly names: readonly string[];
  /** Class of each image [N], an index into {@linkcode classes}; all 0 without classes. */
  readonly labels: Uint32Array;
  /** Names of the classes; empty where the source has none. */
  readonly classes: readonly string[];
}

/** One of several equal parts, numbered from 1: of 10 images, shard 2 of 3 has those of 3, 4 and 5. */
export interface Shard {
  /** Which part, from 1 to {@linkcode Shard.count}. */
  readonly number: number;
  /** Number of parts. */
  readonly count: number;
}

/** The shard that a text such as `3/8` names; undefined where it names none. */
export function parseShard(text: string): Shard | undefined {
  const [number = 0, count = 0] = /^(\d+)\/(\d+)$/.exec(text)?.slice(1).map(Number) ?? [];
  return number >= 1 && number <= count ? { number, count } : undefined;
}

/**
 * The images of one shard, in order; all shards one after the other are the whole source. Classes
 * keep their numbers.
 *
 * Throws a RangeError unless the shard is one of 1 … count and has an image.
 *
 * @example
 * ```ts
 * import { loadEmoji, shardOf } from "@gmem/gmem";
 *
 * const images = await loadEmoji({ imageSize: 8 });
 * const second = shardOf(images, { number: 2, count: 2 });
 * console.log(images.size, second.size, second.shard); // 1906 953 { number: 2, count: 2 }
 * ```
 */
export function shardOf(source: ImageSource, shard: Shard): ImageSource {
  const { number, count } = shard;
  if (!Number.isInteger(count) || !Number.isInteger(number) || number < 1 || number > count) {
    throw new RangeError(
      `Cannot take shard ${number} of ${count}: expected whole numbers, the first from 1 to the second`,
    );
  }
  const begin = Math.floor((number - 1) * source.size / count);
  const end = Math.floor(number * source.size / count);
  if (begin === end) {
    throw new RangeError(
      `Cannot take shard ${number} of ${count}: the source has ${counted(source.size, "image")}, ` +
        "expected as many as shards",
    );
  }
  const indices = Uint32Array.from({ length: end - begin }, (_, i) => begin + i);
  return { ...subsetOf(source, indices), shard: { number, count } };
}

/**
 * The images of these indices [n] of a source, in their order, without a copy of them. Classes keep their
 * numbers.
 *
 * Throws a RangeError if the source does not have one of them.
 */
export function subsetOf(source: LabelledImages, indices: Uint32Array): LabelledImages;
export function subsetOf(source: ImageSource, indices: Uint32Array): ImageSource;
export function subsetOf(source: ImageSource, indices: Uint32Array): ImageSource {
  checkImageIndices(indices, source.size);
  const { imageSize, channels, names, labels, classes, texts } = source;
  const chosen = (all: readonly string[] | undefined) =>
    all && Array.from(indices, (index) => all[index]!);
  const labelOf = (index: number) => labels![index]!;
  return {
    size: indices.length,
    imageSize,
    channels,
    names: chosen(names),
    // Labels of 32 bits without sign have no −1, and are what trainers take.
    labels: labels instanceof Uint32Array
      ? indices.map(labelOf)
      : labels && Int32Array.from(indices, labelOf),
    classes,
    texts: chosen(texts),
    read(asked) {
      checkImageIndices(asked, indices.length);
      return source.read(asked.map((index) => indices[index]!));
    },
  };
}

/** Throws a RangeError that names the first of some indices that is not below the number of images. */
export function checkImageIndices(indices: Uint32Array, size: number): void {
  const wrong = indices.find((index) => index >= size);
  if (wrong === undefined) return;
  throw new RangeError(
    `Cannot read image ${wrong}: the source has ${counted(size, "image")}, ` +
      `expected an index from 0 to ${size - 1}`,
  );
}

/** A batch of images in the order of their source. */
export interface SourceBatch {
  /** Index of the first image. */
  readonly first: number;
  /** Number of images n. */
  readonly count: number;
  /** Images [n, C, H, W] with values in [−1, 1]. */
  readonly images: Float32Array;
}

/** Images that are read at once: enough to hide the wait for the GPU, and few megabytes. */
const BATCH_SIZE = 256;

/** Reads the images of a source in order, in batches, from the one of index `start` on. */
export async function* readInOrder(source: ImageSource, start = 0): AsyncGenerator<SourceBatch> {
  for (let first = start; first < source.size; first += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, source.size - first);
    const indices = Uint32Array.from({ length: count }, (_, i) => first + i);
    yield { first, count, images: await source.read(indices) };
  }
}
