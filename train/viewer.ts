/**
 * What samples of a model look like. Only programs import this: it reaches the library that runs ONNX
 * networks, which the library's entry points must not.
 *
 * @module
 */

import type { DataConfig } from "./config.ts";
import { unscaleLatents } from "./datasets/latent_scaling.ts";
import { latentScaling } from "./run.ts";

/** Makes images of what a model is trained on and makes: pixels as they are, or decoded latents. */
export interface Viewer extends Disposable {
  /** Channels of an image (c): 1 is grey, 3 is colour. */
  readonly channels: 1 | 3;
  /** Height and width of an image (S). */
  readonly imageSize: number;
  /** The images [n, c, S, S] in about [−1, 1] of samples or training data [n, C, H, W]. */
  view(samples: Float32Array): Promise<Float32Array>;
}

/**
 * Opens what shows the data of a configuration, of latents the decoder that it names; undefined for
 * latents without one. `runDirectory` holds the statistics that a run scales latents by.
 *
 * Throws what `OnnxDecoder.open` throws, and a CheckpointError if the statistics cannot be read.
 */
export async function openViewer(
  data: DataConfig,
  runDirectory: string,
): Promise<Viewer | undefined> {
  const { kind, channels, imageSize, decoder: path } = data;
  if (kind !== "latents") {
    return {
      channels: channels as 1 | 3,
      imageSize,
      view: (samples) => Promise.resolve(samples),
      [Symbol.dispose]: () => {},
    };
  }
  if (path === null) return undefined;
  const scaling = latentScaling(data, runDirectory);
  // Imported here alone, so that other data need no native library.
  const { OnnxDecoder } = await import("./onnx_decoder.ts");
  const decoder = await OnnxDecoder.open(path, { channels, imageSize });
  return {
    channels: decoder.channels,
    imageSize: decoder.imageSize,
    view(samples) {
      const latents = samples.slice();
      unscaleLatents(latents, scaling, imageSize ** 2);
      return decoder.decode(latents);
    },
    [Symbol.dispose]: () => decoder[Symbol.dispose](),
  };
}
