/**
 * The training loop (GMem, algorithm 1).
 *
 * @module
 */

import type { Complete } from "../kernels/core/complete.ts";
import { counted, requireCount } from "../kernels/core/counted.ts";
import type { Device, Precision } from "../kernels/core/device.ts";
import { storeAt } from "../kernels/core/in_place.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import { Stream } from "../kernels/core/random.ts";
import { Tape } from "../kernels/core/tape.ts";
import { formatShape, type Tensor } from "../kernels/core/tensor.ts";
import { interpolate } from "../kernels/interpolate/mod.ts";
import {
  maskSnippets,
  SNIPPET_MASK_KINDS,
  type SnippetMaskKind,
} from "../kernels/mask_snippets/mod.ts";
import { randomNormal } from "../kernels/random_normal/mod.ts";
import { type DiffusionModel, requireCondition } from "../model/diffusion_model.ts";
import type { Interpolant } from "../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../model/interpolants/linear.ts";
import {
  LOSS_WEIGHTINGS,
  type LossWeighting,
  type Prediction,
  PREDICTIONS,
} from "../model/interpolants/prediction.ts";
import { TIME_DISTRIBUTIONS, type TimeDistribution } from "../model/interpolants/time.ts";
import type { Path } from "../sample/network.ts";
import { BatchInputs, type BatchPart, type TrainingData, type TrainingSnippets } from "./batch.ts";
import { type HistoryLayout, historyLayout, summarize, type TrainRecord } from "./history.ts";
import { alignedLoss, denoisingLoss, type TrainingLoss } from "./loss.ts";
import { LossScale } from "./loss_scale.ts";
import { AdamW, type AdamWOptions } from "./optimizers/adamw.ts";
import { ReadAhead } from "./read_ahead.ts";

/**
 * What is trained, on what, and how. Defaults, for what is left out or undefined, are those of SiT and the GMem paper.
 */
export interface TrainerOptions {
  /** The network, a `SiT` or your own; its store's seed decided the initial weights. */
  readonly model: DiffusionModel;
  /** The images. */
  readonly dataset: TrainingData;
  /** A `Bank`, or vectors of your own: the one of index i belongs to image i. Needed where snippets guide. */
  readonly bank?: TrainingSnippets | undefined;
  /** Images in a step, which holds each several times where there are fewer. Default 256. */
  readonly batchSize?: number | undefined;
  /**
   * Parts of a batch that run one after the other; divides the batch size. More are taken where a
   * tensor of a part would be larger than the GPU can bind. Default 1.
   */
  readonly gradientAccumulation?: number | undefined;
  /** Seed of data order, times, noise and masks. Default 0. */
  readonly seed?: number | undefined;
  /** Path from noise to data. Default linear. */
  readonly interpolant?: Interpolant | undefined;
  /** What the network predicts. Default `"velocity"`. */
  readonly prediction?: Prediction | undefined;
  /** Weight of the loss over time. Default `"none"`. */
  readonly weighting?: LossWeighting | undefined;
  /** Distribution of the times. Default `"uniform"`. */
  readonly timeDistribution?: TimeDistribution | undefined;
  /** Add 1 − cosine between output and target over the channels (LightningDiT). Default `false`. */
  readonly cosineLoss?: boolean | undefined;
  /**
   * Weight of the alignment loss −cos(z, h) between the data's tokens and the model's projected ones
   * (REPA, whose weight is 0.5); the model needs a projector. There is none if left out.
   */
  readonly alignmentWeight?: number | undefined;
  /** How snippets are hidden; none if left out. The paper's best is `zero`, 0.4; for guidance there is `whole`. */
  readonly mask?: { readonly kind: SnippetMaskKind; readonly ratio: number } | undefined;
  /** Share of labels replaced by the null class. Default 0.1 where labels guide the model. */
  readonly classDropout?: number | undefined;
  /** Mirror half of the images. Default `false`. */
  readonly flip?: boolean | undefined;
  /** Learning rate after warm-up, or what gives that of each step, counted from 0. Default 1e-4. */
  readonly learningRate?: number | ((step: number) => number) | undefined;
  /** Steps over which the learning rate rises from zero. Default 0. */
  readonly warmupSteps?: number | undefined;
  /** AdamW's constants. Defaults 0.9, 0.999, 1e-8, 0. */
  readonly optimizer?:
    | Pick<AdamWOptions, "beta1" | "beta2" | "epsilon" | "weightDecay">
    | undefined;
  /** Largest norm of the gradient; `null` does not clip. Default 1. */
  readonly clip?: number | null | undefined;
  /**
   * Decay of the moving average of the weights, which a checkpoint is drawn with. After n steps a share of
   * decayⁿ of it are the weights of the start, most of it before 1 / (1 − decay) steps. Default 0.9999.
   */
  readonly emaDecay?: number | undefined;
  /** Let that decay rise over the first steps, as short runs need it. Default `false`. */
  readonly emaWarmup?: boolean | undefined;
  /** Compute activations again in the backward pass. Default `false`. */
  readonly recompute?: boolean | undefined;
  /**
   * What the operands of the blocks' matrix products are rounded to; of a network of your own those of
   * every `linear` and `geluMlp` outside of `device.withPrecision("f32", …)`. With `"f16"` GPUs sum each eight of these
   * products in f16 and those sums in f32; weights, moments, gradients of weights, norms, softmax, losses
   * and all other sums stay f32. The loss is scaled so that small gradients do not vanish; steps whose
   * gradients overflow are skipped. Default `"f32"`.
   */
  readonly precision?: Precision | undefined;
  /** Steps without an overflow after which the loss scale doubles; used with f16. Default 2000. */
  readonly lossScaleInterval?: number | undefined;
}

