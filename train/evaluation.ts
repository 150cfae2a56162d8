/**
 * How near samples are to the data in the course of a run.
 *
 * @module
 */

import type { Bank } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import type { Config } from "./config.ts";
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

/**
 * Measures the Fréchet distance of a few samples to the training images in the space of the bank's
 * encoder. The samples are always of the same snippets and noise, drawn by Heun in five steps, so the
 * curve of a run falls for no other reason than training; the bias of so small a set is in all of it.
 */
export class Evaluation {
  readonly #run: Run & { readonly bank: Bank };
  readonly #encoder: Encoder;
  readonly #config: Config;
  readonly #reference: FrechetReference;
  readonly #heldOut: number | undefined;

  private constructor(options: {
    run: Run & { readonly bank: Bank };
    encoder: Encoder;
    config: Config;
    reference: FrechetReference;
    heldOut: number | undefined;
  }) {
    this.#run = options.run;
    this.#encoder = options.encoder;
    this.#config = options.config;
    this.#reference = options.reference;
    this.#heldOut = options.heldOut;
  }

  /**
   * Takes the snippets of the training images from the bank, and encodes held-out images. Undefined
   * where nothing can be measured: with label conditioning, without the encoder of the bank, or of
   * latents, which no encoder takes.
   */
  static async prepare(
    { run, config, heldOut }: { run: Run; config: Config; heldOut: ImageSource | undefined },
  ): Promise<Evaluation | undefined> {
    const { bank, encoder, device } = run;
    if (!bank || !encoder || bank.size < 2) return undefined;
    const indices = spread(Math.min(bank.size, MOST_REFERENCES), bank.size);
    using rows = device.unscoped(() => bank.gather(indices));
    const reference = new FrechetReference(new GaussianStatistics(bank.dim).add(await rows.read()));
    const count = Math.min(heldOut?.size ?? 0, SAMPLES, bank.size);
    // A covariance takes two images.
    const unseen = heldOut && count > 1
      ? new GaussianStatistics(bank.dim).add(await encodeSpread(encoder, heldOut, count))
      : undefined;
    return new Evaluation({
      run: { ...run, bank },
      encoder,
      config,
      reference,
      heldOut: unseen && reference.distanceTo(unseen),
    });
  }

  /** Draws samples with the averaged weights and measures them. Waits for the GPU. */
  async measure(): Promise<EvaluationRecord> {
    const { bank, dataset: { channels, imageSize: size } } = this.#run;
    const count = Math.min(SAMPLES, bank.size);
    const { images } = await drawSpread(this.#run, {
      count,
      config: this.#config,
      sample: { ...this.#config.sample, sampler: "heun", steps: STEPS },
    });
    const encoded = await this.#encoder.encode(images, {
      count,
      channels,
      height: size,
      width: size,
    });
    return {
      frechet: this.#reference.distanceTo(new GaussianStatistics(bank.dim).add(encoded)),
      ...(this.#heldOut !== undefined && { frechetHeldOut: this.#heldOut }),
    };
  }
}
