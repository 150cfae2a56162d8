/**
 * A whole configuration: composes the sections of the other folders with `device`, `data`, `train`
 * and `optimizer`, and reads YAML and command-line overrides into one frozen object.
 *
 * Defaults are those of SiT and of the GMem paper where the two agree (learning rate 1e-4, betas
 * 0.9 and 0.999, no weight decay, uniform times); where they differ, those of GMem (no variance
 * half, clipping at 1, mask ratio 0.4). Batches of 256 are SiT's. Samples are drawn by the ODE with Heun's
 * steps, where the GMem paper draws by the SDE: `sample.sampler`. EMA is 0.9999, as in the code of both; the
 * paper names none.
 * The released GMem code trains with learning rate 2e-4, second beta 0.95, logit-normal times and a
 * cosine loss: `optimizer.learningRate`, `optimizer.beta2`, `interpolant.timeDistribution` and
 * `interpolant.cosineLoss` ask for it.
 *
 * @module
 */

import { z } from "zod";
import { SMALLEST_EPSILON } from "../kernels/adamw/mod.ts";
import type { Complete } from "../kernels/core/complete.ts";
import { type Precision, PRECISIONS } from "../kernels/core/device.ts";
import { messageOf } from "../kernels/core/errors.ts";
import {
  type ForcedVariants,
  OPS_WITH_VARIANTS,
  type OpWithVariants,
} from "../kernels/core/tuning.ts";
import { type BankConfig, bankSchema } from "../bank/config.ts";
import {
  type InterpolantConfig,
  interpolantSchema,
  type ModelConfig,
  modelSchema,
} from "../model/config.ts";
import { type DeepPartial, readWithSchema, requireKnownKey, takesText } from "../model/schema.ts";
import { type SampleConfig, sampleSchema } from "../sample/config.ts";
import { overrideValue, splitOverride, withValue } from "./overrides.ts";
import { SettingError } from "./setting_error.ts";
import { type TokenizerName, TOKENIZERS } from "./tokenizers.ts";
import { variantsOf } from "./variants.ts";
import { parseYaml, stringifyYaml } from "./yaml.ts";

/** The `device` section: what runs the kernels. */
export interface DeviceConfig {
  /** Take a CPU driver such as llvmpipe where there is no GPU; slow, but right. */
  readonly allowCpuDriver: boolean;
  /** Force the variant of an op, by name; the first thing to try when a number looks wrong. */
  readonly variants: ForcedVariants;
  /**
   * Name the kernel that first wrote a number which is not finite, or that the GPU refused; several times as
   * slow.
   */
  readonly debug: boolean;
  /**
   * What runs ONNX networks, the first choice first: cpu, or another execution provider of onnxruntime, such
   * as webgpu.
   */
  readonly onnxProviders: readonly string[];
}

/** The `data` section: the images. */
export interface DataConfig {
  /**
   * emoji is built in; folder reads image files; mnist and cifar10 read their binary files; latents
   * reads safetensors shards that a tokenizer made.
   */
  readonly kind: "emoji" | "folder" | "mnist" | "cifar10" | "latents";
  /** Folder that holds the data; emoji has none. */
  readonly path: string | null;
  /** Published tokenizer; says imageSize, channels, latentNorm and latentMultiplier if left out. */
  readonly tokenizer: TokenizerName | null;
  /** Side of the square image, or of its latent, in pixels. */
  readonly imageSize: number;
  /** Channels: 1 is grey, 3 is colour; latents have those of their tokenizer. */
  readonly channels: number;
  /**
   * Most memory in GiB for the decoded images of a folder; those of a larger one are decoded whenever
   * they are read.
   */
  readonly memoryLimit: number;
  /** Images never trained on: a share below 1, or a number of images from 1 up. */
  readonly heldOut: number;
  /** Mirror half of the images, drawn anew for every batch. */
  readonly flip: boolean;
  /** Bring each channel of latents to mean 0 and deviation 1 (VA-VAE); images stay as they are. */
  readonly latentNorm: boolean;
  /** Factor on latents after that: 1 for VA-VAE, 0.18215 for SD-VAE without latentNorm. */
  readonly latentMultiplier: number;
  /** Encoder of latents (ONNX), by which deno task encode makes them; training needs none. */
  readonly encoder: string | null;
  /** Decoder of latents (ONNX), for pictures and distances of samples; null makes none. */
  readonly decoder: string | null;
}

