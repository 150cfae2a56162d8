/**
 * Arguments and options of `deno task claims`.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { JSON_LINES, ONNX_FILE } from "./shared_options.ts";

/** `deno task claims`: tests the claims of the paper. */
export const CLAIMS_COMMAND = {
  name: "deno task claims",
  summary:
    "Tests the claims of the paper on the built-in emoji: tables, plots and a verdict for each.",
  positionals: [{
    name: "claim",
    multiple: true,
    description: "Claims a to g; all when left out",
  }],
  options: {
    scale: {
      type: "string",
      choices: ["tiny", "small", "laptop", "gpu"],
      default: "tiny",
      description:
        "How much is trained and drawn: for two CPU cores, the same for hours, a laptop's GPU, a large GPU",
    },
    like: {
      type: "string",
      value: "FILE",
      description: "Make the snippets by the encoder of this bank, such as an ONNX network; by " +
        "pixel_pca, which needs no download, when left out. Distances are taken by pixel_pca",
    },
    onnx: {
      ...ONNX_FILE,
      description: "With --like: the ONNX network of that bank; where the bank says by default",
    },
    plan: {
      type: "boolean",
      description: "Say what there is to do and how long it takes, and end",
    },
    seed: {
      type: "integer",
      minimum: 0,
      default: 0,
      description: "Seed of the held-out images, the weights, the noises and the resamplings",
    },
    out: {
      type: "string",
      value: "DIR",
      default: "claims",
      description:
        "Folder to write over: README.md with all verdicts, and results with a page for each",
    },
    runs: {
      type: "string",
      value: "DIR",
      default: "runs/claims",
      description: "Folder of models and samples, which are kept; delete it to begin anew",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task claims",
      description: "Test all; after a kill, the same command goes on where it ended.",
    },
    { command: "deno task claims d", description: "Test one; models that are kept are used." },
    {
      command: "deno task claims c d --scale small --like dinov2.safetensors",
      description:
        "Test two with the snippets of a large network, of which bank build made a bank.",
    },
    {
      command: "deno task claims a b --scale gpu --plan",
      description: "See what a larger test would take.",
    },
  ],
} as const satisfies CommandDefinition;
