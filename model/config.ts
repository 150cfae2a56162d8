/**
 * The `model` and `interpolant` sections of a configuration: the network and the path from noise to
 * data, with all their defaults.
 *
 * @module
 */

import { z } from "zod";
import { INTERPOLANT_NAMES, type InterpolantName } from "./interpolants/interpolant.ts";
import {
  LOSS_WEIGHTINGS,
  type LossWeighting,
  type Prediction,
  PREDICTIONS,
} from "./interpolants/prediction.ts";
import { TIME_DISTRIBUTIONS, type TimeDistribution } from "./interpolants/time.ts";
import type { DeepPartial } from "./schema.ts";
import type { SiTOptions } from "./sit.ts";

/** Sizes of a published network: depth in blocks, width in channels, attention heads. */
export interface ModelSize {
  /** Number of transformer blocks. */
  readonly depth: number;
  /** Channels of a token (D). */
  readonly width: number;
  /** Attention heads (H). */
  readonly heads: number;
}

/** Alignment of the network's tokens with an encoder's, as in REPA (Yu et al. 2024, eq. 8). */
export interface AlignmentConfig {
  /** Weight of the alignment loss beside the denoising loss. */
  readonly weight: number;
  /** Block after which the tokens are aligned, counted from 1. */
  readonly depth: number;
  /** Hidden channels of the projector's two inner layers. */
  readonly projectorWidth: number;
  /** Channels of the encoder's tokens. */
  readonly targetWidth: number;
}

/** The `model` section: the network. */
export interface ModelConfig {
  /** Published size such as SiT-B/2 or LightningDiT-XL/1; null takes the sizes below. */
  readonly name: string | null;
  /** Side of a square patch in pixels; one patch is one token. */
  readonly patchSize: number;
  /** Channels of a token. */
  readonly width: number;
  /** Number of transformer blocks. */
  readonly depth: number;
  /** Attention heads; each has width / heads channels. */
  readonly heads: number;
  /** Hidden channels of the feed-forward layer as a multiple of width. */
  readonly mlpRatio: number;
  /** What guides the network: a snippet of the bank, or a class label. */
  readonly conditioning: "snippet" | "label";
  /** Map from snippet to width: one linear layer (released code) or three with SiLU (paper). */
  readonly snippetEmbedding: "linear" | "mlp3";
  /** Share of labels replaced by the null class in training; used with label conditioning. */
  readonly classDropout: number;
  /** Also put out a variance half, which the loss ignores, as released SiT checkpoints do. */
  readonly learnSigma: boolean;
  /** Start modulation and the last layer at zero (adaLN-zero); the released GMem code does not. */
  readonly zeroInit: boolean;
  /** Normalise queries and keys per head: steadier in f16, slightly worse images. */
  readonly qkNorm: boolean;
  /** Gated SiLU feed-forward in place of GELU. */
  readonly swiglu: boolean;
  /** Rotate queries and keys by position, beside the fixed position embedding. */
  readonly rope: boolean;
  /** RMSNorm with a learned weight in place of LayerNorm without one. */
  readonly rmsNorm: boolean;
  /** Modulation without shifts: four parts per block in place of six. */
  readonly noShift: boolean;
  /** Alignment loss of REPA on the tokens of one block; null leaves it out. */
  readonly repa: AlignmentConfig | null;
}

/** The `interpolant` section: the path from noise (t = 0) to data (t = 1) and the loss on it. */
export interface InterpolantConfig {
  /** Path from noise to data: linear, gvp (sine and cosine) or vp (variance preserving). */
  readonly path: InterpolantName;
  /** What the network puts out. */
  readonly prediction: Prediction;
  /** Weight of the loss over time; only for noise and score prediction. */
  readonly weighting: LossWeighting;
  /** Distribution of the training times. */
  readonly timeDistribution: TimeDistribution;
  /** Add one minus the cosine between output and target, as LightningDiT does. */
  readonly cosineLoss: boolean;
}

/** The four published sizes, shared by DiT, SiT and LightningDiT. */
export const MODEL_SIZES: Readonly<Record<"S" | "B" | "L" | "XL", ModelSize>> = {
  S: { depth: 12, width: 384, heads: 6 },
  B: { depth: 12, width: 768, heads: 12 },
  L: { depth: 24, width: 1024, heads: 16 },
  XL: { depth: 28, width: 1152, heads: 16 },
};

