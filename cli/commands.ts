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

const BANK_FILE = {
  name: "bank",
  required: true,
  description: "Bank of snippets (safetensors)",
} as const;

const BANK_OPTION = {
  type: "string",
  value: "FILE",
  required: true,
  description: "Bank of snippets (safetensors)",
} as const;

const BANK_OUT = {
  type: "string",
  value: "FILE",
  default: "bank.safetensors",
  description: "File to write",
} as const;

const ONNX_FILE = {
  type: "string",
  value: "FILE",
  description: "The ONNX network that encoded the bank, where one did",
} as const;

const IMAGE_SIZE = {
  type: "integer",
  minimum: 1,
  description: "Side in pixels that the bank's images had; the encoder's own by default",
} as const;

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
    {
      command: "deno task train latents.yaml --init SiT-XL-2-256.pt",
      description: "Go on from released weights, which must fit the configured model.",
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
    seed: {
      type: "integer",
      minimum: 0,
      description: "Seed of the noise and of the choice of snippets or labels",
    },
    out: { type: "string", value: "FILE", default: "samples.png", description: "Picture to write" },
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
      command: "deno task sample --checkpoint runs/emoji --bank photos.safetensors",
      description: "Let a bank of other images guide the same model.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji -s sample.guidance.scale=1.5",
      description: "Guide the samples away from what no snippet gives.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank build`: makes a bank from images. */
export const BANK_BUILD_COMMAND = {
  name: "deno task bank build",
  summary: "Makes a bank: one snippet for each image.",
  options: {
    config: {
      type: "string",
      value: "FILE",
      description: "YAML configuration whose sections data and bank, and train.seed, count",
    },
    data: {
      type: "string",
      value: "DIR",
      description: "Folder of images; the built-in emoji when left out",
    },
    dim: {
      type: "integer",
      minimum: 1,
      description: "Length of a snippet; stands for --set bank.dim",
    },
    resolution: {
      type: "integer",
      minimum: 1,
      description: "Side in pixels to which images are shrunk; stands for --set bank.resolution",
    },
    rank: {
      type: "integer",
      minimum: 1,
      description: "Keep a low-rank bank of this rank; the full bank when left out",
    },
    onnx: {
      type: "string",
      value: "FILE",
      description: "Encode by this ONNX network, in place of principal components of pixels",
    },
    statistics: {
      type: "string",
      choices: ["imagenet", "clip", "none"],
      default: "imagenet",
      description: "With --onnx: mean and deviation of the colours that the network expects",
    },
    pooling: {
      type: "string",
      choices: ["cls", "mean", "patch-mean"],
      default: "cls",
      description: "With --onnx: the tokens that make the snippet, where the network gives several",
    },
    output: {
      type: "string",
      value: "NAME",
      description: "With --onnx: the output that is taken; the first by default",
    },
    shard: {
      type: "string",
      value: "I/N",
      description: "Encode this part of N alone, such as 3/8, for bank merge to put together",
    },
    out: BANK_OUT,
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank build --data photos --onnx dinov2_base.onnx --resolution 224",
      description: "Encode by a network of one's own.",
    },
    {
      command: "deno task bank build --data photos --dim 128 --out photos.safetensors",
      description: "Encode a folder of images; after a kill, go on where it ended.",
    },
    {
      command: "deno task bank build --data photos --shard 3/8 --out part3.safetensors",
      description: "Encode a part of them, one of eight jobs.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank inspect`: tells what a bank holds. */
export const BANK_INSPECT_COMMAND = {
  name: "deno task bank inspect",
  summary: "Tells the size, length, rank, encoder and norms of a bank, and draws it.",
  positionals: [BANK_FILE],
  options: {
    plot: {
      type: "string",
      value: "PREFIX",
      description: "Draw PREFIX_energy.svg, what each rank keeps, and PREFIX_map.svg, the snippets",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank inspect photos.safetensors",
      description: "Look at a bank before training with it.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank import`: turns a bank of the official code into a bank file. */
export const BANK_IMPORT_COMMAND = {
  name: "deno task bank import",
  summary: "Turns vectors that another program made into a bank file, with snippets of norm 1.",
  positionals: [{
    name: "file",
    required: true,
    description:
      "Features [N, d] in .npy, .npz or .safetensors, or a bank of torch.save in .pt or .pth",
  }],
  options: {
    out: {
      type: "string",
      value: "FILE",
      default: "bank.safetensors",
      description: "File to write",
    },
    key: {
      type: "string",
      value: "NAME",
      description: "Name of the array, where a .npz or .safetensors file has several",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank import memory_bank.pth --out imagenet.safetensors",
      description: "Use the released bank.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank compress`: makes a bank low-rank. */
export const BANK_COMPRESS_COMMAND = {
  name: "deno task bank compress",
  summary: "Makes a low-rank bank of a bank, and tells what is lost.",
  positionals: [BANK_FILE],
  options: {
    rank: { type: "integer", minimum: 1, description: "Coefficients kept of each snippet" },
    energy: {
      type: "number",
      minimum: 0,
      description: "Or: the share of the energy to keep, at most 1, by the least rank that does",
    },
    storage: {
      type: "string",
      choices: ["f32", "f16", "int8"],
      default: "f32",
      description: "How coefficients are stored: 4, 2 or 1 bytes each",
    },
    out: { ...BANK_OUT, default: "low_rank.safetensors" },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank compress bank.safetensors --energy 0.9 --storage f16",
      description: "Keep nine tenths of what makes the snippets differ.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank merge`: puts banks in one. */
export const BANK_MERGE_COMMAND = {
  name: "deno task bank merge",
  summary: "Puts the snippets of several banks of one encoder in one bank, in the order given.",
  positionals: [{ ...BANK_FILE, multiple: true }],
  options: { out: BANK_OUT, json: JSON_LINES },
  examples: [
    {
      command: "deno task bank merge part1.safetensors part2.safetensors --out bank.safetensors",
      description: "Put the shards of a build together.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank add`: adds images to a bank. */
export const BANK_ADD_COMMAND = {
  name: "deno task bank add",
  summary: "Adds the snippets of new images to a bank, which needs no training.",
  positionals: [{
    name: "image",
    required: true,
    multiple: true,
    description: "Image files, encoded by the encoder that the bank has stored",
  }],
  options: {
    bank: { ...BANK_OPTION, description: "Bank that the snippets are added to" },
    class: { type: "string", value: "NAME", description: "Class of the images; none by default" },
    size: IMAGE_SIZE,
    onnx: ONNX_FILE,
    out: { type: "string", value: "FILE", description: "File to write; the bank's own by default" },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank add cat.jpg --bank bank.safetensors --class cats",
      description: "Let a model draw from an image that it never saw.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank interpolate`: goes from one snippet to another. */
export const BANK_INTERPOLATE_COMMAND = {
  name: "deno task bank interpolate",
  summary: "Writes a bank of the snippets between two others.",
  positionals: [
    { name: "first", required: true, description: "Index or name of a snippet" },
    { name: "second", required: true, description: "Index or name of another one" },
  ],
  options: {
    bank: BANK_OPTION,
    mode: {
      type: "string",
      choices: ["lerp", "slerp", "concat", "mask"],
      default: "slerp",
      description: "Straight line, great circle, or halves or random parts of the two",
    },
    steps: {
      type: "integer",
      minimum: 2,
      default: 9,
      description: "Snippets from the first to the second, for lerp and slerp",
    },
    seed: { type: "integer", minimum: 0, default: 0, description: "Seed of the parts, for mask" },
    out: { ...BANK_OUT, default: "between.safetensors" },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank interpolate 3 17 --bank bank.safetensors --mode slerp",
      description: "Go from snippet 3 to snippet 17 in nine steps, for sample --bank.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank nearest`: finds the images most like one. */
export const BANK_NEAREST_COMMAND = {
  name: "deno task bank nearest",
  summary: "Finds the snippets nearest to an image, and draws it beside their images.",
  positionals: [{ name: "image", required: true, description: "Image file" }],
  options: {
    bank: BANK_OPTION,
    count: { type: "integer", minimum: 1, default: 8, description: "Neighbours, at most 100" },
    metric: {
      type: "string",
      choices: ["cosine", "euclidean"],
      default: "cosine",
      description: "What near means",
    },
    config: {
      type: "string",
      value: "FILE",
      description: "YAML configuration whose section data names the images of the bank",
    },
    data: {
      type: "string",
      value: "DIR",
      description: "Folder of the bank's images; the configured data when left out",
    },
    set: SET,
    onnx: ONNX_FILE,
    out: { type: "string", value: "FILE", default: "nearest.png", description: "Picture to write" },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank nearest cat.jpg --bank photos.safetensors --data photos",
      description: "See what a bank takes an image for.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank export`: writes snippets for other programs. */
export const BANK_EXPORT_COMMAND = {
  name: "deno task bank export",
  summary: "Writes the snippets [N, d] of a bank for other programs, reconstructed if low-rank.",
  positionals: [BANK_FILE],
  options: {
    out: {
      type: "string",
      value: "FILE",
      default: "snippets.npy",
      description: "File to write: .npy, or .safetensors for a full bank with its records",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank export bank.safetensors --out snippets.npy",
      description: "Look at the snippets in NumPy.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank`: the commands on banks. */
export const BANK_PROGRAM = {
  name: "deno task bank",
  summary: "Makes and looks at memory banks.",
  commands: {
    build: BANK_BUILD_COMMAND,
    inspect: BANK_INSPECT_COMMAND,
    import: BANK_IMPORT_COMMAND,
    compress: BANK_COMPRESS_COMMAND,
    merge: BANK_MERGE_COMMAND,
    add: BANK_ADD_COMMAND,
    interpolate: BANK_INTERPOLATE_COMMAND,
    nearest: BANK_NEAREST_COMMAND,
    export: BANK_EXPORT_COMMAND,
  },
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

/** `deno task inspect`: tells what a model holds and costs. */
export const INSPECT_COMMAND = {
  name: "deno task inspect",
  summary: "Lists the parameters of a model, and for a published one what training it costs.",
  positionals: [{
    name: "model",
    required: true,
    description: "SiT-{S,B,L,XL}/{2,4,8} or LightningDiT-{S,B,L,XL}/{1,2}; " +
      "or a checkpoint, run directory or file of weights",
  }],
  options: {
    batch: {
      type: "integer",
      minimum: 1,
      default: 256,
      description: "Images that go through the network at once",
    },
    size: {
      type: "integer",
      minimum: 1,
      description: "Side of the images or latents; that of the published checkpoints when left out",
    },
    channels: {
      type: "integer",
      minimum: 1,
      description: "Channels of the images or latents; likewise",
    },
    snippets: {
      type: "integer",
      minimum: 1,
      value: "LENGTH",
      description: "Take snippets of this length as condition in place of 1000 classes",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task inspect SiT-XL/2 --batch 32",
      description: "See whether a published network fits into a GPU.",
    },
    {
      command: "deno task inspect LightningDiT-B/1 --snippets 768",
      description: "See it with the condition of GMem.",
    },
    {
      command: "deno task inspect runs/emoji/step_0002000",
      description: "See how many parameters a trained model has, and where.",
    },
  ],
} as const satisfies CommandDefinition;
