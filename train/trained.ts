/**
 * A trained model to draw with, and the bank that guides it: from a checkpoint to both.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ExtensibleBank } from "../bank/bank.ts";
import { BankFile } from "../bank/file.ts";
import { type BankFingerprint, beginsWith } from "../bank/fingerprint.ts";
import { loadBank } from "../bank/load.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { CheckpointError } from "../kernels/core/errors.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { modelOptions, modelSettings } from "../model/config.ts";
import { readModelOptions } from "../model/read_model_options.ts";
import { type ConditionOptions, SiT } from "../model/sit.ts";
import type { DeepPartial } from "../model/schema.ts";
import { openWeights } from "../model/weights.ts";
import { findCheckpoint, loadWeights, readStateOfSiT, trainedImages } from "./checkpoint.ts";
import { type Config, resolveConfig } from "./config.ts";
import { configToDraw } from "./fixed_keys.ts";
import { AVERAGED_WEIGHTS, RUN_BANK } from "./run_files.ts";
import { TOKENIZERS } from "./tokenizers.ts";

/** The tokenizer of networks of as many channels as it has. */
const SD_VAE = "sd-vae";

/** What a checkpoint, or a file of weights, says of itself. */
export interface CheckpointConfig {
  /** The checkpoint's folder, or the file of weights. */
  readonly checkpoint: string;
  /** The file of the weights to draw with. */
  readonly weights: string;
  /** The network's time runs from data to noise, as in REPA. */
  readonly reversed: boolean;
  /** Optimiser steps done; undefined for a file of weights, which does not say. */
  readonly step: number | undefined;
  /** Images that they took, each as often as it was taken; undefined where that is not known. */
  readonly seen?: number | undefined;
  /** The configuration of the run; for a file of weights, that of the network in it. */
  readonly config: Config;
  /** Names of the classes in the order of labels; empty where they are not known. */
  readonly classes: readonly string[];
  /** What tells the snippets that it was trained with from others; undefined where that is not known. */
  readonly bankFingerprint?: BankFingerprint | undefined;
  /** What tells the images that it was trained on from others; undefined where that is not known. */
  readonly imagesFingerprint?: string | undefined;
  /** Number of training images of each class; empty where they are not known. */
  readonly imagesPerClass: readonly number[];
}

/** A model with what guides it. */
export interface TrainedModel extends CheckpointConfig, Disposable {
  /** The network with its averaged weights. */
  readonly model: SiT;
  /** The bank that guides it; undefined for a model that labels guide. */
  readonly bank: ExtensibleBank | undefined;
  /** Number of classes, the null class not counted, of a model that labels guide; else 0. */
  readonly classCount: number;
}

/**
 * Reads the configuration of a checkpoint, or of the newest one in a run's folder, with settings such
 * as `sample.steps=5` above it.
 *
 * Throws a CheckpointError if there is no checkpoint, or one of a network or a path of a program's own, and a
 * SyntaxError for an unknown key, a wrong value, or a setting with which the weights would mean something
 * else, such as another `model.heads`.
 *
 * @example
 * ```ts
 * import { readCheckpointConfig } from "@gmem/gmem";
 *
 * const run = Deno.makeTempDirSync();
 * Deno.mkdirSync(`${run}/step_0000500`);
 * const state = { format: 1, step: 500, config: { model: { width: 192, heads: 3 } } };
 * Deno.writeTextFileSync(`${run}/step_0000500/state.json`, JSON.stringify(state));
 * const { step, config } = readCheckpointConfig(run, { overrides: ["sample.steps=10"] });
 * console.log(step, config.model.width, config.sample.steps); // 500 192 10
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export function readCheckpointConfig(
  path: string,
  options: { readonly overrides?: readonly string[] | undefined } = {},
): CheckpointConfig {
  const checkpoint = findCheckpoint(path);
  const state = readStateOfSiT(checkpoint);
  const { step, seen, config: stored, classes = [], classCounts = [], bank, images } = state;
  const { overrides = [] } = options;
  return {
    checkpoint,
    weights: join(checkpoint, AVERAGED_WEIGHTS),
    reversed: false,
    step,
    seen,
    config: configToDraw({ checkpoint, stored, overrides }),
    classes,
    bankFingerprint: bank,
    imagesFingerprint: images,
    imagesPerClass: classCounts,
  };
}

/** How {@linkcode readWeightsConfig} reads a file. */
export interface WeightsConfigOptions {
  /** The file's time runs from data to noise (REPA, first GMem release). */
  readonly reversed: boolean;
  /** Attention heads, where the file does not tell them. */
  readonly heads: number | undefined;
  /** Settings such as `sample.steps=5` that take the place of what the file tells. */
  readonly overrides: readonly string[];
}

