/**
 * What the claims share: images, bank, trained models and samples, each made once and kept on disk.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { writeBank } from "../bank/bank_writer.ts";
import { encodeImages } from "../bank/build.ts";
import { type Encoder, identityOf } from "../bank/encoders/encoder.ts";
import { encoderOfBank } from "../bank/encoders/open.ts";
import { PixelPca } from "../bank/encoders/pixel_pca.ts";
import { storedEncoder } from "../bank/encoders/stored.ts";
import { BankFile } from "../bank/file.ts";
import { FullBank } from "../bank/full_bank.ts";
import { slerpSnippets } from "../bank/interpolate.ts";
import { LowRankBank } from "../bank/low_rank_bank.ts";
import { chooseUniform } from "../bank/retrieve.ts";
import { selectRows, spreadIndices } from "../bank/select_rows.ts";
import { type Factorization, factorize } from "../bank/svd.ts";
import { FrechetReference, GaussianStatistics } from "../evaluate/frechet.ts";
import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { permutation } from "../kernels/core/random.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { SafetensorsWriter } from "../kernels/core/safetensors_writer.ts";
import { sha256Hex } from "../kernels/core/sha256.ts";
import { modelOptions } from "../model/config.ts";
import { SiT } from "../model/sit.ts";
import { saveStateDict } from "../model/state_dict.ts";
import { draw } from "../sample/draw.ts";
import { pathOf } from "../sample/network.ts";
import {
  listCheckpoints,
  loadWeights,
  removeOldCheckpoints,
  saveCheckpoint,
} from "../train/checkpoint.ts";
import { type Config, resolveConfig } from "../train/config.ts";
import { loadEmoji } from "../train/datasets/emoji.ts";
import type { ImageSet } from "../train/datasets/image_set.ts";
import { loadConfig } from "../train/load_config.ts";
import { buildRun } from "../train/run.ts";
import { type Arm, type ModelArm, nameOf, stepsFor, UNIT_IMAGES, unitsOf } from "./arm.ts";
import type { Scale } from "./scales.ts";
import { Bootstrap } from "./statistics.ts";

/** Part of every key of the cache: raised when what is kept under a key would come out otherwise. */
const CACHE_FORMAT = 1;

/** What a training step costs, in evaluations of the network for its batch. */
const STEP_EVALUATIONS = 3;

/** Samples and what they cost. */
export interface Samples {
  /** Images [n, C, H, W]. */
  readonly images: Float32Array;
  /** Their encodings [n, m], between which distances are taken. */
  readonly encodings: Float32Array;
  /** Evaluations of the network for each. */
  readonly evaluations: number;
}

/** Work that is left to do, in units of one evaluation of the network for 32 images. */
export interface Work {
  /** Models to train, with the steps that each has left. */
  readonly trainings: readonly {
    readonly model: ModelArm;
    readonly steps: number;
  }[];
  /** Sets of samples to draw. */
  readonly drawings: readonly Arm[];
  /** Units of the trainings. */
  readonly trainingUnits: number;
  /** Units of the drawings. */
  readonly drawingUnits: number;
}

/** How a {@linkcode Laboratory} is opened. */
export interface LaboratoryOptions {
  /** What trains and draws. */
  readonly device: Device;
  /** How much. */
  readonly scale: Scale;
  /** A bank by whose encoder the snippets are made; by `pixel_pca` where there is none. */
  readonly like?: string | undefined;
  /** Where the network of that bank is; where the bank says by default. */
  readonly onnx?: string | undefined;
  /** Folder of what is kept. */
  readonly directory: string;
  /** Seed of the held-out images, of the weights, noises and resamplings. Default 0. */
  readonly seed?: number;
  /** Stops at the next step or batch, and before a laboratory is open. */
  readonly signal?: AbortSignal;
  /** Called with lines for people. */
  readonly note: (line: string) => void;
  /** Called with the units of work that were done since the last call. */
  readonly onProgress: (units: number) => void;
}

