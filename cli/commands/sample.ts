/**
 * Arguments and options of `deno task sample`.
 *
 * @module
 */

import type { CommandDefinition } from "../arguments.ts";
import { ANY_ENCODER, JSON_LINES, SAMPLER, SET, WEIGHTS } from "./shared_options.ts";

/** `deno task sample`: draws images with a trained model. */
export const SAMPLE_COMMAND = {
  name: "deno task sample",
  summary: "Draws images with a trained model and writes them as one picture, or each as a file.",
  options: {
    checkpoint: {
      type: "string",
      value: "DIR",
      description:
        "Checkpoint, or run directory of which the newest one is taken; either this or " +
        "--weights is needed",
    },
    ...WEIGHTS,
    bank: {
      type: "string",
      value: "FILE",
      description:
        "Bank of snippets by the encoder of the run's own, which is taken when this is left out",
    },
    "any-encoder": ANY_ENCODER,
    sampler: SAMPLER,
    steps: {
      type: "integer",
      minimum: 1,
      description: "Steps from noise to data; dopri5 takes none, its own follow from the error",
    },
    count: {
      type: "integer",
      minimum: 1,
      description: "Number of images; with --index one for each index by default, with --text of " +
        "each text 8",
    },
    seed: {
      type: "integer",
      minimum: 0,
      description: "Seed of the noise and of the choice of snippets or labels",
    },
    index: {
      type: "string",
      value: "LIST",
      multiple: true,
      description: "Draw from the snippets of these indices in turn, such as 3,17",
    },
    class: {
      type: "string",
      value: "NAME",
      multiple: true,
      description: "Draw from snippets of this class, chosen by the seed; or of a model that " +
        "labels guide the class itself, by its name or number",
    },
    name: {
      type: "string",
      value: "NAME",
      multiple: true,
      description:
        "Draw from the snippet of the image of this name, or from those whose text has " +
        "its words",
    },
    like: {
      type: "string",
      value: "IMAGE",
      description:
        "Draw from the snippets nearest to this image file; their own images stand above the samples",
    },
    "by-noise": {
      type: "boolean",
      description: "Let the noise that an image starts from choose its snippet, as often as the " +
        "frequencies of the bank say",
    },
    text: {
      type: "string",
      value: "TEXT",
      multiple: true,
      description: "Draw a row of images from this text; in front stands the image of the bank " +
        "nearest to it",
    },
    mapper: {
      type: "string",
      value: "FILE",
      description: "With --text: what bank learn-text made for the bank",
    },
    onnx: {
      type: "string",
      value: "FILE",
      description: "With --text the ONNX text encoder, with --like the ONNX network that encoded " +
        "the bank; where mapper or bank say by default",
    },
    out: {
      type: "string",
      value: "FILE",
      default: "samples.png",
      description:
        "Picture to write, a new folder such as samples/ for each image as a file of its own, or for " +
        "a model of latents a .safetensors file with them",
    },
    set: SET,
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
      command: "deno task sample --checkpoint runs/emoji_tiny --count 500 --out samples/",
      description: "Write each image as soon as it is drawn: samples/0000.png, samples/0001.png, …",
    },
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --class Flags --count 8",
      description: "Draw from the snippets of one class.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --index 3,17 --count 8",
      description: "Draw from two snippets in turn, each time from another noise.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --like cat.jpg",
      description: "Draw from the snippets that are nearest to an image.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji --bank photos.safetensors",
      description: "Let a bank of other images, by bank build --like, guide the same model.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji -s sample.guidance.scale=1.5",
      description:
        "Draw with classifier-free guidance: closer to the snippets, with less variety. " +
        "train -s bank.mask.kind=whole -s bank.mask.ratio=0.1 trains for it.",
    },
    {
      command: "deno task sample --checkpoint runs/latents -s data.decoder=sd_vae_decoder.onnx",
      description: "Draw with a model of latents and the decoder of their tokenizer.",
    },
    {
      command:
        "deno task sample --weights SiT-XL-2-256x256.pt --class 207 -s data.decoder=sd_vae_decoder.onnx",
      description: "Draw a class of ImageNet with released weights and the decoder of SD-VAE.",
    },
    {
      command:
        'deno task sample --checkpoint runs/emoji_tiny --mapper mapper.safetensors --text "red heart"',
      description: "Draw from words, which bank learn-text has learned to map to snippets.",
    },
  ],
} as const satisfies CommandDefinition;
