/**
 * Arguments and options of `deno task train` and `encode`, which make models and their latents.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { JSON_LINES, SET } from "./shared_options.ts";

/** `deno task train`: trains a model. */
export const TRAIN_COMMAND = {
  name: "deno task train",
  summary: "Trains a model from a YAML configuration, with checkpoints, pictures and a log.",
  positionals: [{
    name: "config",
    path: true,
    description: "YAML configuration; configs/emoji_tiny.yaml when left out",
  }],
  options: {
    data: {
      type: "string",
      value: "DIR",
      description:
        "Train on the images in this folder, with or without one subfolder per class, in " +
        "place of the configured data; the run's folder is named after the configuration still",
    },
    steps: {
      type: "integer",
      minimum: 1,
      description: "Optimiser steps in all; short for --set train.steps",
    },
    recompute: {
      type: "boolean",
      description: "Compute activations again in the backward pass: a fraction of the memory for " +
        "about a third more time; short for --set train.recompute=true",
    },
    resume: {
      type: "string",
      value: "DIR",
      description: "Go on from the newest checkpoint of this run directory, also after Ctrl-C",
    },
    init: {
      type: "string",
      value: "FILE",
      description: "Start from these weights (.safetensors, official .pt) in place of random ones",
    },
    reversed: {
      type: "boolean",
      description: "With --init: the time of that network runs from data to noise, as in REPA",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    { command: "deno task train", description: "Train on the built-in emoji at 16 × 16." },
    {
      command: "deno task train configs/emoji.yaml --data photos",
      description: "Train on your own images.",
    },
    {
      command: "deno task train configs/emoji.yaml -s optimizer.learningRate=1e-4 -s train.seed=1",
      description: "Change keys of the configuration for one run.",
    },
    {
      command: "deno task train --resume runs/emoji",
      description: "Go on with an interrupted run, as if it had not been.",
    },
    {
      command: "deno task train latents.yaml --init SiT-XL-2-256x256.pt",
      description: "Start from released weights, which must fit the model of the configuration.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task encode`: makes the latents that a model trains on. */
export const ENCODE_COMMAND = {
  name: "deno task encode",
  summary:
    "Encodes a folder of images to latent shards, which train reads as data.kind latents, by " +
    "the encoder of a tokenizer in an ONNX file. After a kill, the same command goes on where it ended.",
  positionals: [{
    name: "config",
    path: true,
    description:
      "YAML configuration: its section data describes the latents, train.seed seeds the " +
      "draws from their distributions; without it --set and the options say all",
  }],
  options: {
    data: {
      type: "string",
      value: "DIR",
      required: true,
      description: "Folder of the images, with or without one subfolder per class",
    },
    encoder: {
      type: "string",
      value: "FILE",
      description: "Encoder of the tokenizer (ONNX); short for --set data.encoder",
    },
    features: {
      type: "string",
      value: "FILE",
      description: "Network such as DINOv2 (ONNX) whose CLS tokens become the snippets, and with " +
        "model.repa its patch tokens the targets; --set bank.onnx.… says what is done to images",
    },
    out: {
      type: "string",
      value: "DIR",
      description: "Folder of the shards; short for --set data.path",
    },
    posterior: {
      type: "string",
      choices: ["sample", "mean"],
      default: "sample",
      description: "What is taken of an encoder that gives mean and variance",
    },
    dtype: {
      type: "string",
      choices: ["F32", "F16"],
      default: "F32",
      description: "Type of the latents in the shards",
    },
    "shard-size": {
      type: "integer",
      minimum: 1,
      default: 10_000,
      description: "Images in each shard",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command:
        "deno task encode configs/gmem_lightningdit_xl.yaml --data imagenet/train --encoder vavae_encoder.onnx",
      description: "Make the latents that a configuration trains on.",
    },
    {
      command:
        "deno task encode configs/gmem_lightningdit_xl.yaml --data imagenet/train --encoder vavae_encoder.onnx --features dinov2_base.onnx",
      description: "Make with them what its bank and its alignment loss take of DINOv2.",
    },
    {
      command: "deno task encode --data photos --encoder sd_vae_encoder.onnx --out data/photos " +
        "-s data.tokenizer=sd-vae -s data.flip=true",
      description: "Make them without a configuration, with those of the mirrored images.",
    },
  ],
} as const satisfies CommandDefinition;