/** Images, bank, models and samples of one scale. */
export class Laboratory implements AsyncDisposable {
  /** How much is trained and drawn. */
  readonly scale: Scale;
  /** The bank by whose encoder the snippets are made; undefined where that is `pixel_pca`. */
  readonly like: string | undefined;
  /** The configuration that the models share. */
  readonly config: Config;
  /** The images to train on; their classes are the subcategories of the emoji. */
  readonly train: ImageSet;
  /** Images that no model and no encoder was fitted to. */
  readonly heldOut: ImageSet;
  /** The full bank of the training images. */
  readonly bank: FullBank;
  /** What made the snippets. */
  readonly encoder: Encoder;
  /** Between whose encodings distances are taken: always `pixel_pca`, which is `encoder` unless told otherwise. */
  readonly measuring: Encoder;
  /** Snippets of the training images [N, d]. */
  readonly trainSnippets: Float32Array;
  /** Snippets of the held-out images [n, d]. */
  readonly heldOutSnippets: Float32Array;
  /** The encodings of the training images as what distances are measured to. */
  readonly trainReference: FrechetReference;
  /** Likewise those of the held-out images. */
  readonly heldOutReference: FrechetReference;
  /** Distance of the held-out images to the training images: as near as samples need to come. */
  readonly heldOutDistance: number;
  /** Seed of everything random. */
  readonly seed: number;
  /** What trains and draws. */
  readonly device: Device;
  readonly #options: LaboratoryOptions;
  readonly #others = new Map<string, Promise<Laboratory>>();
  readonly #directory: string;
  readonly #bankPath: string;
  /** Tells people a line. */
  readonly note: (line: string) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #samples = new Map<string, Promise<Samples>>();
  readonly #lowRank = new Map<
    number,
    Promise<{ snippets: Float32Array; energy: number }>
  >();
  #factors: Promise<Factorization> | undefined;
  #loaded:
    | { key: string; kind: string; store: ParameterStore; model: SiT }
    | undefined;

  private constructor(
    options: LaboratoryOptions,
    parts:
      & Pick<
        Laboratory,
        | "config"
        | "train"
        | "heldOut"
        | "bank"
        | "encoder"
        | "measuring"
        | "trainSnippets"
        | "heldOutSnippets"
      >
      & { bankPath: string; encodings: Record<"train" | "heldOut", Float32Array> },
  ) {
    this.scale = options.scale;
    this.like = options.like;
    this.config = parts.config;
    this.train = parts.train;
    this.heldOut = parts.heldOut;
    this.bank = parts.bank;
    this.encoder = parts.encoder;
    this.measuring = parts.measuring;
    this.trainSnippets = parts.trainSnippets;
    this.heldOutSnippets = parts.heldOutSnippets;
    const { dim } = parts.measuring;
    const statistics = new GaussianStatistics(dim).add(parts.encodings.heldOut);
    this.trainReference = referenceTo(parts.encodings.train, dim);
    this.heldOutReference = new FrechetReference(statistics);
    this.heldOutDistance = this.trainReference.distanceTo(statistics);
    this.seed = options.seed ?? 0;
    this.device = options.device;
    this.#options = options;
    this.#directory = options.directory;
    this.#bankPath = parts.bankPath;
    this.note = options.note;
    this.#signal = options.signal;
  }

