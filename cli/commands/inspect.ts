/**
 * Arguments and options of `deno task inspect`.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { JSON_LINES } from "./shared_options.ts";

/** Images that go through a published network at once, where nothing says how many; a file goes without. */
export const INSPECT_BATCH = 256;

/** `deno task inspect`: tells what a model holds and costs. */
export const INSPECT_COMMAND = {
  name: "deno task inspect",
  summary: "Lists the parameters of a model, and for a published one what training it costs.",
  positionals: [{
    name: "model",
    required: true,
    description: "SiT-{S,B,L,XL}/{1,2,4,8} or LightningDiT-{S,B,L,XL}/{1,2,4,8}; " +
      "or a checkpoint, run directory or file of weights",
  }],
  options: {
    batch: {
      type: "integer",
      minimum: 1,
      description:
        `Images that go through a published network at once; ${INSPECT_BATCH} when left out`,
    },
    size: {
      type: "integer",
      minimum: 1,
      description: "Side of the images or latents; that of the published checkpoints when left out",
    },
    channels: {
      type: "integer",
      minimum: 1,
      description:
        "Channels of the images or latents; those of the published checkpoints when left out",
    },
    snippets: {
      type: "integer",
      minimum: 1,
      value: "LENGTH",
      description: "Take snippets of this length as condition in place of 1000 classes",
    },
    repa: {
      type: "integer",
      minimum: 1,
      value: "WIDTH",
      description: "With REPA's projector to encoder tokens of this width, after block 4",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task inspect SiT-XL/2 --batch 32",
      description: "See whether a published network fits into a GPU.",
    },
    {
      command: "deno task inspect LightningDiT-B/1 --snippets 768 --repa 768",
      description: "See it with the condition and the alignment of GMem.",
    },
    {
      command: "deno task inspect runs/emoji/step_0002000",
      description: "See how many parameters a trained model has, and where.",
    },
  ],
} as const satisfies CommandDefinition;