/** The `train` section: how long, how much at a time, and what is kept on the way. */
export interface TrainConfig {
  /** Optimiser steps in all. */
  readonly steps: number;
  /** Images per optimiser step. */
  readonly batchSize: number;
  /** Parts of a batch that run one after the other, to save memory. */
  readonly gradientAccumulation: number;
  /** Seed of the weights, the order of images, times, noise and masks. */
  readonly seed: number;
  /** Decay per step of the running mean of the weights that samples are drawn with. */
  readonly emaDecay: number;
  /** Let that decay rise from zero over the first steps; wanted in short runs. */
  readonly emaWarmup: boolean;
  /** Largest norm of the whole gradient; null does not clip. */
  readonly clip: number | null;
  /** Compute activations again in the backward pass: less memory, about a third more time. */
  readonly recompute: boolean;
  /**
   * What the operands of the blocks' matrix products are rounded to; all else stays f32, but GPUs sum
   * each eight products in f16.
   */
  readonly precision: Precision;
  /** Steps without an overflow after which the loss scale of f16 doubles. */
  readonly lossScaleInterval: number;
  /** Steps between two log lines. */
  readonly logEvery: number;
  /** Steps between two pictures of samples; null draws the last one alone. */
  readonly sampleEvery: number | null;
  /** Steps between two measurements of the distance of samples to the data; null makes none. */
  readonly evaluateEvery: number | null;
  /** Steps between two checkpoints; null writes the last one alone. */
  readonly checkpointEvery: number | null;
  /** Newest checkpoints that are kept, besides those with any other file in them; null keeps all. */
  readonly keepCheckpoints: number | null;
  /** Steps between two waits for the GPU, which bound the work in flight. */
  readonly syncEvery: number;
  /** Where log, pictures and checkpoints go. */
  readonly runDirectory: string;
}

/** The `optimizer` section: AdamW (Loshchilov and Hutter 2019, algorithm 2). */
export interface OptimizerConfig {
  /** Learning rate after warm-up; it stays constant. */
  readonly learningRate: number;
  /** Decay of the running mean of the gradient. */
  readonly beta1: number;
  /** Decay of the running mean of the squared gradient. */
  readonly beta2: number;
  /** Added to the root of the squared gradient before the division. */
  readonly epsilon: number;
  /** Share of a weight taken off per step, times the learning rate. */
  readonly weightDecay: number;
  /** Steps over which the learning rate rises linearly from zero. */
  readonly warmupSteps: number;
}

/** A whole configuration, checked, with every default filled in, and frozen. */
export interface Config {
  /** What runs the kernels. */
  readonly device: DeviceConfig;
  /** The images. */
  readonly data: DataConfig;
  /** The network. */
  readonly model: ModelConfig;
  /** The path from noise to data and the loss on it. */
  readonly interpolant: InterpolantConfig;
  /** How snippets are made and masked. */
  readonly bank: BankConfig;
  /** How long to train, how much at a time, and what is kept on the way. */
  readonly train: TrainConfig;
  /** AdamW and its constants. */
  readonly optimizer: OptimizerConfig;
  /** The sampler and its knobs. */
  readonly sample: SampleConfig;
}

/** Options of {@linkcode parseConfig} and {@linkcode resolveConfig}. */
export interface ConfigOptions {
  /** Name of the file, for error messages and for the default run directory. */
  readonly name?: string | undefined;
  /** Settings such as `train.steps=100` that take the place of the file's. */
  readonly overrides?: readonly string[] | undefined;
}

const deviceSchema: z.ZodType<DeviceConfig> = z.strictObject({
  allowCpuDriver: z.boolean().default(true)
    .describe("Take a CPU driver such as llvmpipe where there is no GPU; slow, but right"),
  variants: z.partialRecord(z.enum(OPS_WITH_VARIANTS), z.string()).default({})
    .describe(
      "Force the variant of an op, by name; the first thing to try when a number looks wrong",
    ),
  debug: z.boolean().default(false)
    .describe(
      "Name the kernel that first wrote a number which is not finite, or that the GPU refused; several " +
        "times as slow",
    ),
  onnxProviders: z.array(z.string().min(1)).min(1).default(["cpu"])
    .describe(
      "What runs ONNX networks, the first choice first: cpu, or another execution provider of " +
        "onnxruntime, such as webgpu",
    ),
}).superRefine(({ variants }, context) => {
  for (const [op, variant] of Object.entries(variants)) {
    const names = variantsOf(op as OpWithVariants);
    if (names.includes(variant)) continue;
    context.addIssue({
      code: "custom",
      path: ["variants", op],
      message: `is ${JSON.stringify(variant)}, expected one of ${names.join(", ")}`,
    });
  }
});