/**
 * The configuration of the network in a file of weights, official or of this project, as the shapes in it
 * tell it. A network of 1 or 3 channels makes images, of 4 latents of SD-VAE, of more latents that are
 * scaled by the statistics beside the file.
 *
 * Throws a CheckpointError if there is no such network in the file, and a SyntaxError for an unknown key
 * or a wrong value.
 */
export function readWeightsConfig(
  path: string,
  options: WeightsConfigOptions,
): CheckpointConfig {
  const { reversed, heads, overrides } = options;
  using file = openWeights(path);
  const model = readModelOptions(file, { heads }), { inputSize, channels } = model;
  const isLatent = channels !== 1 && channels !== 3;
  const tokenizer = TOKENIZERS[SD_VAE].channels === channels ? SD_VAE : null;
  const value: DeepPartial<Config> = {
    data: {
      kind: isLatent ? "latents" : "folder",
      path: dirname(path),
      imageSize: inputSize,
      channels,
      ...(tokenizer && { tokenizer }),
    },
    model: modelSettings(model),
  };
  const config = resolveConfig(value, { name: path, overrides });
  return {
    checkpoint: path,
    weights: path,
    reversed,
    step: undefined,
    config,
    classes: [],
    imagesPerClass: [],
  };
}

/** The bank that a checkpoint was trained with: the configured file, or the one of the run. */
export function bankPathOf(
  { checkpoint, config }: Pick<CheckpointConfig, "checkpoint" | "config">,
): string {
  return config.bank.path ?? join(dirname(checkpoint), RUN_BANK);
}

/**
 * Loads the averaged weights of a checkpoint, or a file of weights, and the bank that guides them: that
 * of the run, which must begin with the snippets that it was trained with, or the file `bank`, whose
 * snippets must be as long.
 *
 * Throws a TypeError if the bank does not fit the model or the model takes labels, and a
 * CheckpointError if a file cannot be read.
 *
 * @example
 * ```ts
 * import {
 *   Device, draw, loadEmoji, loadTrained, ParameterStore, pathOf, readCheckpointConfig, saveCheckpoint, SiT,
 *   Trainer,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const run = Deno.makeTempDirSync();
 * {
 *   const dataset = await loadEmoji({ imageSize: 8 }), condition = { classes: dataset.classes.length };
 *   using store = new ParameterStore(device, { seed: 0 });
 *   const model = new SiT(store, {
 *     inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2, condition,
 *   });
 *   using trainer = new Trainer({ model, dataset, batchSize: 4 });
 *   for await (const _ of trainer.run({ steps: 1 }));
 *   // What "deno task train" writes; "deno task sample --checkpoint" takes it as well.
 *   await saveCheckpoint(run, trainer, { dataset });
 * }
 * using trained = loadTrained(device, readCheckpointConfig(run));
 * const { model, config, classes } = trained;
 * using condition = device.tensor(Uint32Array.of(0, 8), [2]); // or trained.bank.gather([0, 8])
 * const { images } = draw({ model, condition, config: config.sample, ...pathOf(config) });
 * console.log(classes[0], images.shape); // Activities [ 2, 3, 8, 8 ]
 * images.dispose();
 * Deno.removeSync(run, { recursive: true });
 * ```
 */
