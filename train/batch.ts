/**
 * Reads the batches of a training run, and writes them into the tensors that a step starts from.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { formatShape, type Shape, type Tensor } from "../kernels/core/tensor.ts";
import { lossCoefficients } from "../model/interpolants/prediction.ts";
import { logitNormalTime, trainInterval, uniformTime } from "../model/interpolants/time.ts";
import { DataOrder } from "./data_order.ts";
import { mirrorRows } from "./mirror.ts";
import type { SettledOptions } from "./trainer.ts";

/** Images or latents to train on; {@linkcode ImageSet} and {@linkcode LatentShards} are such. */
export interface TrainingData {
  /** Number of images. */
  readonly size: number;
  /** Class of each image [N]; needed with label conditioning. */
  readonly labels?: Uint32Array | undefined;
  /**
   * Images [n, C, H, W] in [-1, 1]; a promise is awaited before the step is recorded. The next batch is
   * read while the GPU works on the last one.
   */
  read(indices: Uint32Array): Float32Array | Promise<Float32Array>;
  /**
   * As `read`, with the mirror images where `mirrored` [n] holds 1: for latents, which are not mirrored
   * by turning their rows round. Without it the trainer does that.
   */
  readMirrored?(
    indices: Uint32Array,
    mirrored: Uint8Array,
  ): Float32Array | Promise<Float32Array>;
  /** Tokens of an encoder for each image; needed for the alignment loss. */
  readonly tokens?: TokenData | undefined;
}

/** Tokens that an encoder made of the images, for the alignment loss (REPA). */
export interface TokenData {
  /** Tokens of an image (T), in the order of the network's patches. */
  readonly count: number;
  /** Channels of a token (Z). */
  readonly width: number;
  /**
   * Tokens [n, T, Z], of the mirror images where `mirrored` [n] holds 1; a promise is awaited before
   * the step is recorded.
   */
  read(indices: Uint32Array, mirrored?: Uint8Array): Float32Array | Promise<Float32Array>;
}

/** Vectors that guide the network, one for each image; a `Bank` of snippets is such. */
export interface TrainingSnippets {
  /** Number of vectors. */
  readonly size: number;
  /** Length of a vector (d). */
  readonly dim: number;
  /** The vectors [n, d] with the indices u32 [n], in the caller's scope. */
  gather(indices: Tensor): Tensor;
}

/** What is read of the data for a part of a batch. */
export interface BatchPart {
  /** Which images they are. */
  readonly indices: Uint32Array;
  /** The images, mirrored where a coin says so. */
  readonly images: Float32Array;
  /** Their tokens, mirrored by the same coin; where they are needed. */
  readonly tokens: Float32Array | undefined;
}

/** Where a part of a batch stands. */
interface BatchPlace {
  /** Steps before it, on which times and labels depend. */
  readonly step: number;
  /** Its first image in the batch. */
  readonly firstSample: number;
}

/** From where on batches take images that follow each other in their order. */
interface BatchStart {
  /** Steps before it. */
  readonly step: number;
  /** Images that those took. */
  readonly seen: number;
}

/** Those of a trainer's options that its batches depend on. */
type BatchOptions = Pick<
  SettledOptions,
  | "model"
  | "dataset"
  | "bank"
  | "alignmentWeight"
  | "batchSize"
  | "gradientAccumulation"
  | "seed"
  | "interpolant"
  | "prediction"
  | "weighting"
  | "timeDistribution"
  | "classDropout"
  | "flip"
>;

/** The tensors of n images, a part of a batch, that a step starts from, and what fills them. */
export class BatchInputs implements Disposable {
  /** The images [n, C, H, W]. */
  readonly images: Tensor;
  /** The times [n]. */
  readonly times: Tensor;
  /** Coefficients of data and noise in the input and in the target [n, 4]. */
  readonly coefficients: Tensor;
  /** Factors on the network's output in the loss [n]. */
  readonly scales: Tensor;
  /** Which snippet each image has, or its label where there is no bank: [n] of u32. */
  readonly condition: Tensor;
  /** Tokens of the encoder [n, T, Z]; one element where there is no alignment loss. */
  readonly tokens: Tensor;
  /** Where a run goes on: steps before may have had batches of another size. */
  start: BatchStart = { step: 0, seen: 0 };
  readonly #options: BatchOptions;
  readonly #order: DataOrder;
  readonly #held: DisposableStack;

  /** Takes memory for a part of a batch. */
  constructor(device: Device, options: BatchOptions) {
    const { model, dataset, seed, batchSize, gradientAccumulation } = options;
    this.#options = options;
    this.#order = new DataOrder({ size: dataset.size, seed });
    const { inputSize, channels } = model.options;
    const part = batchSize / gradientAccumulation;
    // Inputs have buffers of their own: a pooled one could still be read by recorded work.
    using opened = new DisposableStack();
    const empty: Device["empty"] = (...of) =>
      opened.use(device.unscoped(() => device.empty(...of)));
    this.images = empty([part, channels, inputSize, inputSize]);
    this.times = empty([part]);
    this.coefficients = empty([part, 4]);
    this.scales = empty([part]);
    this.condition = empty([part], { dtype: "u32" });
    this.tokens = empty(tokenShape(options, part));
    this.#held = opened.move();
  }