  /** Loads the images and builds the bank, or takes the one that is kept; throws where it is stopped. */
  static async open(options: LaboratoryOptions): Promise<Laboratory> {
    const { device, scale, like, onnx, directory, seed = 0, note, signal } = options;
    using likeBank = like === undefined ? undefined : BankFile.open(like);
    const config = await loadConfig(scale.config, {
      overrides: [...scale.overrides, `train.seed=${seed}`],
    });
    const { imageSize, heldOut: share } = config.data;
    const all = await loadEmoji({ imageSize, classes: "subcategory" });
    const { train, heldOut } = all.split({
      heldOut: share < 1 ? Math.round(all.size * share) : share,
      seed,
    });
    const onProgress = () => signal?.throwIfAborted();
    await Deno.mkdir(directory, { recursive: true });
    /** The bank of the training images that is kept under a key, made by what `encoderOf` gives if there is none. */
    const bankOf = async (key: readonly unknown[], encoderOf: () => Promise<Encoder>) => {
      const path = join(
        directory,
        `bank_${keyOf([imageSize, train.size, seed, ...key])}.safetensors`,
      );
      if (!existsSync(path)) {
        const encoder = await encoderOf();
        note(`bank    of ${train.size} images, ${encoder.dim} numbers each`);
        writeBank(path, await encodeImages({ images: train, encoder, onProgress }));
      }
      signal?.throwIfAborted();
      return path;
    };
    const { dim, resolution, whiten } = config.bank;
    const measured = await bankOf(
      [dim, resolution, whiten],
      () => PixelPca.fit(device, { images: train, dim, resolution, whiten, onProgress }),
    );
    using measuredBank = BankFile.open(measured);
    const measuring = storedEncoder(device, measuredBank)!;
    const encodings = {
      train: measuredBank.rows(0, measuredBank.size),
      heldOut: (await encodeImages({ images: heldOut, encoder: measuring })).snippets,
    };
    const images = { config, train, heldOut, measuring, encodings };
    if (likeBank === undefined) {
      return new Laboratory(options, {
        ...images,
        bank: FullBank.load(device, measured),
        encoder: measuring,
        bankPath: measured,
        trainSnippets: encodings.train,
        heldOutSnippets: encodings.heldOut,
      });
    }
    const providers = config.device.onnxProviders;
    const encoder = await encoderOfBank(likeBank, { device, onnx, providers });
    const bankPath = await bankOf(
      [identityOf(encoder.description)],
      () => Promise.resolve(encoder),
    );
    using bankFile = BankFile.open(bankPath);
    return new Laboratory(options, {
      ...images,
      bank: FullBank.load(device, bankPath),
      encoder,
      bankPath,
      trainSnippets: bankFile.rows(0, bankFile.size),
      heldOutSnippets: (await encodeImages({ images: heldOut, encoder })).snippets,
    });
  }

  /** Whether distances are taken by the encoder that made the snippets. */
  get measuresBySnippets(): boolean {
    return this.encoder === this.measuring;
  }

  /** What the axes of pictures call the space in which distances are taken. */
  get spaceName(): string {
    return this.measuresBySnippets ? "encoder space" : "space of pixel_pca";
  }

  /** The model that stands for GMem in all claims but c. */
  get gmem(): ModelArm {
    return { maskRatio: this.config.bank.mask.ratio };
  }

