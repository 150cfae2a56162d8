/**
 * How near samples are to the data in the course of a run.
 *
 * @module
 */

import type { Encoder } from "../bank/encoders/encoder.ts";
import { fitAtMost } from "../bank/encoders/pixel_pca.ts";
import { type ImageSource, subsetOf } from "../bank/image_source.ts";
import { spreadIndices } from "../bank/select_rows.ts";
import { FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import { throughBytes } from "../evaluate/image_stream.ts";
import type { Viewer } from "../sample/viewer.ts";
import type { Config } from "./config.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { decodeLatents } from "./decoded_latents.ts";
import { drawSpread } from "./draw_spread.ts";
import { encodeSpread, MOST_REFERENCES } from "./features.ts";
import type { Run } from "./run.ts";

/** Samples of a measurement: few, of few steps, which cost as much as a dozen steps of the default run. */
export const SAMPLES = 128;
const STEPS = 5;

/** What a log line says of a measurement, beside the loss. */
export type DistanceRecord = {
  /** Fréchet distance of the samples to the training images, in the encoder's space. */
  readonly frechet: number;
  /** That of as many held-out images; left out where there are too few. */
  readonly frechetHeldOut?: number;
};

/** Latents that are decoded for it, at most: SD-VAE's decoder takes 0.6 TFLOP for 256 × 256 pixels by its layers. */
const MOST_DECODED = 1000;

/** What samples are encoded by, and what they are compared with. */
interface Measuring {
  /** Encodes the images of samples. */
  readonly encoder: Encoder;
  /** Whether the encoder was made for this alone. */
  readonly owned: boolean;
  /** Features of the training images [N, d]. */
  readonly reference: Float32Array;
  /** Held-out images; undefined where there are none. */
  readonly heldOut: ImageSource | undefined;
}

/** Options of {@linkcode SampleDistance.prepare}. */
export interface SampleDistanceOptions {
  /** What is trained. */
  readonly run: Run;
  /** Its configuration. */
  readonly config: Config;
  /** Images, or latents on the scale of training, that training never sees. */
  readonly heldOut: ImageSource | LatentShards | undefined;
  /** Shows samples; undefined for latents without a decoder. */
  readonly viewer: Viewer | undefined;
  /** Called with the number of latents decoded or training images encoded, and of those to be. */
  readonly onPrepared?: ((done: number, total: number) => void) | undefined;
}

/**
 * Measures the Fréchet distance of a few samples to the training images: in the space of the bank's
 * encoder, or where there is none, with labels or latents, in that of a `pixel_pca` that is fitted to
 * the training images, or to up to 1,000 decoded training latents. The samples are always of the same
 * snippets or labels and noise, drawn by Heun in five steps, so the curve of a run falls for no other
 * reason than training; the bias of so small a set is in all of it.
 */
export class SampleDistance implements Disposable {
  readonly #options: SampleDistanceOptions & { readonly viewer: Viewer };
  readonly #measuring: Measuring;
  readonly #reference: FrechetReference;
  readonly #heldOut: number | undefined;

  private constructor(
    options: SampleDistanceOptions & { readonly viewer: Viewer },
    { measuring, heldOut }: {
      readonly measuring: Measuring;
      /** Features of held-out images; undefined where there are too few. */
      readonly heldOut: Float32Array | undefined;
    },
  ) {
    const { dim } = measuring.encoder;
    this.#options = options;
    this.#measuring = measuring;
    this.#reference = new FrechetReference(new GaussianStatistics(dim).add(measuring.reference));
    this.#heldOut = heldOut && this.#reference.distancesTo(heldOut)();
  }

  /**
   * Takes or makes features of the training images, and encodes held-out images. Undefined where nothing
   * can be measured: of latents without their decoder, or of one image.
   *
   * Throws what decoding and `PixelPca.fit` throw.
   */
  static async prepare(options: SampleDistanceOptions): Promise<SampleDistance | undefined> {
    const { run: { dataset }, viewer } = options;
    if (!viewer || dataset.size < 2) return undefined;
    const measuring = await measuringOf({ ...options, viewer });
    using opened = new DisposableStack();
    if (measuring.owned) opened.use(measuring.encoder);
    const count = Math.min(measuring.heldOut?.size ?? 0, SAMPLES, dataset.size);
    // A covariance takes two images.
    const heldOut = measuring.heldOut && count > 1
      ? await encodeSpread(measuring.encoder, measuring.heldOut, count)
      : undefined;
    const distance = new SampleDistance({ ...options, viewer }, { measuring, heldOut });
    opened.move();
    return distance;
  }

  /**
   * Draws samples with the averaged weights and measures them, as bytes. Waits for the GPU.
   *
   * Throws what drawing and decoding throw, and a RangeError that names the first sample with a value that
   * is not finite.
   */
  async measure(): Promise<DistanceRecord> {
    const { run, config, viewer } = this.#options, { encoder } = this.#measuring;
    const { channels, imageSize: size } = viewer;
    const count = Math.min(SAMPLES, run.dataset.size);
    const sample = { ...config.sample, sampler: "heun", steps: STEPS } as const;
    const { images } = await drawSpread(run, { count, config, sample });
    const seen = throughBytes(await viewer.view(images), { first: 0, count, what: "sample" });
    const encoded = await encoder.encode(seen, { count, channels, height: size, width: size });
    return {
      frechet: this.#reference.distancesTo(encoded)(),
      ...(this.#heldOut !== undefined && { frechetHeldOut: this.#heldOut }),
    };
  }

  /** Releases the encoder where it was made for this. */
  [Symbol.dispose](): void {
    const { encoder, owned } = this.#measuring;
    if (owned) encoder[Symbol.dispose]();
  }
}

async function measuringOf(
  options: SampleDistanceOptions & { readonly viewer: Viewer },
): Promise<Measuring> {
  const { run: { dataset, encoder, trainingFeatures }, heldOut, viewer, onPrepared } = options;
  if (dataset instanceof LatentShards) {
    const decoded = { viewer, most: MOST_DECODED, onProgress: onPrepared };
    return await fitted(await decodeLatents(dataset, decoded), {
      ...options,
      heldOut: heldOut instanceof LatentShards
        ? await decodeLatents(heldOut, { viewer, most: SAMPLES })
        : heldOut,
    });
  }
  const unseen = heldOut instanceof LatentShards ? undefined : heldOut;
  if (!encoder || !trainingFeatures) {
    const count = Math.min(dataset.size, MOST_REFERENCES);
    const images = subsetOf(dataset, spreadIndices(count, dataset.size));
    return await fitted(images, { ...options, heldOut: unseen });
  }
  const reference = await trainingFeatures(onPrepared);
  return { encoder, owned: false, reference, heldOut: unseen };
}

/** By an encoder fitted to the images themselves. */
async function fitted(
  images: ImageSource,
  { run: { device }, config, heldOut }: Pick<SampleDistanceOptions, "run" | "config"> & {
    readonly heldOut: ImageSource | undefined;
  },
): Promise<Measuring> {
  const { dim, resolution, whiten } = config.bank;
  const encoder = await fitAtMost(device, { images, dim, resolution, whiten });
  const reference = await encodeSpread(encoder, images, images.size);
  return { encoder, owned: true, reference, heldOut };
}
