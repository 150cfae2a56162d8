/**
 * Samples to evaluate, with what is known of them: drawn from a model as they are asked for, or those
 * of a file.
 *
 * @module
 */

import { requireFiniteImages, toBytes } from "../bank/pixels.ts";
import { counted } from "../kernels/core/counted.ts";
import { resolveSample } from "../sample/config.ts";
import { type DrawAllOptions, drawBatches, MeanEvaluations } from "../sample/rows.ts";
import { SAMPLERS } from "../sample/samplers.ts";
import type { Viewer } from "../sample/viewer.ts";
import { type ByteBatch, type ImageStream, spreadOf } from "./image_stream.ts";

/** Samples and where they come from. */
export interface SampleSet {
  /** The images. */
  readonly stream: ImageStream;
  /** Checkpoint or file. */
  readonly source: string;
  /** The sampler that draws them; undefined where others have drawn them. */
  readonly sampler: string | undefined;
  /** Its steps; undefined where it chooses them, or where others have drawn the images. */
  readonly steps: number | undefined;
  /** Evaluations of the network for each (NFE), in the mean of those that are drawn; undefined before. */
  evaluations(): number | undefined;
}

/**
 * `count` samples of a file or folder, spread evenly over it, or all of them.
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
  const stream = spreadOf(images, count ?? images.size);
  return { stream, source, sampler: undefined, steps: undefined, evaluations: () => undefined };
}

/** Options of {@linkcode drawnSamples}. */
export interface DrawnSamplesOptions extends Omit<DrawAllOptions, "onProgress"> {
  /** The checkpoint of the model. */
  readonly source: string;
  /** Called before the first is drawn, to give the model that checkpoint's weights where it has others. */
  readonly prepare?: (() => void) | undefined;
  /** Makes images of what the model makes: of latents its decoder. */
  readonly viewer: Pick<Viewer, "channels" | "imageSize" | "view">;
}

/**
 * Samples that a model draws while they are measured, latents decoded.
 *
 * The stream throws what the samplers and the viewer throw, and a RangeError that names the first sample
 * with a value that is not finite.
 */
export function drawnSamples(options: DrawnSamplesOptions): SampleSet {
  const { source, viewer, prepare, ...drawing } = options, { count } = options;
  const { sampler, steps: asked } = resolveSample(options.config);
  const { channels, imageSize } = viewer;
  // The adaptive sampler has as many as it needs.
  const steps = SAMPLERS[sampler].kind === "adaptive" ? undefined : asked;
  let evaluations: MeanEvaluations | undefined;
  async function* batches(): AsyncGenerator<ByteBatch> {
    evaluations = new MeanEvaluations();
    prepare?.();
    for await (const batch of drawBatches(drawing)) {
      const { first, count } = batch;
      evaluations.add(count, batch.evaluations);
      const images = await viewer.view(batch.images);
      requireFiniteImages(images, { first, count, what: "sample" });
      yield { first, count, pixels: toBytes(images) };
    }
  }
  return {
    stream: { size: count, imageSize, channels, batches },
    source,
    sampler: steps === undefined ? sampler : `${sampler}, ${counted(steps, "step")}`,
    steps,
    evaluations: () => evaluations?.mean,
  };
}