const givenDataSchema = z.strictObject({
  kind: z.enum(["emoji", "folder", "mnist", "cifar10", "latents"]).default("emoji")
    .describe(
      "emoji is built in; folder reads image files; mnist and cifar10 read their binary files; " +
        "latents reads safetensors shards that a tokenizer made",
    ),
  path: z.string().nullable().default(null)
    .describe("Folder that holds the data; emoji has none"),
  tokenizer: z.enum(Object.keys(TOKENIZERS) as TokenizerName[]).nullable().default(null)
    .describe(
      "Published tokenizer; says imageSize, channels, latentNorm and latentMultiplier if left out",
    ),
  imageSize: z.int().min(1).max(16_384).optional()
    .describe("Side of the square image, or of its latent, in pixels"),
  channels: z.int().min(1).optional()
    .describe("Channels: 1 is grey, 3 is colour; latents have those of their tokenizer"),
  memoryLimit: z.number().min(0).default(2)
    .describe(
      "Most memory in GiB for the decoded images of a folder; those of a larger one are decoded " +
        "whenever they are read",
    ),
  heldOut: z.number().min(0).default(0)
    .describe("Images never trained on: a share below 1, or a number of images from 1 up"),
  flip: z.boolean().default(false)
    .describe("Mirror half of the images, drawn anew for every batch"),
  latentNorm: z.boolean().optional()
    .describe(
      "Bring each channel of latents to mean 0 and deviation 1 (VA-VAE); images stay as they are",
    ),
  latentMultiplier: z.number().gt(0).optional()
    .describe(
      "Factor on latents after that: 1 for VA-VAE, 0.18215 for SD-VAE without latentNorm",
    ),
  encoder: z.string().min(1).nullable().default(null)
    .describe(
      "Encoder of latents (ONNX), by which deno task encode makes them; training needs none",
    ),
  decoder: z.string().min(1).nullable().default(null)
    .describe("Decoder of latents (ONNX), for pictures and distances of samples; null makes none"),
}).superRefine(({ kind, path, tokenizer, channels, heldOut, encoder, decoder }, context) => {
  const refuse = (key: string, message: string) =>
    // What is compared with other sections is filled in by the transform, which such data do not reach.
    context.addIssue({ code: "custom", path: [key], message, continue: false });
  if (kind !== "emoji" && path === null) {
    refuse("path", `is null, expected a folder while data.kind is ${kind}`);
  }
  if (kind === "emoji" && path !== null) {
    refuse("path", `is ${JSON.stringify(path)}, expected null while data.kind is emoji`);
  }
  for (const [key, value] of Object.entries({ tokenizer, encoder, decoder })) {
    if (kind === "latents" || value === null) continue;
    refuse(key, `is ${JSON.stringify(value)}, expected null while data.kind is ${kind}`);
  }
  const known = tokenizer === null ? channels : TOKENIZERS[tokenizer].channels;
  if (channels !== undefined && channels !== known) {
    refuse("channels", `is ${channels}, expected ${known} as data.tokenizer ${tokenizer} says`);
  }
  if (heldOut >= 1 && !Number.isInteger(heldOut)) {
    refuse("heldOut", `is ${heldOut}, expected a share below 1 or a whole number of images`);
  }
});

/** Side in pixels of the images that `data.imageSize` follows from, where a tokenizer is named. */
const TOKENIZED_SIZE = 256;

/** Reads a `data` section: checks it, fills in what the tokenizer stands for, and defaults. */
const dataSchema: z.ZodType<DataConfig> = givenDataSchema.transform((given) => {
  const known = given.tokenizer === null ? undefined : TOKENIZERS[given.tokenizer];
  return {
    ...given,
    imageSize: given.imageSize ?? (known ? TOKENIZED_SIZE / known.downsample : 32),
    channels: given.channels ?? known?.channels ?? 3,
    latentNorm: given.latentNorm ?? known?.latentNorm ?? true,
    latentMultiplier: given.latentMultiplier ?? known?.latentMultiplier ?? 1,
  };
});

