/**
 * Samples to evaluate, with what is known of them: drawn from a model as they are asked for, or those
 * of a file.
 *
 * @module
 */

import { type DrawAllOptions, drawBatches } from "../sample/rows.ts";
import { type ByteBatch, firstOf, type ImageStream, toBytes } from "./image_stream.ts";

/** Samples and where they come from. */
export interface SampleSet {
  /** The images. */
  readonly stream: ImageStream;
  /** Checkpoint or file. */
  readonly source: string;
  /** The sampler that draws them; undefined where others have drawn them. */
  readonly sampler: string | undefined;
  /** Evaluations of the network for each (NFE), known once some are drawn. */
  evaluations(): number | undefined;
}

/**
 * The first `count` samples of a file or folder, or all of them.
 *
 * Throws a TypeError if there are no images.
 */
export function storedSamples(
  images: ImageStream | undefined,
  options: { readonly source: string; readonly count: number | undefined },
): SampleSet {
  const { source, count } = options;
  if (images === undefined) {
    throw new TypeError(
      `Cannot take samples of ${source}: it has no arr_0, expected images in it`,
    );
  }
  const stream = firstOf(images, count ?? images.size);
  return { stream, source, sampler: undefined, evaluations: () => undefined };
}

/**
 * Samples that a model draws while they are measured.
 *
 * Throws a RangeError if the model does not draw images of one or three channels; the stream throws
 * what the samplers throw, and a RangeError that names the first sample with a value that is not finite.
 */
export function drawnSamples(
  options: Omit<DrawAllOptions, "onProgress"> & { readonly source: string },
): SampleSet {
  const { source, ...drawing } = options;
  const { count, config, model: { options: { channels, inputSize: imageSize } } } = options;
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(
      `Cannot measure samples of ${source}: they have ${channels} channels, expected images of 1 ` +
        "or 3, or the decoded images by --samples",
    );
  }
  let evaluations: number | undefined;
  async function* batches(): AsyncGenerator<ByteBatch> {
    for await (const batch of drawBatches(drawing)) {
      const { first, images } = batch;
      evaluations = batch.evaluations;
      const wrong = images.findIndex((value) => !Number.isFinite(value));
      if (wrong >= 0) {
        throw new RangeError(
          `Cannot measure sample ${first + Math.floor(wrong / (channels * imageSize ** 2))}: it ` +
            `holds ${images[wrong]}, expected finite numbers`,
        );
      }
      yield { first, count: batch.count, pixels: toBytes(images) };
    }
  }
  return {
    stream: { size: count, imageSize, channels, batches },
    source,
    sampler: `${config.sampler}, ${config.steps} steps`,
    evaluations: () => evaluations,
  };
}