/** The options of a trainer with defaults for all that has one. */
export type SettledOptions =
  & TrainerOptions
  & Complete<Omit<TrainerOptions, "bank" | "mask" | "alignmentWeight" | "optimizer">>;

/** How long to run, and how often to look. */
export interface RunOptions {
  /** Step to stop after, counted from the start of training. */
  readonly steps: number;
  /** A record is yielded after each step that this divides. Default 50. */
  readonly logEvery?: number | undefined;
  /** Other steps after which one is, for what else is to be done there. */
  readonly alsoAfter?: ((step: number) => boolean) | undefined;
  /** Most steps between two waits for the GPU. Default 10. */
  readonly syncEvery?: number | undefined;
  /** Stops after the current step when it fires. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each step was recorded. */
  readonly onStep?: ((step: number) => void) | undefined;
}

/** Longest wait, in milliseconds, that queued work may cause: work in flight must stay short. */
const MAX_QUEUED_MILLISECONDS = 1500;

/**
 * Trains a model. Every random draw is a function of the seed and the step, so a run that was saved
 * and resumed is bit-equal to one that was not interrupted. `step` is the number of steps so far, set by
 * `loadCheckpoint`.
 *
 * @example
 * ```ts
 * import { Device, loadEmoji, ParameterStore, SiT, Trainer } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 9 },
 * });
 * const dataset = await loadEmoji({ imageSize: 8 });
 * using trainer = new Trainer({ model, dataset, batchSize: 4, learningRate: 1e-3 });
 * for await (const { step, loss } of trainer.run({ steps: 2, logEvery: 2 })) {
 *   console.log(step, loss.toFixed(1)); // 2 1.5
 * }
 * ```
 */
export class Trainer implements Disposable {
  /** The device that trains. */
  readonly device: Device;
  /** The optimiser, with the moving average of the weights. */
  readonly optimizer: AdamW;
  readonly #options: SettledOptions;
  readonly #lossScale: LossScale | undefined;
  readonly #inputs: BatchInputs;
  readonly #held: DisposableStack;
  #step = 0;
  #running = false;
  /** Where training stood, while nobody knows yet whether the GPU does what was recorded since. */
  #unsure: { readonly step: number; readonly failures: number } | undefined;
  /** Commands of a step failed. */
  #spoilt = false;

