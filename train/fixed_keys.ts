/**
 * Keys of a configuration that follow a run from its start to the last sample: with others its weights would
 * mean something else, also where their shapes fit.
 *
 * @module
 */

import { resolve } from "node:path";
import type { Config } from "./config.ts";
import { SettingError } from "./setting_error.ts";

/** A configuration as a run was started with it, and the same with settings above it. */
interface Change {
  /** What the run was started with. */
  readonly started: Config;
  /** What is asked for now. */
  readonly config: Config;
}

/**
 * Checks that settings leave what the weights of a run were trained for, so that one may draw with them.
 *
 * @throws {SettingError} with the first key that is not what it was.
 */
export function requireSameNetwork({ started, config }: Change): void {
  requireEqual(networkKeys(started), networkKeys(config));
}

/**
 * Checks that settings leave what a run took once, at its start, so that it may go on.
 *
 * @throws {SettingError} with the first key that is not what it was.
 */
export function requireSameRun({ started, config }: Change): void {
  requireEqual(runKeys(started), runKeys(config));
}

function requireEqual(
  started: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
): void {
  for (const [key, value] of Object.entries(config)) {
    const [given, own] = [JSON.stringify(value), JSON.stringify(started[key])];
    if (given === own) continue;
    throw new SettingError(
      `Cannot change ${key} to ${given}: the run was started with ${own}, expected that` +
        (key === "train.runDirectory" ? "; its folder may be moved" : ""),
    );
  }
}

/**
 * What the network of a run and its scale of the data follow from, by key. Weights would fit another network
 * as well where shapes are the same, as with another number of heads.
 */
function networkKeys({ data, interpolant, model }: Config): Record<string, unknown> {
  const { imageSize, channels, latentNorm, latentMultiplier } = data;
  const { path, prediction } = interpolant;
  return flat({
    data: { imageSize, channels, latentNorm, latentMultiplier },
    // What is undefined may change.
    model: {
      ...model,
      name: undefined,
      classDropout: undefined,
      zeroInit: undefined,
      repa: undefined,
    },
    interpolant: { path, prediction },
  });
}

/** The same with what the bank and the folder of the run follow from; files may lie elsewhere by now. */
function runKeys(config: Config): Record<string, unknown> {
  const { bank, train } = config;
  return {
    ...networkKeys(config),
    ...flat({
      bank: {
        ...bank,
        path: undefined,
        mask: undefined,
        onnx: bank.onnx && { ...bank.onnx, path: undefined },
        features: bank.features && { ...bank.features, path: undefined },
      },
      // As a whole: it may have been typed in another folder.
      train: { runDirectory: resolve(train.runDirectory) },
    }),
  };
}

/** The values of sections by their full names, such as `model.heads`. */
function flat(sections: Readonly<Record<string, object>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(sections).flatMap(([section, keys]) =>
      Object.entries(keys).map(([key, value]) => [`${section}.${key}`, value])
    ),
  );
}
