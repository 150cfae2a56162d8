/**
 * A measure of samples that knows nothing of the encoder which makes the snippets.
 *
 * @module
 */

import { averageBlocks } from "../bank/pixels.ts";
import { type Laboratory, referenceTo } from "./laboratory.ts";
import type { Bootstrap, Estimate } from "./statistics.ts";

/** Side in pixels of the coarse images. */
const SIDE = 4;

/** Distances between images that are averaged to a few pixels. */
export interface CoarsePixels {
  /** What is compared, for tables. */
  readonly name: string;
  /** Fréchet distance of images [n, C, H, W] in [−1, 1] to the training images. */
  distanceOf(images: Float32Array, bootstrap: Bootstrap): Estimate;
}

/** The measure to the training images of a laboratory; settings of the bank do not change those. */
export function coarsePixels(laboratory: Laboratory): CoarsePixels {
  const { train } = laboratory, { imageSize } = train;
  const coarse = { imageSize, factor: imageSize / SIDE };
  const reference = referenceTo(
    averageBlocks(train.read(laboratory.spread(train.size)), coarse),
    SIDE ** 2 * train.channels,
  );
  return {
    name: `${SIDE} × ${SIDE} pixels`,
    distanceOf: (images, bootstrap) => bootstrap.frechet(averageBlocks(images, coarse), reference),
  };
}
