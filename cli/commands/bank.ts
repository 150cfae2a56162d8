/**
 * Arguments and options of the commands of `deno task bank`.
 *
 * @module
 */

import { STORAGES } from "../../bank/coefficient_format.ts";
import { POOLINGS, TEXT_POOLINGS } from "../../bank/encoders/preprocessing.ts";
import { METRICS, MOST_NEIGHBOURS } from "../../bank/retrieve.ts";
import type { CommandDefinition, ProgramDefinition } from "../arguments.ts";
import { ANY_ENCODER, JSON_LINES, ONNX_FILE, SET } from "./shared_options.ts";

const BANK_FILE = {
  name: "bank",
  path: true,
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

const MODEL = {
  type: "string",
  value: "DIR",
  description: "Checkpoint, or run directory of which the newest one is taken",
} as const;

const NOISE_SEED = { type: "integer", minimum: 0, description: "Seed of the noises" } as const;

const IMAGE_SIZE = {
  type: "integer",
  minimum: 1,
  description:
    "Side in pixels at which the images are read; by default that at which the bank's were, or, if it " +
    "does not say, that which the encoder takes",
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

/** `deno task bank build`: makes a bank from images. */
export const BANK_BUILD_COMMAND = {
  name: "deno task bank build",
  summary: "Makes a bank: one snippet for each image.",
  options: {
    config: {
      type: "string",
      value: "FILE",
      description: "YAML configuration: its sections data and bank and its train.seed are taken",
    },
    data: {
      type: "string",
      value: "DIR",
      description:
        "Folder of images; the configured data, or else the built-in emoji, when left out",
    },
    dim: {
      type: "integer",
      minimum: 1,
      description: "Length of a snippet; short for --set bank.dim",
    },
    resolution: {
      type: "integer",
      minimum: 1,
      description: "Side in pixels of what the encoder sees; short for --set bank.resolution, or " +
        "with --onnx for --set bank.onnx.size. Where nothing says data.imageSize, a folder's images " +
        "are read at the side that a network needs, or at 32",
    },
    rank: {
      type: "integer",
      minimum: 1,
      description: "Keep a low-rank bank of this rank; the full bank when left out",
    },
    onnx: {
      type: "string",
      value: "FILE",
      description: "Encode by this ONNX network; short for --set bank.encoder=onnx and " +
        "--set bank.onnx.path, beside which bank.onnx says what is done to images. With --like: " +
        "where the network of that bank is; where the bank says by default",
    },
    statistics: {
      type: "string",
      choices: ["imagenet", "clip", "half", "none"],
      description:
        "With --onnx: the colours that the network expects, ImageNet's by default, half for " +
        "−1 to 1, none for 0 to 1; short for --set bank.onnx.mean and bank.onnx.std",
    },
    pooling: {
      type: "string",
      choices: POOLINGS,
      description: "With --onnx: the tokens that make the snippet, the first by default; " +
        "short for --set bank.onnx.pooling",
    },
    output: {
      type: "string",
      value: "NAME",
      description: "With --onnx: the output that is taken, the first by default; short for " +
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
      description: "Encode by a network of your own.",
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
      description: "Draw PREFIX_energy.svg, the share of the energy that each rank keeps, and " +
        "PREFIX_map.svg, the snippets",
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

/** `deno task bank import`: turns vectors of another program into a bank file. */
export const BANK_IMPORT_COMMAND = {
  name: "deno task bank import",
  summary: "Turns vectors that another program made into a bank file, with snippets of norm 1.",
  positionals: [{
    name: "file",
    path: true,
    required: true,
    description:
      "Features [N, d] in .npy, .npz or .safetensors, or a bank of torch.save in .pt or .pth",
  }],
  options: {
    out: BANK_OUT,
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
      above: 0,
      maximum: 1,
      description:
        "Share of the energy (variance around the mean) to keep, at most 1, by the least rank " +
        "that does; either this or --rank",
    },
    storage: {
      type: "string",
      choices: STORAGES,
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
    path: true,
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
    "any-encoder": {
      ...ANY_ENCODER,
      description:
        "With --sample: take a --bank whose encoder differs from the run's or is not known",
    },
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
    seed: { ...NOISE_SEED, description: "With --sample: seed of the noises" },
    data: {
      type: "string",
      value: "DIR",
      description: "With --sample: folder of the bank's images; the data of the run when left out",
    },
    picture: {
      type: "string",
      value: "FILE",
      default: "rows.png",
      description: "With --sample: picture to write",
    },
    set: {
      ...SET,
      description: "With --sample: take this value for a key of the run's configuration",
    },
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
      description:
        "lerp, straight line; slerp, great circle; concat, the first half of one and the " +
        "second of the other; mask, a random half of each",
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
    "any-encoder": {
      ...ANY_ENCODER,
      description:
        "With --checkpoint: take a --bank whose encoder differs from the run's or is not known",
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
    data: {
      type: "string",
      value: "DIR",
      description:
        "With --checkpoint: folder of the bank's images; the data of the run when left out",
    },
    out: {
      type: "string",
      value: "FILE",
      description: "File to write: between.safetensors by default, with --checkpoint the picture " +
        "between.png",
    },
    set: {
      ...SET,
      description: "With --checkpoint: take this value for a key of the run's configuration",
    },
    json: JSON_LINES,
  },
  examples: [
    {
      command: "deno task bank interpolate 3 17 --bank bank.safetensors --mode slerp",
      description: "Write nine snippets, from 3 to 17, for sample --bank.",
    },
    {
      command: "deno task bank interpolate 3 17 --checkpoint runs/emoji --noises 4",
      description: "See what lies between them: nine samples a row, from the same noise.",
    },
  ],
} as const satisfies CommandDefinition;

/** `deno task bank nearest`: finds the images most like one. */
export const BANK_NEAREST_COMMAND = {
  name: "deno task bank nearest",
  summary: "Finds the snippets nearest to an image, and draws it beside their images.",
  positionals: [{ name: "image", path: true, required: true, description: "Image file" }],
  options: {
    bank: BANK_OPTION,
    count: {
      type: "integer",
      minimum: 1,
      maximum: MOST_NEIGHBOURS,
      default: 8,
      description: `Neighbours, at most ${MOST_NEIGHBOURS}`,
    },
    metric: {
      type: "string",
      choices: METRICS,
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
    set: {
      ...SET,
      description: "Take this value for a key of the run's configuration",
    },
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
    description: "File to write: .safetensors",
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
      above: 0,
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
      choices: TEXT_POOLINGS,
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
    path: true,
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
      above: 0,
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