  /**
   * Reads the data of a part of a batch: of part i of step s, from 0, for the number s · parts + i.
   *
   * @throws {TypeError} when the data give another number of values, or one that is not finite.
   */
  async read(number: number): Promise<BatchPart> {
    const { dataset, flip, seed, alignmentWeight } = this.#options;
    const { batchSize, gradientAccumulation: parts } = this.#options;
    const step = Math.floor(number / parts), count = batchSize / parts;
    const firstSample = number % parts * count;
    const indices = this.#order.take(this.seenBefore(step) + firstSample, count);
    const mirrored = flip ? drawMirrored(count, { seed, step, firstSample }) : undefined;
    const tokens = alignmentWeight === undefined
      ? undefined
      : await dataset.tokens!.read(indices, mirrored);
    requireFinite(tokens, { indices, what: "tokens" });
    const read = mirrored && dataset.readMirrored
      ? await dataset.readMirrored(indices, mirrored)
      : await dataset.read(indices);
    const { shape, elements } = this.images;
    if (read.length !== elements) {
      throw new TypeError(
        `Cannot train: the data gave ${read.length} values for images ${formatShape(shape)}, ` +
          `expected ${elements}, as many as the model's states have`,
      );
    }
    requireFinite(read, { indices, what: "values" });
    const images = mirrored && !dataset.readMirrored
      ? mirrorSome(read, { mirrored, width: shape.at(-1)! })
      : read;
    return { indices, images, tokens };
  }

  /** Images that the steps before one take, each as often as it is taken. */
  seenBefore(step: number): number {
    const { start } = this;
    return start.seen + (step - start.step) * this.#options.batchSize;
  }

  /** Writes what was read of a part of a batch, and its times and labels, into the tensors. */
  write({ indices, images, tokens }: BatchPart, place: BatchPlace): void {
    const { bank, interpolant, prediction, weighting } = this.#options;
    const count = indices.length;
    const times = this.#drawTimes(count, place);
    const coefficients = new Float32Array(count * 4), scales = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const t = times[i]!;
      const loss = lossCoefficients(interpolant, prediction, t, { weighting });
      coefficients.set(
        [interpolant.alpha(t), interpolant.sigma(t), loss.data, loss.noise],
        4 * i,
      );
      scales[i] = loss.outputScale;
    }
    this.images.write(images);
    this.times.write(times);
    this.coefficients.write(coefficients);
    this.scales.write(scales);
    this.condition.write(bank ? indices : this.#drawLabels(indices, place));
    if (tokens) this.tokens.write(tokens);
  }

  #drawTimes(count: number, { step, firstSample }: BatchPlace): Float32Array {
    const { interpolant, prediction, timeDistribution, seed } = this.#options;
    const interval = trainInterval(interpolant, prediction);
    const random = new Random(seed, Stream.Time);
    return Float32Array.from({ length: count }, (_, i) => {
      const place = [step, firstSample + i, 0] as const;
      return timeDistribution === "uniform"
        ? uniformTime(random.uniform(...place), interval)
        : logitNormalTime(random.normal(...place), interval);
    });
  }

  #drawLabels(indices: Uint32Array, { step, firstSample }: BatchPlace): Uint32Array {
    const { dataset, model, classDropout, seed } = this.#options;
    const { condition } = model.options;
    const nullClass = "classes" in condition ? condition.classes : 0;
    const random = new Random(seed, Stream.Label);
    return indices.map((index, i) =>
      random.uniform(step, firstSample + i, 0) < classDropout ? nullClass : dataset.labels![index]!
    );
  }

  /** Releases the tensors. */
  [Symbol.dispose](): void {
    this.#held.dispose();
  }
}

/** Shape of the tokens of a part, or that of a place-holder. */
function tokenShape({ alignmentWeight, dataset }: BatchOptions, part: number): Shape {
  const { tokens } = dataset;
  return alignmentWeight === undefined || !tokens ? [1] : [part, tokens.count, tokens.width];
}

/** Throws where a batch [n, …] has a number that is not finite: it would spoil all weights. */
function requireFinite(
  values: Float32Array | undefined,
  { indices, what }: { indices: Uint32Array; what: string },
): void {
  if (values === undefined) return;
  const length = values.length / indices.length;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    throw new TypeError(
      `Cannot train on image ${indices[Math.floor(i / length)]}: its ${what} hold ${values[i]}, ` +
        "expected finite numbers",
    );
  }
}

/** 1 for each image that the flip stream picks to be mirrored, else 0: [count]. */
function drawMirrored(
  count: number,
  { seed, step, firstSample }: BatchPlace & { seed: number },
): Uint8Array {
  const random = new Random(seed, Stream.Flip);
  return Uint8Array.from(
    { length: count },
    (_, i) => random.uniform(step, firstSample + i, 0) < 0.5 ? 1 : 0,
  );
}

/** A copy of images [n, C, H, W], mirrored where `mirrored` [n] holds 1. */
function mirrorSome(
  images: Float32Array,
  { mirrored, width }: { mirrored: Uint8Array; width: number },
): Float32Array {
  // What was read may be the data's own.
  const turned = images.slice(), length = images.length / mirrored.length;
  for (let i = 0; i < mirrored.length; i++) {
    if (mirrored[i]) mirrorRows(turned.subarray(i * length, (i + 1) * length), width);
  }
  return turned;
}
