/**
 * Options that commands of several programs have.
 *
 * @module
 */

import { SAMPLER_NAMES } from "../../sample/samplers.ts";

/** Keys of the configuration on the command line. */
export const SET = {
  type: "string",
  short: "s",
  value: "KEY=VALUE",
  pathKeys: [
    "data.path",
    "data.encoder",
    "data.decoder",
    "train.runDirectory",
    "bank.path",
    "bank.onnx.path",
    "bank.features.path",
  ],
  multiple: true,
  description: "Take this value for a key of the configuration",
} as const;

/** Output for other programs. */
export const JSON_LINES = {
  type: "boolean",
  description: "Print one JSON object a line on standard output, for other programs",
} as const;

/** Leave to take a bank of an encoder that the model was not trained with. */
export const ANY_ENCODER = {
  type: "boolean",
  description: "Take a bank of equal length whose encoder differs or is not known",
} as const;

/** Where the network of a bank is. */
export const ONNX_FILE = {
  type: "string",
  value: "FILE",
  description: "The ONNX network that encoded the bank; where the bank says by default",
} as const;

/** How images are drawn. */
export const SAMPLER = {
  type: "string",
  value: "NAME",
  choices: SAMPLER_NAMES,
  description: "Sampler; that of the run's configuration when left out",
} as const;

/** Weights to draw with in place of a checkpoint. */
export const WEIGHTS = {
  weights: {
    type: "string",
    value: "FILE",
    description: "Draw with these weights (.safetensors, official .pt) in place of a checkpoint",
  },
  reversed: {
    type: "boolean",
    description: "With --weights: the time of that network runs from data to noise, as in REPA",
  },
  heads: {
    type: "integer",
    minimum: 1,
    description: "With --weights: attention heads, where they do not follow from the width",
  },
} as const;