export function loadTrained(
  device: Device,
  options: CheckpointConfig & { readonly bank?: string | undefined },
): TrainedModel {
  const { config } = options;
  requireTrainedWeights(options);
  using opened = new DisposableStack();
  const condition = openCondition(device, options);
  if (condition.bank) opened.use(condition.bank);
  const store = opened.use(new ParameterStore(device, { seed: config.train.seed }));
  const model = new SiT(
    store,
    modelOptions(config.model, {
      imageSize: config.data.imageSize,
      channels: config.data.channels,
      classes: condition.classCount,
      snippetDim: condition.bank?.dim ?? 0,
    }),
  );
  loadTrainedWeights(model, options);
  const kept = opened.move();
  return { ...options, model, ...condition, [Symbol.dispose]: () => kept.dispose() };
}

/**
 * Gives a model the averaged weights of a checkpoint, or a file of weights.
 *
 * Throws a CheckpointError if they are not there, or not those of such a model.
 */
export function loadTrainedWeights(model: SiT, checkpoint: CheckpointConfig): void {
  requireTrainedWeights(checkpoint);
  const { weights, reversed, config } = checkpoint;
  loadWeights(weights, model, { reversed, withoutProjector: config.model.repa === null });
}

function requireTrainedWeights({ weights, step }: CheckpointConfig): void {
  if (step === undefined || existsSync(weights)) return;
  throw new CheckpointError(
    `Cannot read ${weights}: it is not there, perhaps since a run that goes on removed the checkpoint ` +
      "meanwhile, expected the same again for the newest, or more kept by train.keepCheckpoints",
    { path: weights },
  );
}

/**
 * Training steps that went once through the images that a checkpoint was trained on, in the mean of all, where it
 * tells how many there are.
 */
export function stepsPerEpochOf(
  { config, step, seen, bankFingerprint, imagesPerClass }: CheckpointConfig,
): number | undefined {
  const images = trainedImages({ bank: bankFingerprint, classCounts: imagesPerClass });
  const batchSize = step && seen ? seen / step : config.train.batchSize;
  return images && images / batchSize;
}

function openCondition(
  device: Device,
  options: CheckpointConfig & { readonly bank?: string | undefined },
): { bank: ExtensibleBank | undefined; classCount: number } {
  const { checkpoint, config, bank: path = bankPathOf(options) } = options;
  const stored = storedCondition(options);
  if (config.model.conditioning === "label") {
    if (options.bank !== undefined) {
      throw new TypeError(
        `Cannot guide ${checkpoint} by ${options.bank}: the model is guided by labels, ` +
          "expected one with model.conditioning snippet",
      );
    }
    return { bank: undefined, classCount: "classes" in stored ? stored.classes : 0 };
  }
  using file = options.bank === undefined ? openOwnBank(path, options) : BankFile.open(path);
  const bank = loadBank(device, file);
  const expected = "classes" in stored ? 0 : stored.snippetDim;
  if (bank.dim === expected) return { bank, classCount: 0 };
  bank[Symbol.dispose]();
  throw new TypeError(
    `Cannot guide ${checkpoint} by ${path}: its snippets have ${counted(bank.dim, "component")}, ` +
      `expected ${expected}`,
  );
}

/** Throws where the bank of a run is gone or no longer what it was, but for snippets that were added to it. */
function openOwnBank(path: string, { checkpoint, bankFingerprint }: CheckpointConfig): BankFile {
  using opened = new DisposableStack();
  const file = opened.use(BankFile.openIfThere(path));
  if (file === undefined) {
    throw new Deno.errors.NotFound(
      `Cannot guide ${checkpoint}: its bank ${path} is not there, expected it, or another one as the option bank`,
    );
  }
  if (bankFingerprint === undefined || beginsWith(file, bankFingerprint)) {
    opened.move();
    return file;
  }
  throw new TypeError(
    `Cannot guide ${checkpoint} by ${path}: its snippets are not those that the model was trained ` +
      "with, expected that bank, or another one as the option bank",
  );
}

/** What guides the network in a file of weights. */
function storedCondition({ weights, config }: CheckpointConfig): ConditionOptions {
  using file = openWeights(weights);
  const { heads, classDropout } = config.model;
  return readModelOptions(file, { heads, nullClass: classDropout > 0 }).condition;
}