  /**
   * Prepares training; throws `TypeError` or `RangeError` when the parts do not fit together, and
   * `UnsupportedDeviceError` when the adapter cannot compute with the precision.
   */
  constructor(options: TrainerOptions) {
    const { model } = options;
    this.device = model.parameters.device;
    const settled: SettledOptions = {
      batchSize: 256,
      gradientAccumulation: 1,
      seed: 0,
      interpolant: linearInterpolant,
      prediction: "velocity",
      weighting: "none",
      timeDistribution: "uniform",
      cosineLoss: false,
      classDropout: "classes" in model.options.condition ? 0.1 : 0,
      flip: false,
      learningRate: 1e-4,
      warmupSteps: 0,
      clip: 1,
      emaDecay: 0.9999,
      emaWarmup: false,
      recompute: false,
      precision: "f32",
      lossScaleInterval: 2000,
      ...givenOf(options),
    };
    checkOptions(settled);
    this.#options = { ...settled, gradientAccumulation: partsThatFit(this.device, settled) };
    const { precision, lossScaleInterval: growthInterval } = settled;
    this.device.requirePrecision(precision);
    using opened = new DisposableStack();
    this.#lossScale = precision === "f16"
      ? opened.use(new LossScale(this.device, { growthInterval }))
      : undefined;
    const { clip, emaDecay, emaWarmup } = settled;
    this.optimizer = opened.use(
      new AdamW(model.parameters, {
        ...options.optimizer,
        clip: clip ?? undefined,
        emaDecay,
        emaWarmup,
      }),
    );
    this.#inputs = opened.use(new BatchInputs(this.device, this.#options));
    this.#held = opened.move();
  }

  /** The network that it trains. */
  get model(): DiffusionModel {
    return this.#options.model;
  }

  /** The images that it trains on. */
  get dataset(): TrainingData {
    return this.#options.dataset;
  }

  /** The path from noise to data that it trains on, and what the network puts out. */
  get path(): Complete<Path> {
    const { interpolant, prediction } = this.#options;
    return { interpolant, prediction };
  }

  /** Parts that each batch runs in. */
  get parts(): number {
    return this.#options.gradientAccumulation;
  }

  /**
   * Steps done so far; set when a run is resumed, to a whole number from 0 (else `RangeError`). A run that goes
   * on does so from there, where it is set after a record.
   */
  get step(): number {
    return this.#step;
  }

