/**
 * Opens what shows samples of a model. Only programs import this: it reaches the library that runs ONNX
 * networks, which the library's entry points must not.
 *
 * @module
 */

import type { Viewer } from "../sample/viewer.ts";
import type { DataConfig } from "./config.ts";
import { unscaleLatents } from "./datasets/latent_scaling.ts";
import { latentScaling } from "./run.ts";

/**
 * Opens what shows the data of a configuration: images as they are, latents by the decoder that the
 * configuration names, which `providers` run as `ProviderOptions` says; undefined for latents without
 * one. `runDirectory` holds the statistics that a run scales latents by.
 *
 * Throws what `OnnxDecoder.open` throws, and a CheckpointError if the statistics cannot be read.
 */
export async function openViewer(
  data: DataConfig,
  runDirectory: string,
  options: { readonly providers?: readonly string[] } = {},
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
  const decoder = await OnnxDecoder.open(path, { channels, imageSize }, options);
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
