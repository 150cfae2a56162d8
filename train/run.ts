/**
 * From a configuration and data to everything that a run needs.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Bank } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { encoderOfBank } from "../bank/encoders/open.ts";
import { writeFeatureBank } from "../bank/features.ts";
import { BankFile } from "../bank/file.ts";
import { type BankFingerprint, bankFingerprint } from "../bank/fingerprint.ts";
import type { LabelledImages } from "../bank/image_source.ts";
import { loadBank } from "../bank/load.ts";
import { makeBank, type Places } from "../bank/make.ts";
import { recordsOfImages } from "../bank/records.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { CheckpointError } from "../kernels/core/errors.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { modelOptions } from "../model/config.ts";
import { SiT } from "../model/sit.ts";
import { pathOf } from "../sample/network.ts";
import { imagesFingerprint, loadWeights, restoreTrainer, restoreWeights } from "./checkpoint.ts";
import type { Config } from "./config.ts";
import {
  findStatistics,
  type LatentScaling,
  measureStatistics,
  OFFICIAL_STATISTICS_FILE,
  STATISTICS_FILE,
  writeStatistics,
} from "./datasets/latent_scaling.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { type TrainingFeatures, trainingFeatures } from "./features.ts";
import { RUN_BANK } from "./run_files.ts";
import { SettingError } from "./setting_error.ts";
import { Trainer, type TrainerOptions } from "./trainer.ts";

/** Everything that trains together. */
export interface Run extends Disposable {
  readonly device: Device;
  /** The images to train on, or their latents on the scale of training. */
  readonly dataset: LabelledImages | LatentShards;
  /** Their snippets; undefined with label conditioning. */
  readonly bank: Bank | undefined;
  /** What made the snippets, where it can encode more images and the model makes images. */
  readonly encoder: Encoder | undefined;
  /** What it makes of the training images; undefined without it. */
  readonly trainingFeatures: TrainingFeatures | undefined;
  readonly model: SiT;
  readonly trainer: Trainer;
  /** What tells the images of the run from others; checkpoints remember it. */
  readonly imagesFingerprint: string;
  /** What tells the snippets of its bank from others, likewise; undefined with label conditioning. */
  readonly bankFingerprint: BankFingerprint | undefined;
  /** The condition of images of the data set: their snippets [n, d] or labels u32 [n]. */
  conditionOf(indices: Uint32Array): Tensor;
}

/**
 * Scales latents, builds (or loads) the bank, makes the model and its trainer, which go on from a checkpoint,
 * or start from a file of weights or from random ones.
 *
 * Throws what these throw, what `loadCheckpoint` and `initializeFrom` throw, a `CheckpointError` that names the
 * tensor if latent shards lack one that the configuration needs, and a `SettingError` if their tokens are not as
 * its network's.
 */
