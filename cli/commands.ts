/**
 * The commands of this project with their arguments and options. What they do stands in the
 * `main.ts` of `train`, `sample` and `bank`.
 *
 * @module
 */

import type { CommandDefinition, ProgramDefinition } from "./arguments.ts";

const SET = {
  type: "string",
  short: "s",
  value: "KEY=VALUE",
  multiple: true,
  description: "Take this value for a key of the configuration",
} as const;

const JSON_LINES = {
  type: "boolean",
  description: "Print one JSON object a line on standard output, for other programs",
} as const;

const SEED = { type: "integer", minimum: 0, default: 0, description: "Seed of the noise" } as const;

/** `deno task train`: trains a model. */
export const TRAIN_COMMAND = {
  name: "deno task train",
  summary: "Trains a model from a YAML configuration, with checkpoints, pictures and a log.",
  positionals: [{
    name: "config",
    description: "YAML configuration; configs/emoji_tiny.yaml when left out",
  }],
  options: {
    data: {
      type: "string",
      value: "DIR",
      description: "Train on the images of this folder, in place of the configured data",
    },
    steps: {
      type: "integer",
      minimum: 1,
      description: "Optimizer steps in all; stands for --set train.steps",
    },
    resume: {
      type: "string",
      value: "DIR",
      description: "Go on from the newest checkpoint of this run directory",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    { command: "deno task train", description: "Train on the built-in emoji at 16 × 16." },
    {
      command: "deno task train configs/emoji.yaml --data photos",
      description: "Train on one's own images.",
    },
    {
      command: "deno task train configs/emoji.yaml -s optimizer.learningRate=1e-4 -s train.seed=1",
      description: "Change keys of the configuration for one run.",
    },
    {
      command: "deno task train --resume runs/emoji",
      description: "Go on with an interrupted run, as if it had not been.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task sample`: draws images with a trained model. */
export const SAMPLE_COMMAND = {
  name: "deno task sample",
  summary: "Draws images with a trained model and writes them as one picture.",
  options: {
    checkpoint: {
      type: "string",
      value: "DIR",
      required: true,
      description: "Checkpoint, or run directory of which the newest one is taken",
    },
    bank: {
      type: "string",
      value: "FILE",
      description: "Bank of snippets; that of the run when left out",
    },
    sampler: {
      type: "string",
      value: "NAME",
      choices: ["euler", "heun", "midpoint", "rk4", "dopri5", "euler-maruyama", "sde-heun"],
      description: "Sampler; that of the run's configuration when left out",
    },
    steps: { type: "integer", minimum: 1, description: "Steps from noise to data" },
    count: { type: "integer", minimum: 1, description: "Number of images" },
    seed: SEED,
    out: { type: "string", value: "FILE", default: "samples.png", description: "Picture to write" },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --out grid.png",
      description: "Draw with the newest checkpoint of a run, as its configuration says.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji --sampler heun --steps 25 --seed 1",
      description: "Choose the sampler and the noise.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji --bank photos.safetensors",
      description: "Let a bank of other images guide the same model.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank build`: makes a bank from images. */
export const BANK_BUILD_COMMAND = {
  name: "deno task bank build",
  summary: "Makes a bank: one snippet for each image.",
  options: {
    data: {
      type: "string",
      value: "DIR",
      description: "Folder of images; the built-in emoji when left out",
    },
    dim: { type: "integer", minimum: 1, default: 64, description: "Length of a snippet" },
    resolution: {
      type: "integer",
      minimum: 1,
      default: 16,
      description: "Side in pixels to which images are shrunk first",
    },
    rank: {
      type: "integer",
      minimum: 1,
      description: "Keep a low-rank bank of this rank; the full bank when left out",
    },
    out: {
      type: "string",
      value: "FILE",
      default: "bank.safetensors",
      description: "File to write",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank build --data photos --dim 128 --out photos.safetensors",
      description: "Encode a folder of images.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank inspect`: tells what a bank holds. */
export const BANK_INSPECT_COMMAND = {
  name: "deno task bank inspect",
  summary: "Tells the size, length, rank, encoder and norms of a bank.",
  positionals: [{ name: "bank", required: true, description: "Bank of snippets (safetensors)" }],
  options: { json: JSON_LINES },
  examples: [
    {
      command: "deno task bank inspect photos.safetensors",
      description: "Look at a bank before training with it.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank`: the commands on banks. */
export const BANK_PROGRAM = {
  name: "deno task bank",
  summary: "Makes and looks at memory banks.",
  commands: { build: BANK_BUILD_COMMAND, inspect: BANK_INSPECT_COMMAND },
} as const satisfies ProgramDefinition;

/** `deno task verify`: compares this project with recordings of the official code. */
export const VERIFY_COMMAND = {
  name: "deno task verify",
  summary:
    "Compares networks, losses, optimiser, samplers and bank with recorded official numbers.",
  positionals: [{
    name: "file",
    required: true,
    multiple: true,
    description: "Recordings of the official code (safetensors); the name says what they hold",
  }],
  options: {
    summary: {
      type: "boolean",
      description: "Print one line for each file, and the checks that failed",
    },
  },
  examples: [
    {
      command: "deno task verify sit_tiny.safetensors",
      description: "List every check of one network.",
    },
    {
      command: "deno task verify goldens/*.safetensors --summary",
      description: "See the largest error of many files.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task inspect`: tells what a model file holds. */
export const INSPECT_COMMAND = {
  name: "deno task inspect",
  summary: "Lists the parameters of a model file with their shapes, and counts them.",
  positionals: [{
    name: "model",
    required: true,
    description: "Safetensors file, official .pt file or checkpoint directory",
  }],
  options: { json: JSON_LINES },
  examples: [
    {
      command: "deno task inspect runs/emoji/step_0002000",
      description: "See how many parameters a model has, and where.",
    },
  ],
} as const satisfies CommandDefinition;