  /**
   * A laboratory with settings above those of this scale, which keeps its models in the same folder.
   * It is opened once and disposed with this one.
   */
  with(settings: readonly string[]): Promise<Laboratory> {
    const key = JSON.stringify(settings), { scale } = this;
    const opened = this.#others.get(key) ?? Laboratory.open({
      ...this.#options,
      scale: { ...scale, overrides: [...scale.overrides, ...settings] },
    });
    this.#others.set(key, opened);
    return opened;
  }

  /** An arm of this scale: GMem at its last step on training snippets, where nothing else is said. */
  arm(changes: Partial<Arm> = {}): Arm {
    return {
      model: this.gmem,
      step: this.config.train.steps,
      condition: { of: "train" },
      count: this.scale.samples,
      sampler: "heun",
      evaluations: this.scale.evaluations,
      seed: this.seed,
      ...changes,
    };
  }

  /** The resamplings of sets of `units` samples. */
  bootstrap(units: number): Bootstrap {
    return new Bootstrap({ units, replicates: this.scale.replicates, seed: this.seed });
  }

  /** What is not kept yet of the arms and of the models that draw them. */
  workFor(arms: readonly Arm[]): Work {
    const trainings = new Map<string, { model: ModelArm; steps: number }>();
    const drawings = new Map<string, Arm>();
    let trainingUnits = 0, drawingUnits = 0;
    for (const arm of arms) {
      const path = this.#samplesPath(arm);
      if (drawings.has(path) || existsSync(path)) continue;
      drawings.set(path, arm);
      drawingUnits += unitsOf(arm);
      const directory = this.#modelDirectory(arm.model);
      if (trainings.has(directory) || this.#isTrained(directory)) continue;
      const done = existsSync(directory) ? listCheckpoints(directory).at(-1)?.step ?? 0 : 0;
      const steps = this.config.train.steps - done;
      trainings.set(directory, { model: arm.model, steps });
      trainingUnits += steps * this.#stepUnits;
    }
    return {
      trainings: [...trainings.values()],
      drawings: [...drawings.values()],
      trainingUnits,
      drawingUnits,
    };
  }

  /** Seconds that one unit of work takes here, measured on an untrained network. */
  async secondsPerUnit(): Promise<number> {
    const { config } = this;
    using store = new ParameterStore(this.device, { seed: 0 });
    const model = new SiT(store, this.#modelOptions({ maskRatio: 0 }));
    const condition = this.trainSnippets.subarray(0, UNIT_IMAGES * this.bank.dim);
    const evaluate = async (steps: number) => {
      const { images } = this.device.scope(() =>
        draw({
          model,
          condition: this.device.tensor(condition, [UNIT_IMAGES, this.bank.dim]),
          config: { ...config.sample, sampler: "euler", steps },
          ...pathOf(config),
        })
      );
      await images.read();
      images.dispose();
    };
    // The first evaluation compiles the kernels.
    await evaluate(1);
    const started = performance.now();
    await evaluate(4);
    return (performance.now() - started) / 4000;
  }

  /** Draws the samples of an arm, or takes those that are kept; trains its model before. */
  samples(arm: Arm): Promise<Samples> {
    const key = JSON.stringify(arm);
    const samples = this.#samples.get(key) ?? this.#makeSamples(arm);
    this.#samples.set(key, samples);
    return samples;
  }

  /** The snippets [n, d] that the samples of an arm were given; for labels those of their images. */
  async snippetsOf({ condition, count }: Pick<Arm, "condition" | "count">): Promise<Float32Array> {
    const { train, heldOut, bank: { dim }, trainSnippets, heldOutSnippets } = this;
    switch (condition.of) {
      case "train": {
        const { snippets } = condition.rank === undefined
          ? { snippets: trainSnippets }
          : await this.lowRank(condition.rank);
        return selectRows(snippets, { width: dim, indices: this.spread(count) });
      }
      case "heldOut": {
        const indices = spreadIndices(count, heldOut.size);
        return selectRows(heldOutSnippets, { width: dim, indices });
      }
      case "random": {
        const indices = chooseUniform(train.size, { count, seed: condition.seed });
        return selectRows(trainSnippets, { width: dim, indices });
      }
      case "pairs": {
        const out = new Float32Array(count * dim);
        for (const [row, [first, second]] of this.pairs(count).entries()) {
          const [from, to] = [first, second].map((i) =>
            trainSnippets.subarray(i * dim, (i + 1) * dim)
          );
          out.set(slerpSnippets(from!, to!, { alpha: condition.share }), row * dim);
        }
        return out;
      }
    }
  }

  /** Indices of `count` training images that are spread evenly over all. */
  spread(count: number): Uint32Array {
    return spreadIndices(count, this.train.size);
  }

  /** Random pairs of different training images. */
  pairs(count: number): [first: number, second: number][] {
    const order = permutation(this.train.size, this.seed, 0);
    return Array.from({ length: count }, (_, i) => {
      const place = 2 * i % (order.length - 1);
      return [order[place]!, order[place + 1]!];
    });
  }

  /** The training snippets [N, d] as a low-rank bank gives them, and the share of energy it keeps. */
  lowRank(rank: number): Promise<{ snippets: Float32Array; energy: number }> {
    const kept = this.#lowRank.get(rank) ?? this.#compress(rank);
    this.#lowRank.set(rank, kept);
    return kept;
  }

  /** Encodes images [n, C, H, W] to [n, m], as they are: samples are not made bytes before. */
  async encode(images: Float32Array): Promise<Float32Array> {
    return await this.#encodeBy(this.measuring, images);
  }

  /** What the bank's encoder makes of samples [n, d]: how they follow their snippets. */
  async snippetsIn({ images, encodings }: Samples): Promise<Float32Array> {
    return this.measuresBySnippets ? encodings : await this.#encodeBy(this.encoder, images);
  }

  async #encodeBy(encoder: Encoder, images: Float32Array): Promise<Float32Array> {
    const { channels, imageSize: size } = this.train;
    const length = channels * size * size, count = images.length / length;
    return await encoder.encode(images, { count, channels, height: size, width: size });
  }

  /** Releases banks, encoders and the models that were loaded last, here and `with` other settings. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const other of this.#others.values()) await (await other)[Symbol.asyncDispose]();
    this.#loaded?.store.dispose();
    this.#loaded = undefined;
    this.measuring[Symbol.dispose]();
    if (!this.measuresBySnippets) this.encoder[Symbol.dispose]();
    this.bank[Symbol.dispose]();
  }

  get #stepUnits(): number {
    return STEP_EVALUATIONS * this.config.train.batchSize / UNIT_IMAGES;
  }

  async #compress(rank: number): Promise<{ snippets: Float32Array; energy: number }> {
    using file = BankFile.open(this.#bankPath);
    // Once for all ranks, in as many dimensions as the snippets differ in, which may be fewer than a rank.
    this.#factors ??= factorize(file, { energy: 1 });
    const { energy, ...factors } = leading(await this.#factors, rank);
    using bank = LowRankBank.from(this.device, { ...file.records, ...factors });
    using rows = bank.gather(Uint32Array.from({ length: bank.size }, (_, i) => i));
    return { snippets: await rows.read(), energy };
  }

  async #makeSamples(arm: Arm): Promise<Samples> {
    const path = this.#samplesPath(arm);
    if (!existsSync(path)) await this.#drawTo(path, arm);
    using file = SafetensorsFile.open(path);
    const images = file.readFloat32("images");
    return {
      images,
      encodings: await this.encode(images),
      evaluations: Number(file.metadata["evaluations"]),
    };
  }

  async #drawTo(path: string, arm: Arm): Promise<void> {
    const model = await this.#load(arm);
    const { config } = this, { channels, imageSize } = this.train;
    const shape = [arm.count, channels, imageSize, imageSize];
    const length = channels * imageSize ** 2, { dim } = this.bank;
    const snippets = await this.snippetsOf(arm);
    const labels = this.spread(arm.count).map((index) => this.train.labels[index]!);
    const images = new Float32Array(arm.count * length);
    let evaluations = 0;
    for (let first = 0; first < arm.count; first += this.scale.batch) {
      this.#signal?.throwIfAborted();
      const end = Math.min(arm.count, first + this.scale.batch);
      const drawn = this.device.scope(() =>
        draw({
          model,
          condition: arm.model === "label"
            ? this.device.tensor(labels.slice(first, end), [end - first])
            : this.device.tensor(snippets.slice(first * dim, end * dim), [end - first, dim]),
          config: { ...config.sample, sampler: arm.sampler, steps: stepsFor(arm), seed: arm.seed },
          firstSample: first,
          ...pathOf(config),
        })
      );
      images.set(await drawn.images.read(), first * length);
      drawn.images.dispose();
      evaluations = drawn.evaluations;
      this.#options.onProgress((end - first) / arm.count * unitsOf(arm));
    }
    await Deno.mkdir(dirname(path), { recursive: true });
    using writer = new SafetensorsWriter(path, [["images", { dtype: "F32", shape }]], {
      metadata: { evaluations: String(evaluations), arm: JSON.stringify(arm) },
    });
    writer.append("images", images);
    writer.commit();
  }

  /** The averaged weights of a model at a step, in a network. */
  async #load({ model: arm, step }: Arm): Promise<SiT> {
    const directory = this.#modelDirectory(arm);
    if (!this.#isTrained(directory)) await this.#trainModel(arm, directory);
    const kind = arm === "label" ? "label" : "snippet",
      key = averagesPath(directory, step);
    if (this.#loaded?.kind !== kind) {
      this.#loaded?.store.dispose();
      const store = new ParameterStore(this.device, { seed: 0 });
      this.#loaded = { key: "", kind, store, model: new SiT(store, this.#modelOptions(arm)) };
    }
    if (this.#loaded.key !== key) loadWeights(key, this.#loaded.model);
    this.#loaded.key = key;
    return this.#loaded.model;
  }

  async #trainModel(arm: ModelArm, directory: string): Promise<void> {
    const { scale, note } = this;
    const config = this.#modelConfig(arm), { steps } = config.train;
    await Deno.mkdir(directory, { recursive: true });
    using run = await buildRun({
      device: this.device,
      config,
      train: this.train,
      runDirectory: directory,
      checkpoint: listCheckpoints(directory).at(-1)?.path,
      note: () => {},
    });
    const { trainer, model } = run;
    note(`train   ${nameOf(arm)}: step ${trainer.step} of ${steps}`);
    const stops = [...scale.checkpoints, ...multiples(scale.checkpointEvery, steps)]
      .filter((step) => step > trainer.step).toSorted((a, b) => a - b);
    for (const stop of new Set(stops)) {
      const records = trainer.run({
        steps: stop,
        logEvery: stop - trainer.step,
        syncEvery: config.train.syncEvery,
        ...(this.#signal && { signal: this.#signal }),
        onStep: () => this.#options.onProgress(this.#stepUnits),
      });
      for await (const { step, loss } of records) {
        note(`train   ${nameOf(arm)}: step ${step} of ${steps}, loss ${loss.toFixed(4)}`);
      }
      if (scale.checkpoints.includes(trainer.step)) {
        await saveStateDict(
          averagesPath(directory, trainer.step),
          model.parameters,
          {
            slabs: trainer.optimizer.averages,
          },
        );
      }
      if (trainer.step < steps) {
        await saveCheckpoint(directory, trainer, { config });
      }
      removeOldCheckpoints(directory, trainer.step < steps ? 1 : 0);
      this.#signal?.throwIfAborted();
    }
  }

  #isTrained(directory: string): boolean {
    return existsSync(averagesPath(directory, this.config.train.steps));
  }

  #modelConfig(arm: ModelArm): Config {
    const { config } = this;
    return resolveConfig({
      ...config,
      model: { ...config.model, conditioning: arm === "label" ? "label" : "snippet" },
      bank: {
        ...config.bank,
        path: this.#bankPath,
        mask: arm === "label" || arm.maskRatio === 0
          ? { ...config.bank.mask, kind: "none" }
          : { ...config.bank.mask, kind: "zero", ratio: arm.maskRatio },
      },
    });
  }

  #modelOptions(arm: ModelArm): ReturnType<typeof modelOptions> {
    return modelOptions(this.#modelConfig(arm).model, {
      imageSize: this.train.imageSize,
      channels: this.train.channels,
      classes: this.train.classes.length,
      snippetDim: this.bank.dim,
    });
  }

  #modelDirectory(arm: ModelArm): string {
    const { device: _device, sample: _sample, ...trained } = this.#modelConfig(arm);
    const { runDirectory: _run, keepCheckpoints: _kept, ...train } = trained.train;
    // Labels know no bank.
    const bank = arm === "label" ? undefined : { ...trained.bank, path: basename(this.#bankPath) };
    const key = keyOf([{ ...trained, train, bank }, this.scale.checkpoints]);
    const name = arm === "label" ? "label" : `gmem_mask${Math.round(100 * arm.maskRatio)}`;
    return join(this.#directory, `${name}_${key}`);
  }

  #samplesPath(arm: Arm): string {
    // Sampler, steps, seed and count are the arm's; columns bear on no sample.
    const {
      sampler: _sampler,
      steps: _steps,
      seed: _seed,
      count: _count,
      columns: _columns,
      ...drawing
    } = this.config.sample;
    const key = keyOf([arm, drawing]);
    return join(this.#modelDirectory(arm.model), "samples", `${key}.safetensors`);
  }
}

/** The part of rank `rank` of a factorization, or all of it where that has fewer. */
function leading(whole: Factorization, rank: number): Factorization {
  const width = whole.singularValues.length, kept = Math.min(rank, width);
  const columns = (table: Float32Array) => table.filter((_, i) => i % width < kept);
  const energyOf = (values: Float32Array) => values.reduce((sum, value) => sum + value ** 2, 0);
  const singularValues = whole.singularValues.subarray(0, kept);
  return {
    mean: whole.mean,
    basis: columns(whole.basis),
    coefficients: columns(whole.coefficients),
    singularValues,
    energy: whole.energy * energyOf(singularValues) / energyOf(whole.singularValues),
  };
}

/** Vectors [n, dim] as what distances are measured to. */
export function referenceTo(vectors: Float32Array, dim: number): FrechetReference {
  return new FrechetReference(new GaussianStatistics(dim).add(vectors));
}

function averagesPath(directory: string, step: number): string {
  return join(directory, `ema_${String(step).padStart(7, "0")}.safetensors`);
}

function multiples(every: number, most: number): number[] {
  return Array.from({ length: Math.floor(most / every) }, (_, i) => (i + 1) * every);
}

function keyOf(value: unknown): string {
  return sha256Hex(JSON.stringify([CACHE_FORMAT, value])).slice(0, 12);
}
