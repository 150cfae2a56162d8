/**
 * An evaluation: what is taken of which images, and what is compared with what.
 *
 * @module
 */

import { type Encoder, requireEncoder } from "../bank/encoders/encoder.ts";
import type { LabelledImages } from "../bank/image_source.ts";
import type { Device } from "../kernels/core/device.ts";
import { type CopySearch, searchCopies } from "./copy_search.ts";
import { extract, type Extracted, type InceptionExtract } from "./extract.ts";
import { type ImageStream, requireOneSize, streamOf } from "./image_stream.ts";
import type { Inception } from "./inception.ts";
import { compareInception } from "./inception_comparison.ts";
import { compareFeatures } from "./measure.ts";
import { findUnlike, openBankOf, readSnippets, type ReferenceSet } from "./reference_set.ts";
import type { EvaluationReport } from "./report.ts";
import { inPercent, type Reporter } from "./reporter.ts";
import type { SampleSet } from "./sample_set.ts";

/** Samples that are compared with training images, at most. */
const MOST_COMPARED = 10_000;

/** What {@linkcode evaluateSamples} measures, and with what. */
export interface EvaluateOptions {
  /** One or more sets of samples, each measured by itself. */
  readonly samples: readonly SampleSet[];
  /** What they are measured against. */
  readonly reference: ReferenceSet;
  /** Loads the training images, which stand in where the reference has none. */
  readonly training: () => Promise<LabelledImages>;
  /** The bank of the run, which may have the training images' features; undefined without one. */
  readonly trainingBank: string | undefined;
  /** Gives the features that are compared. */
  readonly encoder: Encoder;
  /** The Inception network; undefined where it is not wanted. */
  readonly inception: Inception | undefined;
  /** Search for copies of training images as well, which `requireSearchable` takes. */
  readonly copies: boolean;
  /** The `.npz` file to write the samples to; undefined for none. */
  readonly out: string | undefined;
  /** Resamples behind the intervals. */
  readonly resamples: number;
  /** Seed of everything random. */
  readonly seed: number;
  /** Takes the products of distances, where there are many. */
  readonly device: Device;
  /** Is told how far it is, and warned of what the numbers do not say. */
  readonly reporter: Reporter;
}

/** What {@linkcode evaluateSamples} finds of one set of samples. */
export interface Evaluated extends Pick<EvaluationReport, "encoder" | "inception"> {
  /** Searches for copies, when what was measured is safe; undefined where that was not asked for. */
  readonly searchCopies: (() => Promise<CopySearch>) | undefined;
}

/** What is known of the reference before samples are drawn. */
interface MeasuredReference {
  /** Features of the encoder [N, d]. */
  readonly features: Float32Array;
  /** These features are those of the training images. */
  readonly areTraining: boolean;
  /** What Inception makes of its images; undefined where statistics alone are known. */
  readonly inception: InceptionExtract | undefined;
}

/**
 * Measures each set of samples against a reference in the encoder's space, and in that of Inception if
 * there is the network, and searches for copies if that is asked for and called. The reference is measured
 * once.
 *
 * Throws a TypeError if another encoder made the reference's snippets, a RangeError if sizes of images
 * differ, and what the parts throw; of several sets of samples the message names the one.
 */
export async function* evaluateSamples(options: EvaluateOptions): AsyncGenerator<Evaluated> {
  const { reference: { bank }, encoder, samples, reporter } = options;
  if (bank) requireEncoder(encoder.description, bank);
  const reference = await measureReference(options);
  for (const [i, set] of samples.entries()) {
    if (samples.length > 1) {
      reporter.note(`drawing    ${set.source}, ${set.sampler}: ${i + 1} of ${samples.length}`);
    }
    yield await evaluateSet(set, { ...options, measured: reference }).catch((error) => {
      throw samples.length > 1 ? namedAfter(set, error) : error;
    });
  }
}

