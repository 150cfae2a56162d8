/**
 * Arguments and options of `deno task bench`, `bench:growth`, `bench:peers` and `tune`, which measure times.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { SET } from "./shared_options.ts";

/** `deno task bench`: measures this project on the user's adapter. */
export const BENCH_COMMAND = {
  name: "deno task bench",
  summary:
    "Measures what the adapter can do at best, and how near ops and whole steps come to it. " +
    "Takes some minutes.",
  options: {
    only: {
      type: "string",
      multiple: true,
      choices: ["matmul", "ops", "steps", "memory"],
      description: "Measure these parts alone; the ceilings are always measured",
    },
    compare: {
      type: "string",
      value: "FILE",
      description: "Show the times beside those of an earlier --json, what got slowest first",
    },
    out: {
      type: "string",
      value: "FILE",
      description: "Draw the ops under the ceilings as SVG: a roofline",
    },
    markdown: { type: "boolean", description: "Print the tables in Markdown" },
    json: { type: "boolean", description: "Print all measurements as one JSON object" },
  },
  examples: [
    { command: "deno task bench", description: "Measure everything on a quiet machine." },
    {
      command: "deno task bench --only matmul --only steps --json > before.json",
      description: "Keep the times of two parts.",
    },
    {
      command: "deno task bench --only matmul --only steps --compare before.json",
      description: "See what a change made of them.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bench:growth`: measures how steps grow. */
export const GROWTH_COMMAND = {
  name: "deno task bench:growth",
  summary: "Measures how the time of a training step grows with batch, tokens, width, depth and " +
    "bank, each varied alone. Takes some minutes.",
  options: {
    only: {
      type: "string",
      multiple: true,
      choices: ["batch", "tokens", "width", "depth", "bank", "dispatches"],
      description: "Measure these series alone",
    },
    markdown: { type: "boolean", description: "Print the tables in Markdown" },
    json: { type: "boolean", description: "Print all measurements as one JSON object" },
  },
  examples: [
    {
      command: "deno task bench:growth --only tokens",
      description: "See what longer sequences cost.",
    },
    {
      command: "deno task bench:growth --markdown > growth.md",
      description: "Keep the tables of all series.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bench:peers`: measures other stacks on the same work. */
export const PEERS_COMMAND = {
  name: "deno task bench:peers",
  summary:
    "Times one training step and some products on this project and on other stacks, each in a " +
    "process of its own, and compares their losses. Downloads those of JavaScript from npm; PyTorch, " +
    "which has no part in WebGPU, is compared where python3 has it. Takes some minutes.",
  options: {
    steps: {
      type: "integer",
      minimum: 1,
      default: 3,
      description: "Steps that are timed, after the first",
    },
    rounds: {
      type: "integer",
      minimum: 1,
      default: 5,
      description: "Times that each product is timed",
    },
    quick: {
      type: "boolean",
      description:
        "Check on a tiny workload that every stack runs and computes the same; its times " +
        "mean nothing",
    },
    json: { type: "boolean", description: "Print all measurements as one JSON array" },
  },
  examples: [
    { command: "deno task bench:peers", description: "Compare all on a quiet machine." },
    { command: "deno task bench:peers --quick", description: "See whether all of them run here." },
  ],
} as const satisfies CommandDefinition;

/** `deno task tune`: finds the fastest kernels for a model on the user's adapter. */
export const TUNE_COMMAND = {
  name: "deno task tune",
  summary: "Times the kernels that can compute a model's products, norms and attention on this " +
    "adapter, and keeps the fastest, which all commands that compute then use.",
  positionals: [{
    name: "config",
    path: true,
    description: "YAML configuration of the model; configs/emoji_tiny.yaml when left out",
  }],
  options: {
    set: SET,
    out: {
      type: "string",
      value: "FILE",
      description: "File to keep them in; tuning.json in the user's cache folder when left out",
    },
    json: { type: "boolean", description: "Print all times as one JSON object" },
  },
  examples: [
    { command: "deno task tune", description: "Tune for the built-in emoji model." },
    {
      command: "deno task tune configs/emoji.yaml -s train.batchSize=32",
      description: "Tune for the sizes that a run with that batch has.",
    },
  ],
} as const satisfies CommandDefinition;