/** Used where neither a name nor a size is given: SiT-B/2. */
const DEFAULT_SIZE = { patchSize: 2, ...MODEL_SIZES.B };

/** Reads a `model.repa` section: checks it and fills in defaults. */
export const alignmentSchema: z.ZodType<AlignmentConfig> = z.strictObject({
  weight: z.number().min(0).default(0.5)
    .describe("Weight of the alignment loss beside the denoising loss"),
  depth: z.int().min(1).default(4)
    .describe("Block after which the tokens are aligned, counted from 1"),
  projectorWidth: z.int().min(1).default(2048)
    .describe("Hidden channels of the projector's two inner layers"),
  targetWidth: z.int().min(1).default(768)
    .describe("Channels of the encoder's tokens"),
});

const givenModelSchema = z.strictObject({
  name: z.string().nullable().default(null)
    .describe("Published size such as SiT-B/2 or LightningDiT-XL/1; null takes the sizes below"),
  patchSize: z.int().min(1).optional()
    .describe("Side of a square patch in pixels; one patch is one token"),
  width: z.int().min(1).optional().describe("Channels of a token"),
  depth: z.int().min(1).max(1000).optional().describe("Number of transformer blocks"),
  heads: z.int().min(1).optional()
    .describe("Attention heads; each has width / heads channels"),
  mlpRatio: z.number().gt(0).default(4)
    .describe("Hidden channels of the feed-forward layer as a multiple of width"),
  conditioning: z.enum(["snippet", "label"]).default("snippet")
    .describe("What guides the network: a snippet of the bank, or a class label"),
  snippetEmbedding: z.enum(["linear", "mlp3"]).default("linear")
    .describe(
      "Map from snippet to width: one linear layer (released code) or three with SiLU (paper)",
    ),
  classDropout: z.number().min(0).lt(1).default(0.1)
    .describe(
      "Share of labels replaced by the null class in training; used with label conditioning",
    ),
  learnSigma: z.boolean().default(false)
    .describe(
      "Also put out a variance half, which the loss ignores, as released SiT checkpoints do",
    ),
  zeroInit: z.boolean().default(true)
    .describe(
      "Start modulation and the last layer at zero (adaLN-zero); the released GMem code does not",
    ),
  qkNorm: z.boolean().default(false)
    .describe("Normalise queries and keys per head: steadier in f16, slightly worse images"),
  swiglu: z.boolean().optional().describe("Gated SiLU feed-forward in place of GELU"),
  rope: z.boolean().optional()
    .describe("Rotate queries and keys by position, beside the fixed position embedding"),
  rmsNorm: z.boolean().optional()
    .describe("RMSNorm with a learned weight in place of LayerNorm without one"),
  noShift: z.boolean().default(false)
    .describe("Modulation without shifts: four parts per block in place of six"),
  repa: alignmentSchema.nullable().default(null)
    .describe("Alignment loss of REPA on the tokens of one block; null leaves it out"),
});

/** Reads a `model` section: checks it, fills in the sizes that the name stands for, and defaults. */
export const modelSchema: z.ZodType<ModelConfig> = givenModelSchema.transform((given, context) => {
  const named = given.name === null ? undefined : parseModelName(given.name);
  if (given.name !== null && named === undefined) {
    context.addIssue({
      code: "custom",
      path: ["name"],
      message: `is ${JSON.stringify(given.name)}, expected SiT or LightningDiT, a size of ` +
        `${Object.keys(MODEL_SIZES).join(", ")} and a patch of 1, 2, 4 or 8, such as SiT-B/2`,
    });
    return z.NEVER;
  }
  const { lightning, ...size } = named ?? { lightning: false, ...DEFAULT_SIZE };
  for (const key of ["patchSize", "width", "depth", "heads"] as const) {
    if (named === undefined || given[key] === undefined || given[key] === size[key]) continue;
    context.addIssue({
      code: "custom",
      path: [key],
      message: `is ${given[key]}, expected ${size[key]} as model.name ${given.name} says ` +
        `(set model.name to null to choose sizes)`,
    });
  }
  const {
    name,
    patchSize = size.patchSize,
    width = size.width,
    depth = size.depth,
    heads = size.heads,
    swiglu = lightning,
    rope = lightning,
    rmsNorm = lightning,
    ...rest
  } = given;
  const model = { name, patchSize, width, depth, heads, ...rest, swiglu, rope, rmsNorm };
  checkWidths(model, context);
  return model;
});

