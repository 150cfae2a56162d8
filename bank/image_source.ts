/**
 * Images that a bank is built from, wherever they come from.
 *
 * @module
 */

import type { ImageRecords } from "./bank.ts";

/** N square images of one size, read in batches. `ImageSet` is one. */
export interface ImageSource extends ImageRecords {
  /** Number of images N. */
  readonly size: number;
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image. */
  readonly channels: number;
  /** Reads a batch of images [n, C, H, W] with values in [−1, 1]. */
  read(indices: Uint32Array): Float32Array | Promise<Float32Array>;
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

/** Reads all images of a source in order, in batches. */
export async function* readInOrder(source: ImageSource): AsyncGenerator<SourceBatch> {
  for (let first = 0; first < source.size; first += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, source.size - first);
    const indices = Uint32Array.from({ length: count }, (_, i) => first + i);
    yield { first, count, images: await source.read(indices) };
  }
}
