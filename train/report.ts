/**
 * The numbers that show whether the snippets guide the model.
 *
 * @module
 */

import type { Bank } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { cosines } from "../bank/normalize.ts";
import { selectRows } from "../bank/select_rows.ts";
import { FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import { throughBytes } from "../evaluate/image_stream.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import type { Config } from "./config.ts";
import { drawSpread } from "./draw_spread.ts";
import { encodeSpread, gatherSpread, type TrainingFeatures } from "./features.ts";
import type { Run } from "./run.ts";

const SAMPLES = 256;

/** How well samples follow their snippets, and how far they are from the data. */
export interface ConditioningReport {
  /** Steps that were done. */
  readonly step: number;
  /** Number of samples behind the numbers. */
  readonly samples: number;
  /** Evaluations of the network for one sample. */
  readonly evaluations: number;
  /** Mean cosine between the encoding of a sample and the snippet that it was given. */
  readonly cosine: number;
  /** The same with the snippets shuffled among the samples: what chance gives. */
  readonly shuffledCosine: number;
  /** Fréchet distances to the training images in the encoder's space; 0 is best. */
  readonly frechet: {
    /** Of the samples. */
    readonly samples: number;
    /** Of Gaussian noise images: the distance before training. */
    readonly noise: number;
    /** Of real images that training did not see: as near as samples can be expected to come. */
    readonly heldOut: number | undefined;
    /** Of every second training image to the others: what two halves differ by chance. */
    readonly halves: number | undefined;
  };
}

/**
 * Draws samples for snippets spread over the bank and measures them, as bytes, with the bank's encoder,
 * against up to 10,000 training images.
 *
 * Throws what drawing throws, and a RangeError that names the first sample with a value that is not finite.
 */
export async function reportConditioning(
  options: Run & {
    bank: Bank;
    encoder: Encoder;
    trainingFeatures: TrainingFeatures;
    config: Config;
    heldOut: ImageSource | undefined;
    /** Called with the number of samples that are drawn, and of all. */
    onDrawn?: (done: number, total: number) => void;
  },
): Promise<ConditioningReport> {
  const { device, bank, encoder, trainer, trainingFeatures, dataset, config, heldOut, onDrawn } =
    options;
  const { channels, imageSize: size } = dataset;
  const count = Math.min(SAMPLES, bank.size);
  const shape = (n: number) => ({ count: n, channels, height: size, width: size });

  const { images, evaluations } = await drawSpread(options, {
    count,
    config,
    sample: config.sample,
    onProgress: onDrawn,
  });
  const snippets = await gatherSpread(device, bank, count);
  const encode = (values: Float32Array, what: string) =>
    encoder.encode(throughBytes(values, { first: 0, count, what }), shape(count));
  const encoded = await encode(images, "sample");
  const noise = new Random(config.sample.seed, Stream.Noise)
    .fillNormal(new Float32Array(images.length), { step: 0, sample: 0 });
  const real = await trainingFeatures();
  // A covariance takes two images.
  const unseen = heldOut && heldOut.size > 1 &&
    await encodeSpread(encoder, heldOut, Math.min(heldOut.size, count));
  const referenceTo = (vectors: Float32Array) =>
    new FrechetReference(new GaussianStatistics(bank.dim).add(vectors));
  const reference = referenceTo(real);
  const distance = (vectors: Float32Array) => reference.distancesTo(vectors)();
  const meanCosine = (offset: number) =>
    cosines(encoded, snippets, { dim: bank.dim, offset }).reduce((sum, each) => sum + each) / count;
  return {
    step: trainer.step,
    samples: count,
    evaluations,
    cosine: meanCosine(0),
    shuffledCosine: meanCosine(Math.floor(count / 2)),
    frechet: {
      samples: distance(encoded),
      noise: distance(await encode(noise, "noise image")),
      heldOut: unseen ? distance(unseen) : undefined,
      halves: bank.size < 4
        ? undefined
        : referenceTo(everySecond(real, { dim: bank.dim, first: 0 })).distancesTo(
          everySecond(real, { dim: bank.dim, first: 1 }),
        )(),
    },
  };
}

/** The report as lines for a person. */
export function describeReport(report: ConditioningReport): string[] {
  const { cosine, shuffledCosine, frechet: { samples, noise, heldOut, halves } } = report;
  const unseen = heldOut === undefined ? "" : `, held-out images ${heldOut.toFixed(4)}`;
  const chance = halves === undefined ? "" : `; one half of them to the other ${halves.toFixed(4)}`;
  return [
    `samples follow their snippets: cosine ${cosine.toFixed(3)}, ` +
    `shuffled ${shuffledCosine.toFixed(3)}`,
    `distance to the training images (encoder space): samples ${samples.toFixed(4)}, ` +
    `noise ${noise.toFixed(4)}${unseen}${chance}`,
  ];
}

/** The rows `first`, `first` + 2, … of vectors [n, dim]. */
function everySecond(
  vectors: Float32Array,
  { dim, first }: { dim: number; first: number },
): Float32Array {
  const rows = Math.ceil((vectors.length / dim - first) / 2);
  const indices = Uint32Array.from({ length: rows }, (_, i) => 2 * i + first);
  return selectRows(vectors, { indices, width: dim });
}
