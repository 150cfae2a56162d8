/**
 * What `--help` says of the keys of a configuration.
 *
 * @module
 */

import { schemaFields } from "../model/schema.ts";
import { configSchema } from "./config.ts";

/**
 * All keys of a configuration with what they take, their defaults and what they mean, for `--help`.
 *
 * @example
 * ```ts
 * console.log(configReference().includes("optimizer.learningRate")); // true
 * ```
 */
export function configReference(): string {
  return schemaFields(configSchema("configs/NAME.yaml")).map((field) => {
    const standard = field.default === undefined
      ? IMPLIED_DEFAULTS[field.key]
      : JSON.stringify(field.default);
    const note = standard === undefined ? "" : ` (default ${standard})`;
    return `${field.key}: ${field.type}${note}\n    ${field.description}`;
  }).join("\n");
}

/** What `--help` says of the configuration: {@linkcode configReference} under a heading. */
export function configHelp(): string {
  return `Keys of the configuration, in a YAML file or after --set:\n\n${configReference()}`;
}

/** Defaults that follow from another key or apply only where a section is asked for. */
const IMPLIED_DEFAULTS: Readonly<Record<string, string>> = {
  "data.imageSize": "that of 256 pixels by tokenizer, or 32",
  "data.channels": "by tokenizer, or 3",
  "data.latentNorm": "by tokenizer, or true",
  "data.latentMultiplier": "by tokenizer, or 1",
  "model.patchSize": "by name, or 2",
  "model.width": "by name, or 768",
  "model.depth": "by name, or 12",
  "model.heads": "by name, or 12",
  "model.swiglu": "true for LightningDiT names, else false",
  "model.rope": "true for LightningDiT names, else false",
  "model.rmsNorm": "true for LightningDiT names, else false",
  "train.runDirectory": "runs/NAME for configs/NAME.yaml",
};