  /** Goes on from a step whose parameters and optimiser state were loaded. */
  set step(step: number) {
    // First, since it refuses what is no step.
    this.optimizer.stepCount = step;
    this.#step = step;
    this.seen = step * this.#options.batchSize;
    [this.#unsure, this.#spoilt] = [undefined, false];
  }

  /**
   * Images that the steps so far have taken, each as often as it was: where the next one goes on in their order.
   * Setting {@linkcode Trainer.step} sets it for batches of this trainer's size; `loadCheckpoint` then sets it to
   * what it was, a whole number from 0 (else `RangeError`).
   */
  get seen(): number {
    return this.#inputs.seenBefore(this.#step);
  }

  /** Goes on from another place in the order of the images. */
  set seen(seen: number) {
    requireCount("Cannot set the number of images seen: it", seen);
    this.#inputs.start = { step: this.#step, seen };
  }

  /**
   * Throws an Error where the GPU did not do what steps recorded, or a checkpoint was read in part: weights and
   * moments are undefined then until those of a checkpoint are loaded. Throws a ReferenceError once the trainer is
   * disposed of.
   */
  requireSound(): void {
    this.#requireHeld();
    if (this.#unsure && this.#unsure.failures !== this.device.failures) this.spoil();
    if (!this.#spoilt) return;
    throw new Error(
      `Cannot use what was trained: commands after step ${this.#step} failed on the GPU, or a checkpoint was ` +
        "read in part, and left weights and moments undefined, expected a checkpoint to be loaded",
    );
  }

  /** The loss scale by name, for checkpoints; nothing with f32. The tensors are the trainer's. */
  lossScaleEntries(): IterableIterator<[key: string, state: Tensor]> {
    return this.#lossScale?.stateEntries() ?? [].values();
  }

  /**
   * Sets the loss scale to what `read` gives for each key of {@linkcode Trainer.lossScaleEntries};
   * throws `RangeError` when that is no loss scale, and whatever `read` throws.
   */
  loadLossScale(read: (key: string) => Float32Array): void {
    this.#lossScale?.loadState(read);
  }

  /**
   * Trains until `steps` are done and yields a record every `logEvery` steps and at the end, while a
   * `for await` asks for them: without one nothing is done.
   * Throws {@linkcode NonFiniteLossError} when the loss is no finite number, `TypeError` that names the image
   * when one of the data has such a number, and `RangeError` for a learning rate that is none. A step that
   * failed, because the data could not be read for instance, is taken back and may be run again; a record of
   * the steps before it comes first.
   * Throws an Error while another run of the trainer has not come to its end, and `RangeError` for numbers
   * of steps that are none.
   *
   * Errors that the GPU reports are thrown as they are. The steps since the last wait are not counted then,
   * and as their updates may be wrong, further runs and `saveCheckpoint` throw an Error until a
   * checkpoint is loaded.
   */
  async *run(options: RunOptions): AsyncGenerator<TrainRecord> {
    if (this.#running) {
      throw new Error("Cannot train: another run of this trainer goes on, expected one at a time");
    }
    this.requireSound();
    this.#running = true;
    try {
      yield* this.#steps(options);
    } finally {
      this.#running = false;
    }
  }

  async *#steps(options: RunOptions): AsyncGenerator<TrainRecord> {
    const { steps, logEvery = 50, alsoAfter, syncEvery = 10, signal, onStep } = options;
    requireSteps({ steps, logEvery, syncEvery });
    const { batchSize, gradientAccumulation: parts, alignmentWeight } = this.#options;
    const layout = historyLayout(parts, {
      aligned: alignmentWeight !== undefined,
      scaled: this.#lossScale !== undefined,
    });
    const { columns } = layout;
    // Not those to go, which a checkpoint that is loaded on the way may make more.
    const rows = Math.min(logEvery, Math.max(1, steps));
    using history = this.device.unscoped(() => this.device.empty([rows, columns]));
    let logged = this.#step, loggedAt = performance.now();
    let synced = this.#step, syncedAt = loggedAt, syncSteps = 1;
    await using ahead = new ReadAhead((number) => this.#inputs.read(number));
    const takeRecord = async () => {
      const values = await this.#whenDone(history.read()), count = this.#step - logged;
      const now = performance.now();
      const record = summarize(values, { ...layout, first: logged + 1, count });
      const imagesPerSecond = count * batchSize * 1000 / (now - loggedAt);
      [logged, synced] = [this.#step, this.#step];
      return { step: this.#step, ...record, imagesPerSecond };
    };
    while (this.#step < steps && !signal?.aborted) {
      try {
        await this.#recordStep(history, { ...layout, row: (this.#step - logged) * columns, ahead });
      } catch (error) {
        if (this.#step > logged) yield await takeRecord();
        throw error;
      }
      onStep?.(this.#step);
      if (this.#step < steps && !signal?.aborted) ahead.begin(this.#step * parts);
      if (this.#step - synced >= syncSteps && this.#step < steps && !signal?.aborted) {
        await this.#whenDone(this.device.settle());
        const now = performance.now(), perStep = (now - syncedAt) / (this.#step - synced);
        syncSteps = Math.max(1, Math.min(syncEvery, Math.floor(MAX_QUEUED_MILLISECONDS / perStep)));
        [synced, syncedAt] = [this.#step, now];
      }
      // Asked after the wait: what ends the run then must not end it without a record.
      const last = this.#step === steps || signal?.aborted;
      if (this.#step % logEvery !== 0 && !alsoAfter?.(this.#step) && !last) continue;
      yield await takeRecord();
      // Whatever the caller did meanwhile (pictures, checkpoints) is not training time, and may have loaded
      // a checkpoint of another step.
      loggedAt = syncedAt = performance.now();
      [logged, synced] = [this.#step, this.#step];
    }
  }

  /** Releases the optimiser and the inputs; the model is the caller's. */
  [Symbol.dispose](): void {
    this.#held.dispose();
  }

  #requireHeld(): void {
    if (this.#held.disposed) throw new ReferenceError("Cannot use the trainer: it was disposed of");
  }

  async #recordStep(
    history: Tensor,
    place: HistoryLayout & { row: number; ahead: ReadAhead<BatchPart> },
  ): Promise<void> {
    const { batchSize, gradientAccumulation: parts } = this.#options;
    const { row, ahead } = place, part = batchSize / parts, learningRate = this.#learningRate();
    this.#unsure ??= { step: this.#step, failures: this.device.failures };
    try {
      for (let i = 0; i < parts; i++) {
        if (i > 0) {
          // The GPU works on the part before while this one is read.
          this.device.flush();
          // Ctrl-C is heard between parts, which a CPU driver computes while they are recorded.
          await new Promise((resolve) => setTimeout(resolve));
        }
        const data = await ahead.take(this.#step * parts + i);
        // Whatever ran meanwhile, or while a record was looked at, may have disposed of it.
        this.#requireHeld();
        this.#inputs.write(data, { step: this.#step, firstSample: i * part });
        this.device.scope(() => {
          const { total, alignment } = this.#differentiate(i * part, 1 / parts);
          storeAt(history, total, { first: row + i });
          if (alignment) storeAt(history, alignment, { first: row + place.alignment + i });
        });
      }
    } catch (error) {
      // The parts before have added to the gradients.
      this.#options.model.parameters.zeroGradients();
      throw error;
    }
    this.device.scope(() => {
      const lossScale = this.#lossScale;
      const norm = this.optimizer.step({ learningRate, lossScale });
      storeAt(history, norm, { first: row + place.norm });
      if (lossScale) storeAt(history, lossScale.scale, { first: row + place.lossScale });
    });
    this.device.flush();
    this.#step++;
  }

  /** That of the step at hand. */
  #learningRate(): number {
    const { learningRate: given, warmupSteps } = this.#options;
    const rate = typeof given === "number" ? given : given(this.#step);
    requireRate(`the learning rate of step ${this.#step}`, rate);
    return warmupSteps > 0 ? rate * Math.min(1, (this.#step + 1) / warmupSteps) : rate;
  }

  /** What a wait gives that ends when all steps are done; throws where one of their commands failed. */
  async #whenDone<T>(wait: Promise<T>): Promise<T> {
    try {
      const result = await wait;
      // Another wait may have been told of an error.
      this.requireSound();
      this.#unsure = undefined;
      return result;
    } catch (error) {
      this.spoil();
      throw error;
    }
  }

  /**
   * Says that weights, moments and averages are those of no step, as while a checkpoint is read into them: until
   * {@linkcode Trainer.step} is set, runs and `saveCheckpoint` throw an Error.
   */
  spoil(): void {
    this.#step = this.#unsure?.step ?? this.#step;
    [this.#unsure, this.#spoilt] = [undefined, true];
  }

  #differentiate(firstSample: number, scale: number): TrainingLoss {
    const { model, seed, recompute, cosineLoss, precision, alignmentWeight: weight } =
      this.#options;
    const { images, times, coefficients, scales, tokens } = this.#inputs;
    const { device } = this, step = this.#step;
    const noise = randomNormal(device, images.shape, {
      seed,
      stream: Stream.Noise,
      step,
      firstSample,
    });
    const { x, target } = interpolate(images, noise, coefficients);
    noise.dispose();
    const condition = this.#condition(firstSample);
    using tape = new Tape(device);
    const loss = tape.record((): TrainingLoss => {
      const inPrecision = <T>(run: () => T) => device.withPrecision(precision, run);
      if (weight === undefined) {
        const output = inPrecision(() =>
          model.forwardEmbedded(x, times, model.embed(condition), { recompute })
        );
        return { total: denoisingLoss(output, target, { scale: scales, cosineLoss }) };
      }
      const { output, projection } = inPrecision(() =>
        model.forwardWithProjection!(x, times, condition, { recompute })
      );
      const denoising = denoisingLoss(output, target, { scale: scales, cosineLoss });
      return alignedLoss(denoising, { tokens, projection, weight });
    });
    if (this.#lossScale) tape.backwardFrom(loss.total, this.#lossScale.cotangent(scale));
    else tape.backward(loss.total, { scale });
    return loss;
  }

  #condition(firstSample: number): Tensor {
    const { bank, mask, seed } = this.#options;
    const { condition } = this.#inputs;
    if (!bank) return condition;
    const snippets = bank.gather(condition);
    return mask
      ? maskSnippets(snippets, { ...mask, seed, step: this.#step, firstSample })
      : snippets;
  }
}

function requireSteps(numbers: Record<"steps" | "logEvery" | "syncEvery", number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    const whole = Number.isInteger(value) || value === Infinity;
    if (whole && value >= (name === "steps" ? 0 : 1)) continue;
    throw new RangeError(`Cannot train: ${name} is ${value}, expected a whole number of steps`);
  }
  if (Math.min(numbers.steps, numbers.logEvery) < Infinity) return;
  throw new RangeError(
    "Cannot train: steps and logEvery are Infinity, expected one of them to be a number of steps",
  );
}

/** Options without those that are undefined, as where a caller hands on some of its own: the defaults hold. */
function givenOf(
  options: TrainerOptions,
): { [Key in keyof TrainerOptions]: Exclude<TrainerOptions[Key], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(given), model: options.model, dataset: options.dataset };
}

function requireRate(name: string, rate: number): void {
  if (rate >= 0 && rate < Infinity) return;
  throw new RangeError(`Cannot train: ${name} is ${rate}, expected a number from 0`);
}

function checkOptions(options: SettledOptions): void {
  const { batchSize, gradientAccumulation, learningRate, warmupSteps, classDropout } = options;
  const { dataset, bank, mask, model: { options: { condition } } } = options;
  requireOneOf("Cannot train: prediction", options.prediction, PREDICTIONS);
  requireOneOf("Cannot train: weighting", options.weighting, LOSS_WEIGHTINGS);
  requireOneOf("Cannot train: timeDistribution", options.timeDistribution, TIME_DISTRIBUTIONS);
  if (mask) requireOneOf("Cannot train: mask.kind", mask.kind, SNIPPET_MASK_KINDS);
  for (const [name, value] of Object.entries({ batchSize, gradientAccumulation })) {
    requireCount(`Cannot train: ${name}`, value, 1);
  }
  if (typeof learningRate === "number") requireRate("learningRate", learningRate);
  requireCount("Cannot train: warmupSteps", warmupSteps);
  if (!(classDropout >= 0 && classDropout <= 1)) {
    throw new RangeError(
      `Cannot train: classDropout is ${classDropout}, expected a share from 0 to 1`,
    );
  }
  if (batchSize % gradientAccumulation !== 0) {
    throw new RangeError(
      `Cannot train: gradientAccumulation is ${gradientAccumulation}, expected a divisor of ` +
        `batchSize ${batchSize}`,
    );
  }
  if (!(dataset.size >= 1)) {
    throw new RangeError(
      `Cannot train: the data have ${counted(dataset.size, "image")}, expected one at least`,
    );
  }
  if (options.alignmentWeight !== undefined) checkTokens(options);
  if ("classes" in condition) {
    for (const [name, given] of Object.entries({ bank, mask })) {
      if (given) throw new TypeError(`Cannot train: labels guide the model, expected no ${name}`);
    }
    if (condition.nullClass === false && classDropout > 0) {
      throw new RangeError(
        `Cannot train: the model has no null class for labels to be dropped to, expected ` +
          `classDropout 0 in place of ${classDropout}`,
      );
    }
    return checkLabels(dataset, condition.classes);
  }
  if (!bank) throw new TypeError("Cannot train: the model takes snippets, expected a bank");
  if (classDropout > 0) {
    throw new TypeError(
      "Cannot train: snippets guide the model, expected no classDropout, but a mask of kind whole",
    );
  }
  if (bank.dim !== condition.snippetDim) {
    throw new TypeError(
      `Cannot train: the bank's snippets have ${counted(bank.dim, "component")}, expected ` +
        `${condition.snippetDim} as the model takes`,
    );
  }
  if (bank.size !== dataset.size) {
    throw new TypeError(
      `Cannot train: the bank has ${counted(bank.size, "snippet")} for ` +
        `${counted(dataset.size, "image")}, expected one each`,
    );
  }
  requireGather(bank, options.model);
}

/**
 * Throws what taking a snippet throws, as on another device, and where it is none: else the first step would, with
 * its data read.
 */
function requireGather(
  bank: TrainingSnippets,
  { parameters: { device }, options }: DiffusionModel,
): void {
  device.scope(() =>
    requireCondition(bank.gather(device.tensor(new Uint32Array(1), [1])), options)
  );
}

/** The GPU would take another class for a label that the model does not have. */
function checkLabels({ labels, size }: TrainingData, classes: number): void {
  if (labels?.length !== size) {
    throw new TypeError(
      `Cannot train: ${labels ? counted(labels.length, "label") : "no labels"}, ` +
        `expected one for each of ${size}`,
    );
  }
  const wrong = labels.findIndex((label) => label >= classes);
  if (wrong < 0) return;
  throw new RangeError(
    `Cannot train: image ${wrong} has label ${labels[wrong]}, expected one of the model's ` +
      `${classes} classes`,
  );
}

/** Throws unless the data have the tokens that the alignment loss compares with the model's. */
function checkTokens({ model, dataset: { tokens } }: TrainerOptions): void {
  const { projectedTokens: projected } = model;
  if (!projected || !model.forwardWithProjection) {
    throw new TypeError("Cannot align tokens: the model has no projector, expected one");
  }
  const wanted = formatShape([projected.count, projected.width]);
  const found = tokens && formatShape([tokens.count, tokens.width]);
  if (found === wanted) return;
  throw new TypeError(
    `Cannot align tokens: those of the data are ${found ?? "missing"}, ` +
      `expected ${wanted} as the model's projector has them`,
  );
}

/** The fewest parts, from those asked for on, whose largest tensor the GPU can bind. */
function partsThatFit(
  device: Device,
  options: { model: DiffusionModel; batchSize: number; gradientAccumulation: number },
): number {
  const { model, batchSize, gradientAccumulation } = options;
  const most = device.profile.maxBindingBytes;
  const each = model.largestActivationBytes?.({ training: true }) ?? 0;
  for (let parts = gradientAccumulation; parts <= batchSize; parts++) {
    if (batchSize % parts === 0 && batchSize / parts * each <= most) return parts;
  }
  throw new RangeError(
    `Cannot train: a tensor of one image takes ${each} bytes, the GPU binds ${most} at most, ` +
      "expected smaller images or a narrower network",
  );
}
