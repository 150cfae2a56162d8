/**
 * Arguments and options of `deno task evaluate` and `verify`, which compare with data and with the
 * official code.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { JSON_LINES, ONNX_FILE, SAMPLER, SET, WEIGHTS } from "./shared_options.ts";

/** `deno task evaluate`: measures samples against a reference. */
export const EVALUATE_COMMAND = {
  name: "deno task evaluate",
  summary: "Measures samples of a model, or images of any origin, against a reference.",
  options: {
    checkpoint: {
      type: "string",
      value: "DIR",
      description:
        "Checkpoint to draw from, or run directory of which the newest one is taken; this, " +
        "--weights or --samples is needed",
    },
    "every-checkpoint": {
      type: "boolean",
      description: "With the directory of a run: measure each checkpoint in it, and draw the " +
        "distance against the steps and epochs of training",
    },
    ...WEIGHTS,
    samples: {
      type: "string",
      value: "PATH",
      description: "Measure the images of this folder or .npz file in place of drawing some",
    },
    count: {
      type: "integer",
      minimum: 5,
      description:
        "Number of samples: 1000 are drawn, and all of --samples are taken, by default; fewer of " +
        "--samples are spread evenly over them",
    },
    reference: {
      type: "string",
      value: "PATH",
      words: ["train", "held-out"],
      default: "train",
      description:
        "train or held-out: that part of the configured data; or a folder of square images, a " +
        ".npz of ADM's evaluator, or a bank (.safetensors)",
    },
    inception: {
      type: "string",
      value: "FILE",
      description: "ONNX file of the Inception network of FID, for FID, sFID and Inception score",
    },
    output: {
      type: "string",
      value: "KIND=NAME",
      multiple: true,
      description: "With --inception: the output that is pool, spatial or logits, where its name " +
        "or shape does not tell",
    },
    pixels: {
      type: "string",
      choices: ["bytes", "unit", "signed"],
      default: "bytes",
      description: "With --inception: it takes pixels from 0 to 255, from 0 to 1 or from -1 to 1",
    },
    copies: {
      type: "string",
      value: "FILE",
      description:
        "PNG to write: samples beside the training images nearest to them; the SVG of that name " +
        "shows the distances",
    },
    out: {
      type: "string",
      value: "FILE",
      description: "Write the samples as .npz for ADM's evaluator (arr_0, bytes [N, H, W, C])",
    },
    report: {
      type: "string",
      value: "FILE",
      description:
        "JSON file to write. By default it is evaluation.json in the checkpoint, or beside the " +
        "file of --weights; of --samples alone none. For several --steps it is steps.json, and " +
        "with --every-checkpoint checkpoints.json in the run's directory, with an .svg beside it",
    },
    resamples: {
      type: "integer",
      minimum: 0,
      default: 100,
      description:
        "Resamples behind the 95 % interval of the Fréchet distance, at least 20; 0 for none",
    },
    bank: {
      type: "string",
      value: "FILE",
      description:
        "Bank whose encoder measures, and which guides the model; that of the run when " +
        "left out",
    },
    onnx: ONNX_FILE,
    config: {
      type: "string",
      value: "FILE",
      description:
        "With --samples alone: YAML configuration whose section data names the reference " +
        "images, and section bank the encoder",
    },
    data: {
      type: "string",
      value: "DIR",
      description: "Folder of the training images, in place of the configured data",
    },
    sampler: SAMPLER,
    steps: {
      type: "integer",
      minimum: 1,
      list: true,
      value: "NUMBERS",
      description: "Steps from noise to data; each of several is measured, and drawn against the " +
        "evaluations of the network; dopri5 takes none, its own follow from the error",
    },
    seed: {
      type: "integer",
      minimum: 0,
      description: "Seed of the noise, of the choice of snippets or labels, and of the intervals",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task evaluate --checkpoint runs/emoji --count 1000 --copies copies.png",
      description: "Measure a model in the space of its bank's encoder, and look for copies.",
    },
    {
      command:
        "deno task evaluate --checkpoint runs/large --inception inception.onnx --reference adm.npz",
      description: "Measure FID, sFID, Inception score, precision and recall as ADM does.",
    },
    {
      command: "deno task evaluate --weights SiT-XL-2-256x256.pt --reference adm.npz " +
        "-s data.decoder=sd_vae_decoder.onnx",
      description: "Measure released weights; FID and the like take --inception as well.",
    },
    {
      command: "deno task evaluate --checkpoint runs/emoji --steps 4,8,16,32",
      description: "Draw the distance against the evaluations of the network (NFE).",
    },
    {
      command: "deno task evaluate --checkpoint runs/emoji --every-checkpoint",
      description: "Draw the distance against the epochs of training.",
    },
    {
      command: "deno task evaluate --checkpoint runs/emoji --out samples.npz",
      description: "Write samples that the official tools can measure as well.",
    },
    {
      command: "deno task evaluate --samples generated --reference others --report result.json",
      description: "Compare two folders of square images, whatever made them.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task verify`: compares this project with recordings of the official code. */
export const VERIFY_COMMAND = {
  name: "deno task verify",
  summary:
    "Compares networks, losses, optimiser, samplers and bank with recorded official numbers.",
  positionals: [{
    name: "file",
    path: true,
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
      command: "deno task verify tests/fixtures/goldens/sit_tiny_nosigma.safetensors",
      description: "List every check of one network, whose recording comes with a clone.",
    },
    {
      command: "deno task verify goldens/*.safetensors --summary",
      description: "See the largest error of many files.",
    },
  ],
} as const satisfies CommandDefinition;