const givenTrainSchema = z.strictObject({
  steps: z.int().min(1).default(200_000).describe("Optimiser steps in all"),
  batchSize: z.int().min(1).default(256).describe("Images per optimiser step"),
  gradientAccumulation: z.int().min(1).default(1)
    .describe("Parts of a batch that run one after the other, to save memory"),
  seed: z.int().min(0).default(0)
    .describe("Seed of the weights, the order of images, times, noise and masks"),
  emaDecay: z.number().min(0).lt(1).default(0.9999)
    .describe("Decay per step of the running mean of the weights that samples are drawn with"),
  emaWarmup: z.boolean().default(false)
    .describe("Let that decay rise from zero over the first steps; wanted in short runs"),
  clip: z.number().gt(0).nullable().default(1)
    .describe("Largest norm of the whole gradient; null does not clip"),
  recompute: z.boolean().default(false)
    .describe(
      "Compute activations again in the backward pass: less memory, about a third more time",
    ),
  precision: z.enum(PRECISIONS).default("f32")
    .describe(
      "What the operands of the blocks' matrix products are rounded to; all else stays f32, " +
        "but GPUs sum each eight products in f16",
    ),
  lossScaleInterval: z.int().min(1).default(2000)
    .describe("Steps without an overflow after which the loss scale of f16 doubles"),
  logEvery: z.int().min(1).default(100).describe("Steps between two log lines"),
  sampleEvery: z.int().min(1).nullable().default(5000)
    .describe("Steps between two pictures of samples; null draws the last one alone"),
  evaluateEvery: z.int().min(1).nullable().default(5000)
    .describe(
      "Steps between two measurements of the distance of samples to the data; null makes none",
    ),
  checkpointEvery: z.int().min(1).nullable().default(5000)
    .describe("Steps between two checkpoints; null writes the last one alone"),
  keepCheckpoints: z.int().min(1).nullable().default(3)
    .describe(
      "Newest checkpoints that are kept, besides those with any other file in them; null keeps all",
    ),
  syncEvery: z.int().min(1).default(10)
    .describe("Steps between two waits for the GPU, which bound the work in flight"),
  runDirectory: z.string().min(1).optional()
    .describe("Where log, pictures and checkpoints go"),
}).superRefine(({ batchSize, gradientAccumulation }, context) => {
  if (context.issues.length > 0 || batchSize % gradientAccumulation === 0) return;
  context.addIssue({
    code: "custom",
    path: ["gradientAccumulation"],
    message: `is ${gradientAccumulation}, expected a divisor of train.batchSize ${batchSize}`,
  });
});

const optimizerSchema: z.ZodType<OptimizerConfig> = z.strictObject({
  learningRate: z.number().gt(0).default(1e-4)
    .describe("Learning rate after warm-up; it stays constant"),
  beta1: z.number().min(0).lt(1).default(0.9)
    .describe("Decay of the running mean of the gradient"),
  beta2: z.number().min(0).lt(1).default(0.999)
    .describe("Decay of the running mean of the squared gradient"),
  epsilon: z.number().min(SMALLEST_EPSILON).default(1e-8)
    .describe("Added to the root of the squared gradient before the division"),
  weightDecay: z.number().min(0).default(0)
    .describe("Share of a weight taken off per step, times the learning rate"),
  warmupSteps: z.int().min(0).default(0)
    .describe("Steps over which the learning rate rises linearly from zero"),
});

/** The whole, with `train.runDirectory` following the name of the file where it is left out. */
export function configSchema(name: string): z.ZodType<Config> {
  const trainSchema: z.ZodType<TrainConfig> = givenTrainSchema.transform((given) => ({
    ...given,
    runDirectory: given.runDirectory ?? `runs/${baseName(name)}`,
  }));
  return z.strictObject({
    device: deviceSchema.prefault({}),
    data: dataSchema.prefault({}),
    model: modelSchema.prefault({}),
    interpolant: interpolantSchema.prefault({}),
    bank: bankSchema.prefault({}),
    train: trainSchema.prefault({}),
    optimizer: optimizerSchema.prefault({}),
    sample: sampleSchema.prefault({}),
  }).superRefine(({ data, model, bank }, context) => {
    // Sections with a problem of their own may lack what is compared here.
    if (context.issues.length > 0) return;
    if (data.imageSize % model.patchSize !== 0) {
      context.addIssue({
        code: "custom",
        path: ["data", "imageSize"],
        message: `is ${data.imageSize}, expected a multiple of model.patchSize ${model.patchSize}`,
      });
    }
    if (data.kind === "latents") {
      if (bank.encoder === "pixel_pca" || bank.path !== null) return;
      context.addIssue({
        code: "custom",
        path: ["bank", "encoder"],
        message:
          `is ${bank.encoder}, expected none while data.kind is latents: their snippets are ` +
          "the CLS tokens in the shards, or those of bank.path",
      });
      return;
    }
    if (bank.onnx !== null && bank.onnx.path === null) {
      context.addIssue({
        code: "custom",
        path: ["bank", "onnx", "path"],
        message: "is null, expected a file: only for latents it may be named by a command",
      });
    }
    const pixels = bank.resolution ** 2 * data.channels;
    if (bank.encoder === "pixel_pca" && bank.path === null && bank.dim > pixels) {
      context.addIssue({
        code: "custom",
        path: ["bank", "dim"],
        message: `is ${bank.dim}, expected at most the ${pixels} values of an image of ` +
          `bank.resolution ${bank.resolution} with ${data.channels} channels`,
      });
    }
  });
}

