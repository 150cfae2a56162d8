/**
 * Keys of a configuration that follow a run from its start to the last sample: with others its weights would
 * mean something else, also where their shapes fit.
 *
 * @module
 */

import { resolve } from "node:path";
import { type Config, readConfig } from "./config.ts";
import { SettingError } from "./setting_error.ts";

/** A run's configuration as it is stored, and what is asked of it now. */
interface StoredRun {
  /** The checkpoint, for error messages. */
  readonly checkpoint: string;
  /** What the run was started with, as its checkpoint holds it. */
  readonly stored: unknown;
  /** Settings such as `sample.steps=5` above it. */
  readonly overrides: readonly string[];
}

/**
 * The configuration to draw with the weights of a run.
 *
 * @throws {SyntaxError} for an unknown key or a wrong value, as a {@linkcode SettingError} where a setting has
 * it or is not what the weights were trained for.
 */
export function configToDraw(run: StoredRun): Config {
  return changed(run, networkKeys);
}

/**
 * The configuration to go on with a run.
 *
 * @throws {SyntaxError} as {@linkcode configToDraw}, also for a setting that the run took once, at its start.
 */
export function configToGoOn(run: StoredRun): Config {
  return changed(run, runKeys);
}

/** The configuration with settings above it that leave the keys as they are which `fixed` gives. */
function changed(
  { checkpoint: name, stored, overrides }: StoredRun,
  fixed: (config: Config) => Readonly<Record<string, unknown>>,
): Config {
  const config = readConfig(stored, { name, overrides });
  requireEqual(fixed(readConfig(stored, { name })), fixed(config));
  return config;
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
  const isGuidedByLabels = model.conditioning === "label";
  return {
    // The null class is a row of the table of labels.
    ...(isGuidedByLabels && { "model.classDropout > 0": model.classDropout > 0 }),
    ...flat({
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
    }),
  };
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