/** Reads an `interpolant` section: checks it and fills in defaults. */
export const interpolantSchema: z.ZodType<InterpolantConfig> = z.strictObject({
  path: z.enum(INTERPOLANT_NAMES).default("linear")
    .describe("Path from noise to data: linear, gvp (sine and cosine) or vp (variance preserving)"),
  prediction: z.enum(PREDICTIONS).default("velocity")
    .describe("What the network puts out"),
  weighting: z.enum(LOSS_WEIGHTINGS).default("none")
    .describe("Weight of the loss over time; only for noise and score prediction"),
  timeDistribution: z.enum(TIME_DISTRIBUTIONS).default("uniform")
    .describe("Distribution of the training times"),
  cosineLoss: z.boolean().default(false)
    .describe("Add one minus the cosine between output and target, as LightningDiT does"),
}).superRefine((interpolant, context) => {
  if (interpolant.prediction === "velocity" && interpolant.weighting !== "none") {
    context.addIssue({
      code: "custom",
      path: ["weighting"],
      message: `is ${interpolant.weighting}, expected none while prediction is velocity`,
    });
  }
});

/** The projector that a `model.repa` section asks for. */
export function projectorOf(
  { depth, projectorWidth: width, targetWidth }: AlignmentConfig,
): NonNullable<SiTOptions["projector"]> {
  return { depth, width, targetWidth };
}

/**
 * The model options that a `model` section means for given data. As in the official code there is a null
 * class where labels are dropped in training.
 */
export function modelOptions(
  config: ModelConfig,
  data: { imageSize: number; channels: number; classes: number; snippetDim: number },
): SiTOptions {
  const { name: _, conditioning, snippetEmbedding, repa, classDropout, ...sizes } = config;
  return {
    ...sizes,
    inputSize: data.imageSize,
    channels: data.channels,
    condition: conditioning === "label"
      ? { classes: data.classes, nullClass: classDropout > 0 }
      : { snippetDim: data.snippetDim, embedding: snippetEmbedding },
    ...(repa && { projector: projectorOf(repa) }),
  };
}

/** The `model` section that {@linkcode modelOptions} makes such options of; what is left out is the default. */
export function modelSettings(options: SiTOptions): DeepPartial<ModelConfig> {
  const { inputSize: _, channels: __, condition, projector, ...sizes } = options;
  const { width: projectorWidth, ...others } = projector ?? {};
  return {
    ...sizes,
    ...("classes" in condition
      ? { conditioning: "label", ...(condition.nullClass === false && { classDropout: 0 }) }
      : { conditioning: "snippet", snippetEmbedding: condition.embedding }),
    ...(projector && { repa: { ...others, projectorWidth } }),
  };
}

/** What a published name such as SiT-B/2 stands for; undefined for any other name. */
export function parseModelName(
  name: string,
): (ModelSize & { patchSize: number; lightning: boolean }) | undefined {
  const match = /^(SiT|LightningDiT)-(S|B|L|XL)\/([1248])$/.exec(name);
  if (match === null) return undefined;
  const size = MODEL_SIZES[match[2] as keyof typeof MODEL_SIZES];
  return { lightning: match[1] === "LightningDiT", patchSize: Number(match[3]), ...size };
}

function checkWidths(model: ModelConfig, context: z.core.$RefinementCtx): void {
  const { width, heads, depth, mlpRatio, swiglu, repa } = model;
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: key.split("."), message });
  // A quarter of the channels each for the sine and cosine of column and row.
  if (width % 4 !== 0) refuse("width", `is ${width}, expected a multiple of 4`);
  if (width % heads !== 0) {
    refuse("heads", `is ${heads}, expected a divisor of model.width ${width}`);
  } else if (model.rope && (width / heads) % 4 !== 0) {
    refuse(
      "heads",
      `is ${heads}, expected width / heads to be a multiple of 4 with model.rope, ` +
        `but it is ${width / heads}`,
    );
  }
  // SwiGLU takes two thirds of them.
  if (Math.floor(width * mlpRatio) < (swiglu ? 2 : 1)) {
    refuse(
      "mlpRatio",
      `is ${mlpRatio}, expected one that leaves hidden channels of model.width ${width}`,
    );
  }
  if (repa !== null && repa.depth > depth) {
    refuse("repa.depth", `is ${repa.depth}, expected at most model.depth ${depth}`);
  }
}