export async function buildRun(options: {
  device: Device;
  config: Config;
  /** The images, or latents as they are stored; the caller keeps them. */
  train: LabelledImages | LatentShards;
  /** Where those to train on stand among all: a file of vectors may have one for each of all. */
  places?: Places;
  runDirectory: string;
  /** Folder of the checkpoint to go on from, with bank and statistics of its run; a fresh run makes its own. */
  checkpoint?: string | undefined;
  /** The file of weights that a fresh run starts from, in place of random ones. */
  weights?: { readonly path: string; readonly reversed: boolean } | undefined;
  note: (line: string) => void;
  /** Called with the number of images encoded, where a bank is built. */
  onEncoded?: (done: number, total: number) => void;
}): Promise<Run> {
  const { device, config, checkpoint, weights } = options;
  using opened = new DisposableStack();
  const train = options.train instanceof LatentShards
    ? prepareLatents(options.train, options)
    : options.train;
  const snippets = config.model.conditioning === "snippet"
    ? await prepareBank({ ...options, train })
    : undefined;
  const bank = snippets?.bank;
  if (snippets?.encoder) opened.use(snippets.encoder);
  if (bank) opened.use(bank);
  if (snippets) requirePairs(snippets, train);
  const store = opened.use(new ParameterStore(device, { seed: config.train.seed }));
  const model = new SiT(
    store,
    modelOptions(config.model, {
      imageSize: train.imageSize,
      channels: train.channels,
      classes: Math.max(train.classes.length, 1),
      snippetDim: bank?.dim ?? 0,
    }),
  );
  const fingerprints = {
    imagesFingerprint: imagesFingerprint(train),
    bankFingerprint: snippets?.fingerprint,
  };
  // Before the trainer: its optimiser uses the store, which then initialises what was not loaded.
  if (checkpoint !== undefined) restoreWeights(checkpoint, { model, ...fingerprints });
  else if (weights) loadWeights(weights.path, model, weights);
  const trainer = opened.use(makeTrainer(config, { model, dataset: train, bank }));
  if (checkpoint !== undefined) restoreTrainer(checkpoint, trainer);
  const encoder = snippets?.encoder;
  const features = bank && encoder && !(train instanceof LatentShards)
    ? trainingFeatures({ device, bank, encoder, images: train })
    : undefined;
  const kept = opened.move();
  return {
    device,
    dataset: train,
    bank,
    encoder,
    trainingFeatures: features,
    model,
    trainer,
    ...fingerprints,
    conditionOf: (indices) =>
      bank
        ? bank.gather(indices)
        : device.tensor(indices.map((i) => train.labels[i]!), [indices.length]),
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** The trainer that a configuration means. */
function makeTrainer(
  config: Config,
  parts: Pick<TrainerOptions, "model" | "dataset" | "bank">,
): Trainer {
  const { kind, ratio } = config.bank.mask;
  const { weighting, timeDistribution, cosineLoss } = config.interpolant;
  const { learningRate, warmupSteps, ...optimizer } = config.optimizer;
  const { batchSize, gradientAccumulation, seed, clip, emaDecay, emaWarmup, recompute } =
    config.train;
  const { precision, lossScaleInterval } = config.train;
  return new Trainer({
    ...parts,
    ...pathOf(config),
    weighting,
    timeDistribution,
    cosineLoss,
    alignmentWeight: config.model.repa?.weight,
    ...(parts.bank
      ? { mask: kind === "none" ? undefined : { kind, ratio } }
      : { classDropout: config.model.classDropout }),
    flip: config.data.flip,
    learningRate,
    warmupSteps,
    optimizer,
    batchSize,
    gradientAccumulation,
    seed,
    clip,
    emaDecay,
    emaWarmup,
    recompute,
    precision,
    lossScaleInterval,
  });
}

/** The bank of a run. */
interface RunBank {
  /** Its file. */
  readonly path: string;
  /** Its snippets. */
  readonly bank: Bank;
  /** What tells them from others. */
  readonly fingerprint: BankFingerprint;
}

function openRunBank(device: Device, path: string): RunBank {
  using file = BankFile.open(path);
  return { path, fingerprint: bankFingerprint(file), bank: loadBank(device, file) };
}

/** Throws where a bank has not one snippet for each image, or of another name. */
function requirePairs(
  { path, bank }: RunBank,
  images: { readonly size: number; readonly names?: readonly string[] },
): void {
  const { names = [] } = images;
  if (bank.size !== images.size) {
    throw new TypeError(
      `Cannot train with ${path}: it has ${counted(bank.size, "snippet")} for ` +
        `${counted(images.size, "image")}, expected one each: a bank of these images, built with ` +
        "the same data.heldOut",
    );
  }
  if (bank.names === undefined) return;
  const wrong = names.findIndex((name, i) => bank.names![i] !== name);
  if (wrong < 0) return;
  throw new TypeError(
    `Cannot train with the bank: its snippet ${wrong} is of ${bank.names[wrong]}, the image ` +
      `there is ${names[wrong]}, expected the bank of these images in their order: the same ` +
      "files, data.heldOut and train.seed, or no bank.path for a new one",
  );
}

/**
 * The scale that latents of a configuration are brought to, by the statistics in a folder: that of a run,
 * or of a file of weights.
 *
 * Throws a `CheckpointError` if they are not there or cannot be read.
 */
export function latentScaling(data: Config["data"], directory: string): LatentScaling {
  const { latentNorm, latentMultiplier: multiplier, channels } = data;
  if (!latentNorm) return { statistics: undefined, multiplier };
  const found = findStatistics(directory, channels);
  if (found) return { statistics: found.statistics, multiplier };
  throw new CheckpointError(
    `Cannot scale latents: ${directory} has no statistics, expected ${STATISTICS_FILE} or ` +
      `${OFFICIAL_STATISTICS_FILE} there, or data.latentNorm false`,
    { path: directory },
  );
}

/** Checks that latents have what the configuration needs, and brings them to the scale of training. */
function prepareLatents(
  stored: LatentShards,
  options: Parameters<typeof buildRun>[0],
): LatentShards {
  const { config: { data, model, bank }, runDirectory } = options, { repa, conditioning } = model;
  if (data.flip) stored.require("latents_flip", "data.flip");
  if (repa) stored.require("representations", "model.repa");
  if (repa && data.flip) stored.require("representations_flip", "model.repa with data.flip");
  if (repa) requireTokens(stored, model);
  if (conditioning === "label") stored.require("labels", "model.conditioning label");
  else if (bank.path === null) stored.require("cls_tokens", "the bank, while bank.path is null");
  if (data.latentNorm) keepStatistics(stored, options);
  return stored.scaled(latentScaling(data, runDirectory));
}

/** Throws unless the network of a configuration has as many and as wide tokens as the shards. */
function requireTokens(
  { directory, imageSize, tokens }: LatentShards,
  { patchSize, repa }: Config["model"],
): void {
  const { count, width } = tokens!, wanted = (imageSize / patchSize) ** 2;
  if (count === wanted && width === repa!.targetWidth) return;
  throw new SettingError(
    "Cannot align tokens as model.repa says: " +
      `the shards of ${directory} have ${counted(count, "token")} of ${width} for a latent, and ` +
      `the network ${wanted} of model.repa.targetWidth ${repa!.targetWidth}, for ` +
      `model.patchSize is ${patchSize}: expected as many and as wide ones`,
  );
}

/**
 * Sees to it that the folder of a run has statistics: those that a resumed run began with, or else those
 * beside the shards, or else measured ones.
 */
function keepStatistics(
  stored: LatentShards,
  { runDirectory, checkpoint, note }: Parameters<typeof buildRun>[0],
): void {
  const kept = join(runDirectory, STATISTICS_FILE);
  if (checkpoint !== undefined && existsSync(kept)) return;
  const found = findStatistics(stored.directory, stored.channels);
  writeStatistics(kept, found?.statistics ?? measureStatistics(stored));
  note(`latents ${found ? `statistics of ${found.path}` : "statistics measured"}, in ${kept}`);
}

/** The bank of a run: the configured file, the one that a resumed run has, or a new one. */
async function prepareBank(
  options: Omit<Parameters<typeof buildRun>[0], "train"> & { train: Run["dataset"] },
): Promise<RunBank & { readonly encoder: Encoder | undefined }> {
  const { device, config, train, places, runDirectory, checkpoint, note, onEncoded } = options;
  const { onnxProviders: providers } = config.device;
  const built = join(runDirectory, RUN_BANK);
  const goesOn = checkpoint !== undefined && existsSync(built);
  const file = config.bank.path ?? (goesOn ? built : undefined);
  if (file) {
    const opened = openRunBank(device, file), { bank } = opened;
    note(`bank    ${file}: ${counted(bank.size, "snippet")} of ${bank.dim}`);
    if (train instanceof LatentShards) return { ...opened, encoder: undefined };
    // The network of a bank may have moved since; one that is told must be the same.
    const onnx = bank.encoder?.kind === "onnx" ? config.bank.onnx?.path ?? undefined : undefined;
    const encoder = await encoderOfBank(bank, { device, onnx, providers }).catch((error: Error) => {
      // Training goes by the snippets alone; only the report at its end encodes images.
      note(`        no report at the end: ${error.message}`);
      return undefined;
    });
    return { ...opened, encoder };
  }
  const started = performance.now();
  let encoder: Encoder | undefined, by = "the shards' CLS tokens";
  if (train instanceof LatentShards) {
    await writeFeatureBank(train.snippets!, {
      out: built,
      records: recordsOfImages(train),
      onProgress: onEncoded,
    });
  } else {
    const { bank: bankConfig } = config;
    by = bankConfig.encoder;
    encoder = await makeBank({
      device,
      config: bankConfig,
      images: train,
      places,
      providers,
      out: built,
      note: (line) => note(`bank    ${line}`),
      onProgress: onEncoded,
    });
  }
  const opened = openRunBank(device, built), { bank } = opened;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  note(
    `bank    ${counted(bank.size, "snippet")} of ${bank.dim} by ${by} in ${seconds} s, in ${built}`,
  );
  return { ...opened, encoder };
}