/**
 * Reads a configuration from YAML.
 *
 * Each override is `key=value` with the full name of a key and a YAML value, or for a key that takes text
 * the text itself, and stands above the text.
 *
 * @throws {SyntaxError} when the text is not YAML, or with every unknown key and wrong value; one named
 * `SettingError` where it is the overrides alone that are wrong.
 *
 * @example
 * ```ts
 * import { parseConfig } from "@gmem/gmem";
 *
 * const config = parseConfig("train: { steps: 500 }", { overrides: ["train.batchSize=32"] });
 * console.log(config.train.steps, config.train.batchSize); // 500 32
 * ```
 */
export function parseConfig(text: string, options: ConfigOptions = {}): Config {
  const { name = "configuration" } = options;
  return readConfig(parseYaml(text, { name }), options);
}

/**
 * Checks a plain object, fills in the defaults and freezes the result. The object itself is left as it is. One
 * that a parser made, whose keys nobody knows beforehand, goes in `as DeepPartial<Config>`.
 *
 * @throws {SyntaxError} with every unknown key and wrong value; one named `SettingError` where it is the
 * overrides alone that are wrong.
 *
 * @example
 * ```ts
 * import { resolveConfig } from "@gmem/gmem";
 *
 * console.log(resolveConfig({ model: { name: "SiT-S/2" } }).model.width); // 384
 * ```
 */
export function resolveConfig(
  value: DeepPartial<Config>,
  options: ConfigOptions = {},
): Config {
  return readConfig(value, options);
}

/** As {@linkcode resolveConfig}, of what was read from YAML, or from the `state.json` of a checkpoint. */
export function readConfig(value: unknown, options: ConfigOptions): Config {
  const { name = "configuration", overrides = [] } = options;
  const schema = configSchema(name), own = withoutEmptySections(value);
  try {
    return readOverridden(schema, own, { name, overrides });
  } catch (error) {
    if (!schema.safeParse(own).success) throw error;
    throw new SettingError(messageOf(error), { cause: error });
  }
}

function readOverridden(
  schema: z.ZodType<Config>,
  own: unknown,
  { name, overrides }: Complete<ConfigOptions>,
): Config {
  let given = own;
  const overridden = new Set<string>();
  for (const override of overrides) {
    const { path, text } = splitOverride(override), name = `setting ${override}`;
    requireKnownKey(schema, path, { name });
    const isText = takesText(schema, path);
    given = withValue(given, path, overrideValue(text, { isText, name }));
    overridden.add(path.join("."));
  }
  return readWithSchema(schema, given, { name, overrides: overridden });
}

/**
 * Writes a configuration as YAML with every key in it, which {@linkcode parseConfig} reads back
 * equal.
 *
 * @example
 * ```ts
 * import { parseConfig, stringifyConfig } from "@gmem/gmem";
 *
 * const text = stringifyConfig(parseConfig("train: { steps: 500 }"));
 * console.log(text.includes("learningRate: 0.0001")); // true
 * ```
 */
export function stringifyConfig(config: Config): string {
  return stringifyYaml(config);
}

/** A section whose lines are all commented out reads as null in YAML and means "all defaults". */
function withoutEmptySections(value: unknown): unknown {
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, section]) => section !== null));
}

function baseName(name: string): string {
  const file = name.split(/[\\/]/).at(-1)!;
  return file.replace(/\.ya?ml$/, "");
}
