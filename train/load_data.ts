/**
 * The images that a `data` section means. Only programs import this: it reaches the decoder of
 * image files, which the library must not.
 *
 * @module
 */

import type { Places } from "../bank/make.ts";
import type { DataConfig } from "./config.ts";
import { loadCifar10 } from "./datasets/cifar10.ts";
import { loadEmoji } from "./datasets/emoji.ts";
import { ImageSet } from "./datasets/image_set.ts";
import { loadMnist } from "./datasets/mnist.ts";

/** Images to train on and images kept apart. */
export interface LoadedData {
  /** The images to train on. */
  readonly train: ImageSet;
  /** Images that training never sees; undefined when none are held out. */
  readonly heldOut: ImageSet | undefined;
  /** Which of all images those to train on are, for files that have something for each of all. */
  readonly places: Places;
}

/**
 * Loads the images of a configuration and splits off the held-out ones. `note` gets a line for each
 * thing that a person should know, such as files that were skipped.
 */
export async function loadData(
  config: DataConfig,
  options: { seed: number; note: (line: string) => void },
): Promise<LoadedData> {
  const all = await loadImages(config, options.note);
  if (all.imageSize !== config.imageSize || all.channels !== config.channels) {
    throw new RangeError(
      `Cannot use data.kind ${config.kind}: its images are ${all.imageSize} × ${all.imageSize} with ` +
        `${all.channels} channels, expected data.imageSize ${config.imageSize} and data.channels ` +
        `${config.channels}`,
    );
  }
  const heldOut = config.heldOut < 1 ? Math.round(all.size * config.heldOut) : config.heldOut;
  const split = { heldOut, seed: options.seed };
  const numbers = numbered(all.size);
  return {
    ...(heldOut === 0 ? { train: all, heldOut: undefined } : all.split(split)),
    places: {
      indices: Uint32Array.from(
        (heldOut === 0 ? numbers : numbers.split(split).train).names,
        Number,
      ),
      of: all.size,
    },
  };
}

/** A set whose images are named by their numbers: a split of it says which images one of that size takes. */
function numbered(size: number): ImageSet {
  const names = Array.from({ length: size }, (_, i) => String(i));
  return new ImageSet({ imageSize: 1, channels: 1, pixels: new Uint8Array(size), names });
}

async function loadImages(config: DataConfig, note: (line: string) => void): Promise<ImageSet> {
  const { kind, path, imageSize } = config;
  switch (kind) {
    case "emoji":
      return await loadEmoji({ imageSize });
    case "mnist":
      return await loadMnist(path!, imageSize === 28 || imageSize === 32 ? { imageSize } : {});
    case "cifar10":
      return await loadCifar10(path!);
    case "folder": {
      // Imported here alone, so that runs on other data need no native image decoder.
      const { loadImageFolder } = await import("./datasets/image_folder.ts");
      const { images, skipped } = await loadImageFolder(path!, { imageSize });
      for (const { name, reason } of skipped) note(`skipped ${name}: ${reason}`);
      if (skipped.length > 0) note(`skipped ${skipped.length} files, kept ${images.size}`);
      return images;
    }
  }
}
