/**
 * Images of latents, to measure samples against.
 *
 * @module
 */

import { requireFiniteImages, toBytes } from "../bank/pixels.ts";
import { spreadIndices } from "../bank/select_rows.ts";
import type { Viewer } from "../sample/viewer.ts";
import { ImageSet } from "./datasets/image_set.ts";
import type { LatentShards } from "./datasets/latent_shards.ts";

/** Latents that are decoded at once: 50 MB of images of 256 × 256 pixels. */
const BATCH = 64;

/** Options of {@linkcode decodeLatents}. */
export interface DecodeLatentsOptions {
  /** Decodes them. */
  readonly viewer: Pick<Viewer, "channels" | "imageSize" | "view">;
  /** Latents to decode at most. */
  readonly most: number;
  /** Called after each batch with the number of latents decoded, and of those to decode. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * The images of latents on the scale of training, as bytes like those of samples: of more than `most`
 * latents those that are spread evenly. An image's name is the index of its latent. Memory: c·S·S bytes
 * an image, 197 KB for 256 × 256 pixels.
 *
 * Throws what reading and decoding throw, and a RangeError that names the first image with a value that
 * is not finite.
 */
export async function decodeLatents(
  latents: LatentShards,
  options: DecodeLatentsOptions,
): Promise<ImageSet> {
  const { viewer, most, onProgress } = options;
  const { channels, imageSize } = viewer;
  const count = Math.min(most, latents.size), indices = spreadIndices(count, latents.size);
  const pixels = new Uint8Array(count * channels * imageSize ** 2);
  for (let first = 0; first < count; first += BATCH) {
    const some = indices.subarray(first, first + BATCH);
    const images = await viewer.view(latents.read(some));
    requireFiniteImages(images, { first, count: some.length, what: "decoded latent" });
    pixels.set(toBytes(images), first * channels * imageSize ** 2);
    onProgress?.(first + some.length, count);
  }
  return new ImageSet({ imageSize, channels, pixels, names: Array.from(indices, String) });
}
