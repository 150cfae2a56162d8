/**
 * A trained model to draw with, and the bank that guides it: from a checkpoint to both.
 *
 * @module
 */

import { dirname, join } from "node:path";
import type { ExtensibleBank } from "../bank/bank.ts";
import { loadBank } from "../bank/load.ts";
import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { SiT } from "../model/sit.ts";
import { findCheckpoint, loadWeights, readCheckpointState } from "./checkpoint.ts";
import { type Config, resolveConfig } from "./config.ts";
import { modelOptions } from "./run.ts";

/** The file with the averaged weights. */
const WEIGHTS = "ema.safetensors";

/** Weights whose shapes tell what a model was trained with. */
const LABEL_WEIGHT = "y_embedder.embedding_table.weight";
const SNIPPET_WEIGHTS = {
  linear: "condition_projection.linear.weight",
  mlp3: "condition_projection.net.0.weight",
} as const;

/** What a checkpoint says of itself. */
export interface CheckpointConfig {
  /** The checkpoint's folder. */
  readonly checkpoint: string;
  /** Optimiser steps done. */
  readonly step: number;
  /** The configuration of the run. */
  readonly config: Config;
}

/** A model with what guides it. */
export interface TrainedModel extends CheckpointConfig, Disposable {
  /** The network with its averaged weights. */
  readonly model: SiT;
  /** The bank that guides it; undefined for a model that labels guide. */
  readonly bank: ExtensibleBank | undefined;
  /** Number of classes, the null class not counted, of a model that labels guide; else 0. */
  readonly classes: number;
}

/**
 * Reads the configuration of a checkpoint, or of the newest one in a run's folder, with settings such
 * as `sample.steps=5` above it.
 *
 * Throws a CheckpointError if there is no checkpoint, and a SyntaxError for an unknown key
 * or a wrong value.
 */
export function readCheckpointConfig(
  path: string,
  options: { readonly overrides?: readonly string[] } = {},
): CheckpointConfig {
  const checkpoint = findCheckpoint(path);
  const { step, config } = readCheckpointState(checkpoint);
  const { overrides = [] } = options;
  return { checkpoint, step, config: resolveConfig(config, { name: checkpoint, overrides }) };
}

/** The bank that a checkpoint was trained with: the configured file, or the one of the run. */
export function bankPathOf({ checkpoint, config }: CheckpointConfig): string {
  return config.bank.path ?? join(dirname(checkpoint), "bank.safetensors");
}

/**
 * Checks that the samples of a checkpoint are images.
 *
 * Throws a TypeError if they are latents.
 */
export function requireImages({ checkpoint, config }: CheckpointConfig): void {
  if (config.data.kind !== "latents") return;
  throw new TypeError(
    `Cannot take samples of ${checkpoint} for images: its model makes latents, ` +
      "expected a model of images",
  );
}

/**
 * Loads the averaged weights of a checkpoint, and the bank that guides them: that of the run, or the
 * file `bank`, whose snippets must be as long.
 *
 * Throws a TypeError if the bank does not fit the model or the model takes labels, and a
 * CheckpointError if a file cannot be read.
 *
 * @example
 * ```ts ignore
 * using trained = openTrained(device, readCheckpointConfig("runs/emoji"));
 * const condition = trained.bank!.gather([0, 1, 2]);
 * ```
 */
export function openTrained(
  device: Device,
  options: CheckpointConfig & { readonly bank?: string | undefined },
): TrainedModel {
  const { checkpoint, step, config } = options;
  using opened = new DisposableStack();
  const condition = openCondition(device, options);
  if (condition.bank) opened.use(condition.bank);
  const store = opened.use(new ParameterStore(device, { seed: config.train.seed }));
  const model = new SiT(
    store,
    modelOptions(config.model, {
      imageSize: config.data.imageSize,
      channels: config.data.channels,
      classes: condition.classes,
      snippetDim: condition.bank?.dim ?? 0,
    }),
  );
  loadWeights(join(checkpoint, WEIGHTS), model);
  const kept = opened.move();
  return {
    checkpoint,
    step,
    config,
    model,
    ...condition,
    [Symbol.dispose]: () => kept.dispose(),
  };
}

function openCondition(
  device: Device,
  options: CheckpointConfig & { readonly bank?: string | undefined },
): { bank: ExtensibleBank | undefined; classes: number } {
  const { checkpoint, config, bank: path = bankPathOf(options) } = options;
  if (config.model.conditioning === "label") {
    if (options.bank !== undefined) {
      throw new TypeError(
        `Cannot guide ${checkpoint} by ${options.bank}: the model is guided by labels, ` +
          "expected one with model.conditioning snippet",
      );
    }
    // One row more than there are classes: the null class.
    return { bank: undefined, classes: shapeIn(checkpoint, LABEL_WEIGHT)[0]! - 1 };
  }
  const bank = loadBank(device, path);
  try {
    const expected = shapeIn(checkpoint, SNIPPET_WEIGHTS[config.model.snippetEmbedding])[1];
    if (bank.dim !== expected) {
      throw new TypeError(
        `Cannot guide ${checkpoint} by ${path}: its snippets have ${bank.dim} components, ` +
          `expected ${expected}`,
      );
    }
    return { bank, classes: 0 };
  } catch (error) {
    bank[Symbol.dispose]();
    throw error;
  }
}

/** Shape of a weight in a checkpoint. */
function shapeIn(checkpoint: string, name: string): readonly number[] {
  using file = SafetensorsFile.open(join(checkpoint, WEIGHTS));
  return file.entry(name).shape;
}
