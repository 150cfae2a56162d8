/**
 * The commands of this project with their arguments and options. What they do stands in the
 * `main.ts` of `train`, `sample`, `evaluate`, `bank` and the others.
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

const ANY_ENCODER = {
  type: "boolean",
  description: "Take a bank of equal length whose encoder differs or is not known",
} as const;

const ONNX_FILE = {
  type: "string",
  value: "FILE",
  description: "The ONNX network that encoded the bank; where the bank says by default",
} as const;

const MODEL = {
  type: "string",
  value: "DIR",
  description: "Checkpoint, or run directory of which the newest one is taken",
} as const;

const SOURCE_FOLDER = {
  type: "string",
  value: "DIR",
  description: "Folder of the bank's images; the data of the run when left out",
} as const;

const NOISE_SEED = { type: "integer", minimum: 0, description: "Seed of the noises" } as const;

const IMAGE_SIZE = {
  type: "integer",
  minimum: 1,
  description: "Side in pixels that the bank's images had; the encoder's own by default",
} as const;

/** Where the images of a bank are. */
const BANK_IMAGES = {
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
    recompute: {
      type: "boolean",
      description: "Compute activations again in the backward pass: a fraction of the memory for " +
        "about a third more time; stands for --set train.recompute=true",
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

/** `deno task encode`: makes the latents that a model trains on. */
export const ENCODE_COMMAND = {
  name: "deno task encode",
  summary:
    "Encodes a folder of images to latent shards, which train reads as data.kind latents, by " +
    "the encoder of a tokenizer in an ONNX file. After a kill, the same command goes on where it ended.",
  positionals: [{
    name: "config",
    description: "YAML configuration whose section data describes the latents, and train.seed " +
      "their samples; --set and the options alone when left out",
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
      description: "Encoder of the tokenizer (ONNX); stands for --set data.encoder",
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
      description: "Folder of the shards; stands for --set data.path",
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

/** Weights to draw with in place of a checkpoint. */
const WEIGHTS = {
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

/** `deno task sample`: draws images with a trained model. */
export const SAMPLE_COMMAND = {
  name: "deno task sample",
  summary: "Draws images with a trained model and writes them as one picture.",
  options: {
    checkpoint: {
      type: "string",
      value: "DIR",
      description: "Checkpoint, or run directory of which the newest one is taken",
    },
    ...WEIGHTS,
    bank: {
      type: "string",
      value: "FILE",
      description:
        "Bank of snippets by the encoder of the run's own, which is taken when this is left out",
    },
    "any-encoder": ANY_ENCODER,
    sampler: {
      type: "string",
      value: "NAME",
      choices: ["euler", "heun", "midpoint", "rk4", "dopri5", "euler-maruyama", "sde-heun"],
      description: "Sampler; that of the run's configuration when left out",
    },
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
        "Draw from the snippets nearest to this image file, under the images they are of",
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
      description: "Draw a row from this text, behind the bank's image nearest to what it maps to",
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
      description: "Picture to write; or of a model of latents a .safetensors file with them",
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
      command: "deno task sample --checkpoint runs/emoji_tiny --class Flags --count 8",
      description: "Draw from the snippets of one class.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --index 3,17 --count 8",
      description: "Draw from two snippets in turn, each time from another noise.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji_tiny --like cat.jpg",
      description: "Draw from what a bank takes an image for.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji --bank photos.safetensors",
      description: "Let a bank of other images, by bank build --like, guide the same model.",
    },
    {
      command: "deno task sample --checkpoint runs/emoji -s sample.guidance.scale=1.5",
      description: "Guide the samples away from what no snippet gives.",
    },
    {
      command: "deno task sample --checkpoint runs/latents -s data.decoder=sd_vae_decoder.onnx",
      description: "Draw with a model of latents and the decoder of their tokenizer.",
    },
    {
      command:
        "deno task sample --weights SiT-XL-2-256x256.pt --class 207 -s data.decoder=sd_vae.onnx",
      description: "Draw a class of ImageNet with released weights and the decoder of SD-VAE.",
    },
    {
      command:
        'deno task sample --checkpoint runs/emoji_tiny --mapper mapper.safetensors --text "red heart"',
      description: "Draw from words, which bank learn-text has learned to map to snippets.",
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
      description: "Side in pixels to which images are shrunk; stands for --set bank.resolution, " +
        "and with --onnx for --set bank.onnx.size",
    },
    rank: {
      type: "integer",
      minimum: 1,
      description: "Keep a low-rank bank of this rank; the full bank when left out",
    },
    onnx: {
      type: "string",
      value: "FILE",
      description: "Encode by this ONNX network; stands for --set bank.encoder=onnx and " +
        "--set bank.onnx.path, beside which bank.onnx says what is done to images",
    },
    statistics: {
      type: "string",
      choices: ["imagenet", "clip", "none"],
      description: "With --onnx: the colours that the network expects, ImageNet's by default; " +
        "stands for --set bank.onnx.mean and bank.onnx.std",
    },
    pooling: {
      type: "string",
      choices: ["cls", "mean", "patch-mean"],
      description: "With --onnx: the tokens that make the snippet, the first by default; " +
        "stands for --set bank.onnx.pooling",
    },
    output: {
      type: "string",
      value: "NAME",
      description: "With --onnx: the output that is taken, the first by default; stands for " +
        "--set bank.onnx.output",
    },
    like: {
      type: "string",
      value: "FILE",
      description: "Encode by the encoder of this bank, so that a model trained with it can take " +
        "the new one",
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
      command: "deno task bank build --data photos --dim 128 --out photos.safetensors",
      description: "Encode a folder of images; after a kill, go on where it ended.",
    },
    {
      command: "deno task bank build --data photos --onnx dinov2_base.onnx --resolution 224",
      description: "Encode by a network of one's own.",
    },
    {
      command: "deno task bank build --config configs/emoji.yaml --rank 64 --out emoji.safetensors",
      description: "Make the bank of a configuration's data, low-rank.",
    },
    {
      command: "deno task bank build --data photos --like runs/emoji/bank.safetensors",
      description: "Make a bank of other images for a model that is trained already.",
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
    {
      command: "deno task bank inspect photos.safetensors --plot photos",
      description: "See what each rank keeps, and which snippets lie together.",
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
    mapper: {
      type: "string",
      value: "FILE",
      description: "Map the vectors to snippets by what bank learn-features has made",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank import memory_bank.pth --out imagenet.safetensors",
      description: "Use the released bank.",
    },
    {
      command: "deno task bank import features.npz --key cls --out features.safetensors",
      description: "Use vectors that NumPy saved.",
    },
    {
      command: "deno task bank import clip.npy --mapper mapper.safetensors --out clip.safetensors",
      description: "Make a bank for a model of vectors of another encoder than its own.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank compress`: makes a bank low-rank. */
export const BANK_COMPRESS_COMMAND = {
  name: "deno task bank compress",
  summary: "Makes a low-rank bank of a bank, and tells what is lost.",
  positionals: [BANK_FILE],
  options: {
    rank: {
      type: "integer",
      minimum: 1,
      description: "Coefficients kept of each snippet; either this or --energy",
    },
    energy: {
      type: "number",
      minimum: 0,
      description: "The share of the energy to keep, at most 1, by the least rank that does; " +
        "either this or --rank",
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
    {
      command: "deno task bank compress bank.safetensors --rank 32 --storage int8",
      description: "Keep 32 numbers of each snippet, in a byte each.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank merge`: puts banks in one. */
export const BANK_MERGE_COMMAND = {
  name: "deno task bank merge",
  summary: "Puts the snippets of several banks of one encoder in one bank.",
  positionals: [{
    ...BANK_FILE,
    multiple: true,
    description: "Banks of snippets (safetensors): all shards of a build, in any order, or " +
      "others in the order of the result",
  }],
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
  summary:
    "Adds the snippets of new images to a bank, which needs no training, and draws from them.",
  positionals: [{
    name: "image",
    required: true,
    multiple: true,
    description: "Image files, encoded by the encoder that the bank has stored",
  }],
  options: {
    bank: {
      type: "string",
      value: "FILE",
      description: "Bank that the snippets are added to; when left out, that of --checkpoint is " +
        "read and stays as it is",
    },
    class: {
      type: "string",
      value: "NAME",
      description: "Class of the images, one of the bank's; none by default",
    },
    size: IMAGE_SIZE,
    onnx: ONNX_FILE,
    out: {
      type: "string",
      value: "FILE",
      description: "Bank to write; the one of --bank by default, but never a run's own",
    },
    sample: {
      type: "boolean",
      description: "Draw a row for each image, with --checkpoint: the image, samples from its " +
        "snippet, and the images of the bank nearest to it",
    },
    checkpoint: {
      ...MODEL,
      description: "With --sample: checkpoint, or run directory of which the newest one is taken",
    },
    noises: {
      type: "integer",
      minimum: 1,
      default: 6,
      description: "With --sample: samples of each image, from noises of their own",
    },
    seed: NOISE_SEED,
    data: SOURCE_FOLDER,
    picture: {
      type: "string",
      value: "FILE",
      default: "rows.png",
      description: "With --sample: picture to write",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank add cat.jpg --bank photos.safetensors --class cats",
      description: "Let a model draw from an image that it never saw; the bank has the class cats.",
    },
    {
      command: "deno task bank add cat.jpg --sample --checkpoint runs/emoji --picture cat.png",
      description: "See what it draws, without a change of any bank.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank interpolate`: goes from one snippet to another. */
export const BANK_INTERPOLATE_COMMAND = {
  name: "deno task bank interpolate",
  summary: "Writes a bank of the snippets between two others, or draws from them.",
  positionals: [
    { name: "first", required: true, description: "Index or name of a snippet" },
    { name: "second", required: true, description: "Index or name of another one" },
  ],
  options: {
    bank: {
      type: "string",
      value: "FILE",
      description: "Bank of the two; that of the run when left out with --checkpoint",
    },
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
      description: "Snippets that are written, for lerp and slerp, the two among them; with " +
        "--checkpoint those between the two, whose images stand at the ends",
    },
    checkpoint: {
      ...MODEL,
      description:
        "Draw from the snippets with this checkpoint, or the newest one of a run directory",
    },
    noises: {
      type: "integer",
      minimum: 1,
      default: 4,
      description: "With --checkpoint: rows, each drawn from one noise",
    },
    seed: {
      type: "integer",
      minimum: 0,
      description: "Seed of the parts, for mask, and of the noises",
    },
    data: SOURCE_FOLDER,
    out: {
      type: "string",
      value: "FILE",
      description: "File to write: between.safetensors by default, with --checkpoint the picture " +
        "rows.png",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank interpolate 3 17 --bank bank.safetensors --mode slerp",
      description: "Write nine snippets, from 3 to 17, for sample --bank.",
    },
    {
      command: "deno task bank interpolate 3 17 --checkpoint runs/emoji --noises 4 --out rows.png",
      description: "See what lies between them: nine samples a row, from the same noise.",
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
    ...BANK_IMAGES,
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
    {
      command: "deno task bank nearest cat.jpg --bank runs/emoji/bank.safetensors " +
        "--config configs/emoji.yaml",
      description: "See which emoji a run takes it for.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank transfer`: draws by the bank of another data set. */
export const BANK_TRANSFER_COMMAND = {
  name: "deno task bank transfer",
  summary: "Draws with a model from a bank of images that it was not trained on.",
  options: {
    checkpoint: { ...MODEL, required: true },
    bank: {
      ...BANK_OPTION,
      description: "Bank of other images by the encoder of the run's own, see bank build --like",
    },
    count: {
      type: "integer",
      minimum: 1,
      default: 16,
      description: "Samples, from snippets evenly spread over the bank",
    },
    columns: { type: "integer", minimum: 1, default: 8, description: "Samples in a row" },
    seed: NOISE_SEED,
    config: {
      type: "string",
      value: "FILE",
      description: "YAML configuration whose section data names the images of the bank, which " +
        "then stand above the samples",
    },
    data: {
      type: "string",
      value: "DIR",
      description: "Or: the folder of the bank's images",
    },
    "any-encoder": ANY_ENCODER,
    out: {
      type: "string",
      value: "FILE",
      default: "transfer.png",
      description: "Picture to write",
    },
    set: SET,
    json: JSON_LINES,
  },
  examples: [
    {
      command:
        "deno task bank transfer --checkpoint runs/emoji --bank photos.safetensors --data photos",
      description: "Draw emoji from the snippets of photos, each under its photo.",
    },
  ],
} as const satisfies CommandDefinition;

/** Options that both ways of learning a mapper share. */
const LEARNING = {
  bank: BANK_OPTION,
  epochs: {
    type: "integer",
    minimum: 1,
    default: 60,
    description: "Times that every pair is seen",
  },
  width: {
    type: "integer",
    minimum: 1,
    default: 512,
    description: "Width of the two hidden layers",
  },
  "held-out": {
    type: "number",
    minimum: 0,
    default: 0.1,
    description: "Pairs kept aside to measure with: a share below 1, or their number; 0 for none",
  },
  seed: {
    type: "integer",
    minimum: 0,
    default: 0,
    description: "Seed of the weights, of the order of the pairs and of what is held out",
  },
  out: {
    type: "string",
    value: "FILE",
    default: "mapper.safetensors",
    description: "File to write",
  },
  json: JSON_LINES,
} as const;

/** `deno task bank learn-text`: learns to make snippets of texts. */
export const BANK_LEARN_TEXT_COMMAND = {
  name: "deno task bank learn-text",
  summary: "Learns to map texts to snippets from a bank with texts, for sample --text.",
  options: {
    ...LEARNING,
    batch: {
      type: "integer",
      minimum: 2,
      default: 256,
      description: "Pairs of a step, each of which is told from all others",
    },
    "learning-rate": {
      type: "number",
      minimum: 0,
      default: 1e-3,
      description: "Learning rate of Adam; the paper's is 1e-4",
    },
    onnx: {
      type: "string",
      value: "FILE",
      description: "Encode texts by this ONNX network with the tokenizer.json in its folder; by " +
        "their words and parts of words when left out",
    },
    output: {
      type: "string",
      value: "NAME",
      description: "With --onnx: the output that is taken, the first by default",
    },
    pooling: {
      type: "string",
      choices: ["cls", "mean"],
      description:
        "With --onnx: the vector is that of the first token, the default, or the mean of all",
    },
    ...BANK_IMAGES,
    picture: {
      type: "string",
      value: "FILE",
      description: "Picture to write: images of held-out texts, and those that the texts find; " +
        "texts.png beside --out by default",
    },
    set: SET,
  },
  examples: [
    {
      command: "deno task bank learn-text --bank runs/emoji_tiny/bank.safetensors",
      description: "Learn what the words of the emoji's names look like, within seconds.",
    },
    {
      command: "deno task bank learn-text --bank bank.safetensors --onnx bert/model.onnx",
      description: "Take the CLS token of a language model for a text, as in the paper.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank learn-features`: learns to make snippets of the vectors of another encoder. */
export const BANK_LEARN_FEATURES_COMMAND = {
  name: "deno task bank learn-features",
  summary:
    "Learns to map another encoder's vectors to a bank's snippets, for bank import --mapper.",
  positionals: [{
    name: "file",
    required: true,
    description: "Vectors [N, e] of the bank's images, in its order: .npy, .npz or .safetensors",
  }],
  options: {
    ...LEARNING,
    key: {
      type: "string",
      value: "NAME",
      description: "Array to take, where the file has several",
    },
    batch: { type: "integer", minimum: 1, default: 64, description: "Pairs of a step" },
    "learning-rate": {
      type: "number",
      minimum: 0,
      default: 1e-4,
      description: "Learning rate of Adam",
    },
    encoder: {
      type: "string",
      value: "NAME",
      default: "not known",
      description: "What made the vectors, to be kept with the mapper",
    },
  },
  examples: [
    {
      command: "deno task bank learn-features clip.npy --bank bank.safetensors --encoder clip-b32",
      description: "Let features of CLIP guide a model that was trained with another encoder.",
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
    {
      command: "deno task bank export low_rank.safetensors --out full.safetensors",
      description: "Make a full bank of a low-rank one, with its names, classes and encoder.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank`: the commands on banks. */
export const BANK_PROGRAM = {
  name: "deno task bank",
  summary: "Makes, changes and looks at memory banks, and draws from them.",
  examples: [
    {
      command: "deno task bank build --data photos --out photos.safetensors",
      description: "Encode a folder of images.",
    },
    {
      command: "deno task bank inspect photos.safetensors --plot photos",
      description: "Look at what came out.",
    },
    {
      command: "deno task bank interpolate 3 17 --checkpoint runs/emoji_tiny",
      description: "See what lies between two images of a trained model.",
    },
  ],
  commands: {
    build: BANK_BUILD_COMMAND,
    inspect: BANK_INSPECT_COMMAND,
    import: BANK_IMPORT_COMMAND,
    compress: BANK_COMPRESS_COMMAND,
    merge: BANK_MERGE_COMMAND,
    add: BANK_ADD_COMMAND,
    interpolate: BANK_INTERPOLATE_COMMAND,
    nearest: BANK_NEAREST_COMMAND,
    transfer: BANK_TRANSFER_COMMAND,
    "learn-text": BANK_LEARN_TEXT_COMMAND,
    "learn-features": BANK_LEARN_FEATURES_COMMAND,
    export: BANK_EXPORT_COMMAND,
  },
} as const satisfies ProgramDefinition;

/** `deno task evaluate`: measures samples against a reference. */
export const EVALUATE_COMMAND = {
  name: "deno task evaluate",
  summary: "Measures samples of a model, or images of any origin, against a reference.",
  options: {
    checkpoint: {
      type: "string",
      value: "DIR",
      description: "Checkpoint to draw from, or run directory of which the newest one is taken",
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
      description: "Number of samples: 1000 are drawn, and all of --samples are taken, by default",
    },
    reference: {
      type: "string",
      value: "WHAT",
      default: "train",
      description:
        "train or held-out: that part of the configured data; or a folder of images, a " +
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
        "Draw the training images nearest to samples to this PNG, and distances to the " +
        "SVG of that name",
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
        "JSON file to write; evaluation.json in the checkpoint by default, or steps.json and " +
        "steps.svg for several numbers of --steps",
    },
    resamples: {
      type: "integer",
      minimum: 0,
      default: 100,
      description: "Resamples behind the 95 % intervals; 0 for no intervals",
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
      description: "Without --checkpoint: YAML configuration whose sections data and bank count",
    },
    data: {
      type: "string",
      value: "DIR",
      description: "Folder of the training images, in place of the configured data",
    },
    sampler: {
      type: "string",
      value: "NAME",
      choices: ["euler", "heun", "midpoint", "rk4", "dopri5", "euler-maruyama", "sde-heun"],
      description: "Sampler; that of the run's configuration when left out",
    },
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
        "-s data.decoder=sd_vae.onnx",
      description: "Measure released weights; FID and the like take --inception as well.",
    },
    {
      command: "deno task evaluate --checkpoint runs/emoji --steps 4,8,16,32",
      description: "Draw the distance against the evaluations of the network (NFE).",
    },
    {
      command: "deno task evaluate --checkpoint runs/emoji --out samples.npz",
      description: "Write samples that the official tools can measure as well.",
    },
    {
      command: "deno task evaluate --samples generated --reference photos --report result.json",
      description: "Compare two folders of images, whatever made them.",
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
      choices: ["tiny", "laptop", "gpu"],
      default: "tiny",
      description: "How much is trained and drawn: for two CPU cores, a laptop's GPU, a large GPU",
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
      description: "Folder of README.md with all verdicts, and of results with a page for each",
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
      command: "deno task claims a b --scale gpu --plan",
      description: "See what a larger test would take.",
    },
  ],
} as const satisfies CommandDefinition;

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

/** `deno task tune`: finds the fastest kernels for a model on the user's adapter. */
export const TUNE_COMMAND = {
  name: "deno task tune",
  summary: "Times the kernels that can compute a model's products, norms and attention on this " +
    "adapter, and keeps the fastest for later runs of train, sample, evaluate and bank.",
  positionals: [{
    name: "config",
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
