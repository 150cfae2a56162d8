/**
 * How near samples are to the data in the course of a run.
 *
 * @module
 */

import type { Bank } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { PixelPca } from "../bank/encoders/pixel_pca.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import type { Viewer } from "../sample/viewer.ts";
import type { Config } from "./config.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { decodeLatents } from "./decoded_latents.ts";
import { drawSpread, encodeSpread, spread } from "./report.ts";
import type { Run } from "./run.ts";

/** Samples of a measurement: few, of few steps, which cost as much as a dozen steps of the default run. */
export const SAMPLES = 128;
const STEPS = 5;

/** Snippets of training images that samples are measured against, at most. */
const MOST_REFERENCES = 10_000;

/** What a log line says of a measurement, beside the loss. */
export type EvaluationRecord = {
  /** Fréchet distance of the samples to the training images, in the encoder's space. */
  readonly frechet: number;
  /** That of as many held-out images; left out where there are too few. */
  readonly frechetHeldOut?: number;
};

/** Latents that are decoded for it, at most: SD-VAE's decoder takes 0.6 TFLOP for 256 × 256 pixels. */
const MOST_DECODED = 1000;

/** What samples are measured with, and what with. */
interface Measuring {
  /** Encodes the images of samples. */
  readonly encoder: Encoder;
  /** Features of the training images [N, d]. */
  readonly reference: Float32Array;
  /** Held-out images; undefined where there are none. */
  readonly heldOut: ImageSource | undefined;
}

/** Options of {@linkcode Evaluation.prepare}. */
export interface EvaluationOptions {
  /** What is trained. */
  readonly run: Run;
  /** Its configuration. */
  readonly config: Config;
  /** Images, or latents on the scale of training, that training never sees. */
  readonly heldOut: ImageSource | LatentShards | undefined;
  /** Shows samples; undefined for latents without a decoder. */
  readonly viewer: Viewer | undefined;
  /** Called with the number of latents decoded, and of those to decode. */
  readonly onDecoded?: (done: number, total: number) => void;
}

/**
 * Measures the Fréchet distance of a few samples to the training images: in the space of the bank's
 * encoder, or for latents between decoded images in the space of a `pixel_pca` that is fitted to those
 * of up to 1,000 training latents. The samples are always of the same snippets and noise, drawn by Heun
 * in five steps, so the curve of a run falls for no other reason than training; the bias of so small a
 * set is in all of it.
 */
export class Evaluation {
  readonly #run: Run & { readonly bank: Bank };
  readonly #viewer: Viewer;
  readonly #encoder: Encoder;
  readonly #config: Config;
  readonly #reference: FrechetReference;
  readonly #heldOut: number | undefined;

  private constructor(options: {
    run: Run & { readonly bank: Bank };
    viewer: Viewer;
    encoder: Encoder;
    config: Config;
    reference: FrechetReference;
    heldOut: number | undefined;
  }) {
    this.#run = options.run;
    this.#viewer = options.viewer;
    this.#encoder = options.encoder;
    this.#config = options.config;
    this.#reference = options.reference;
    this.#heldOut = options.heldOut;
  }

  /**
   * Takes the snippets of the training images from the bank, or decodes latents and encodes them, and
   * encodes held-out images. Undefined where nothing can be measured: with label conditioning, without the
   * encoder of the bank, or of latents without their decoder.
   *
   * Throws what decoding and `PixelPca.fit` throw.
   */
  static async prepare(options: EvaluationOptions): Promise<Evaluation | undefined> {
    const { run, config, viewer } = options, { bank, dataset } = run;
    if (!bank || !viewer || bank.size < 2) return undefined;
    const measuring = dataset instanceof LatentShards
      ? await measureDecoded({ ...options, dataset, viewer })
      : await measureSnippets({ ...options, bank });
    if (measuring === undefined) return undefined;
    const { encoder, heldOut } = measuring, { dim } = encoder;
    const reference = new FrechetReference(new GaussianStatistics(dim).add(measuring.reference));
    const count = Math.min(heldOut?.size ?? 0, SAMPLES, bank.size);
    // A covariance takes two images.
    const unseen = heldOut && count > 1
      ? new GaussianStatistics(dim).add(await encodeSpread(encoder, heldOut, count))
      : undefined;
    return new Evaluation({
      run: { ...run, bank },
      viewer,
      encoder,
      config,
      reference,
      heldOut: unseen && reference.distanceTo(unseen),
    });
  }

  /** Draws samples with the averaged weights and measures them. Waits for the GPU. */
  async measure(): Promise<EvaluationRecord> {
    const { bank } = this.#run, { channels, imageSize: size } = this.#viewer;
    const count = Math.min(SAMPLES, bank.size);
    const { images } = await drawSpread(this.#run, {
      count,
      config: this.#config,
      sample: { ...this.#config.sample, sampler: "heun", steps: STEPS },
    });
    const encoded = await this.#encoder.encode(await this.#viewer.view(images), {
      count,
      channels,
      height: size,
      width: size,
    });
    return {
      frechet: this.#reference.distanceTo(new GaussianStatistics(this.#encoder.dim).add(encoded)),
      ...(this.#heldOut !== undefined && { frechetHeldOut: this.#heldOut }),
    };
  }
}

/** By the bank's encoder, whose snippets of the training images are there; undefined without it. */
async function measureSnippets(
  { run: { device, encoder }, bank, heldOut }: EvaluationOptions & { readonly bank: Bank },
): Promise<Measuring | undefined> {
  if (encoder === undefined) return undefined;
  const indices = spread(Math.min(bank.size, MOST_REFERENCES), bank.size);
  using rows = device.unscoped(() => bank.gather(indices));
  return { encoder, reference: await rows.read(), heldOut };
}

/** By an encoder fitted to decoded latents: that of the bank is not known. */
async function measureDecoded(
  options: EvaluationOptions & { readonly dataset: LatentShards; readonly viewer: Viewer },
): Promise<Measuring> {
  const { run: { device }, config, dataset, heldOut, viewer, onDecoded } = options;
  const images = await decodeLatents(dataset, {
    viewer,
    most: MOST_DECODED,
    onProgress: onDecoded,
  });
  const { dim, resolution, whiten } = config.bank;
  const encoder = await PixelPca.fit({
    device,
    images,
    dim: Math.min(dim, images.size - 1, images.channels * resolution ** 2),
    resolution,
    whiten,
  });
  return {
    encoder,
    reference: await encodeSpread(encoder, images, images.size),
    heldOut: heldOut instanceof LatentShards
      ? await decodeLatents(heldOut, { viewer, most: SAMPLES })
      : heldOut,
  };
}