/** An error of its class that also says which of several sets of samples it is about. */
function namedAfter({ source, sampler }: SampleSet, error: unknown): unknown {
  // Of some errors of the platform the message cannot be set.
  if (error instanceof Error && Object.hasOwn(error, "message")) {
    error.message = `Cannot measure samples of ${source}, ${sampler}: ${error.message}`;
  }
  return error;
}

/** Takes of the reference what all sets of samples are compared with. */
async function measureReference(options: EvaluateOptions): Promise<MeasuredReference> {
  const { samples, reference, encoder, inception, reporter } = options;
  const { bank, pool } = reference;
  // Statistics say nothing of this encoder, and a bank nothing of Inception.
  const needsImages = bank === undefined || (inception !== undefined && pool === undefined);
  const fallback = reference.images === undefined && needsImages
    ? await options.training()
    : undefined;
  const images = reference.images ?? (fallback && streamOf(fallback));
  const areTraining = !bank && (reference.isTraining || fallback !== undefined);
  const unlike = bank && findUnlike(bank, samples[0]!.stream.imageSize);
  if (unlike !== undefined) reporter.warn(unlike);
  if (images !== undefined) {
    for (const set of samples) requireOneSize(set, { stream: images, source: reference.asked });
  }
  using ownBank = areTraining && options.trainingBank !== undefined
    ? openBankOf(await options.training(), { path: options.trainingBank, encoder })
    : undefined;
  const snippets = bank ?? ownBank;
  const withInception = inception !== undefined &&
    (pool === undefined || reference.images !== undefined);
  const measured = snippets !== undefined && !withInception ? undefined : await extract(images!, {
    encoder: snippets === undefined ? encoder : undefined,
    inception: withInception ? inception : undefined,
    label: "reference",
    reporter,
  });
  return {
    features: snippets ? await readSnippets(snippets) : measured!.features!,
    areTraining,
    inception: measured?.inception,
  };
}

async function evaluateSet(
  samples: SampleSet,
  options: EvaluateOptions & { readonly measured: MeasuredReference },
): Promise<Evaluated> {
  const { reference, measured, encoder, inception, device, seed, reporter } = options;
  const drawn = await extract(samples.stream, {
    encoder,
    inception,
    kept: options.copies ? MOST_COMPARED : 0,
    out: options.out,
    label: samples.sampler === undefined ? "samples" : "drawing",
    reporter,
  });
  const comparison = await inPercent(
    (onProgress) =>
      compareFeatures({ samples: drawn.features!, reference: measured.features }, {
        dim: encoder.dim,
        device,
        seed,
        resamples: options.resamples,
        onProgress,
      }),
    { label: "measuring  encoder features, in percent", reporter },
  );
  const inceptionReport = inception && await compareInception({
    samples: drawn.inception!,
    images: measured.inception,
    reference,
  }, { fingerprint: inception.fingerprint, device, seed, reporter });
  const { kind, fingerprint } = encoder.description;
  const source = reference.bank || reference.images ? reference.source : "the training images";
  return {
    encoder: { ...comparison, kind, fingerprint, source },
    inception: inceptionReport,
    searchCopies: options.copies
      ? () =>
        copiesAmong(drawn, {
          ...options,
          stream: samples.stream,
          known: measured.areTraining ? measured.features : undefined,
        })
      : undefined,
  };
}

async function copiesAmong(
  drawn: Extracted,
  options: EvaluateOptions & {
    /** The samples. */
    readonly stream: ImageStream;
    /** Features of the training images, where they are known. */
    readonly known: Float32Array | undefined;
  },
): Promise<CopySearch> {
  const { stream, encoder, known, device, seed, reporter } = options;
  const training = await options.training();
  const images = streamOf(training);
  const features = known ??
    (await extract(images, { encoder, label: "training", reporter })).features!;
  const kept = drawn.pixels.length / (stream.channels * stream.imageSize ** 2);
  return await searchCopies({
    samples: {
      channels: stream.channels,
      pixels: drawn.pixels,
      features: drawn.features!.subarray(0, kept * encoder.dim),
    },
    training: { images: training, features },
  }, { dim: encoder.dim, seed, device, reporter });
}
