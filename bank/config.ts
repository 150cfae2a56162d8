/**
 * The `bank` section of a configuration: how snippets are made and masked, with all its defaults.
 *
 * @module
 */

import { z } from "zod";
import { SNIPPET_MASK_KINDS, type SnippetMaskKind } from "../kernels/mask_snippets/mod.ts";
import {
  IMAGENET_STATISTICS,
  type Interpolation,
  INTERPOLATIONS,
  type Pooling,
  POOLINGS,
} from "./encoders/preprocessing.ts";

/** How snippets are hidden from the network in training. */
export interface MaskConfig {
  /**
   * zero drops dimensions and rescales the rest (released code), zero-plain drops them alone,
   * random replaces them by noise, noise adds noise to all, whole drops snippets, none leaves them.
   */
  readonly kind: SnippetMaskKind | "none";
  /** Share of a snippet's dimensions, or of snippets, that is masked, or the strength of the added noise. */
  readonly ratio: number;
}

/** The network of `bank.encoder: onnx`, what is done to an image before it, and what is taken. */
export interface OnnxConfig {
  /** The network: an ONNX file that takes images [n, C, size, size]; null where a command is told it. */
  readonly path: string | null;
  /** Side in pixels of the images that the network takes. */
  readonly size: number;
  /** Share of either side that is kept around the centre; 0.875 is 256 pixels cropped to 224. */
  readonly crop: number;
  /** Filter of the resizing; torch-bicubic is PyTorch's, which REPA takes. */
  readonly interpolation: Interpolation;
  /** What black and white become before mean and std are applied. */
  readonly range: readonly [low: number, high: number];
  /** Mean of red, green and blue, of values in that range; ImageNet's by default. */
  readonly mean: readonly [red: number, green: number, blue: number];
  /** Standard deviation of red, green and blue in that range; ImageNet's by default. */
  readonly std: readonly [red: number, green: number, blue: number];
  /** Name of the output that is taken; null takes the first. */
  readonly output: string | null;
  /** Tokens that make the snippet: cls the first, mean all, patch-mean all but the first. */
  readonly pooling: Pooling;
}

/** The file of `bank.encoder: features`. */
export interface FeaturesConfig {
  /** Vectors [N, d] in .npy, .npz, .safetensors, .pt or .pth: one for each image, in their order. */
  readonly path: string;
  /** Name of the array, where a .npz or .safetensors file has several. */
  readonly key: string | null;
}

/** The `bank` section: one unit-norm snippet for each training image. */
export interface BankConfig {
  /**
   * What turns an image into a snippet: principal components of its pixels, a network in an ONNX
   * file, or another program, whose vectors are read from a file.
   */
  readonly encoder: "pixel_pca" | "onnx" | "features";
  /** Length of a snippet of pixel_pca; the other encoders have their own. */
  readonly dim: number;
  /** Side in pixels to which pixel_pca shrinks images before it takes principal components. */
  readonly resolution: number;
  /** Scale every principal component of pixel_pca to the same variance. */
  readonly whiten: boolean;
  /** Network of the encoder onnx; only that one reads it. */
  readonly onnx: OnnxConfig | null;
  /** Vectors of the encoder features; only that one reads it. */
  readonly features: FeaturesConfig | null;
  /** A bank built before (safetensors); null builds one from the training images. */
  readonly path: string | null;
  /** How snippets are hidden from the network in training. */
  readonly mask: MaskConfig;
}

const maskSchema: z.ZodType<MaskConfig> = z.strictObject({
  kind: z.enum([...SNIPPET_MASK_KINDS, "none"]).default("zero")
    .describe(
      "zero drops dimensions and rescales the rest (released code), zero-plain drops them alone, " +
        "random replaces them by noise, noise adds noise to all, whole drops snippets, none leaves them",
    ),
  ratio: z.number().min(0).lt(1).default(0.4)
    .describe(
      "Share of a snippet's dimensions, or of snippets, that is masked, or the strength of the added noise",
    ),
});

const colourSchema = z.tuple([z.number(), z.number(), z.number()]);

const deviationSchema = z.tuple([z.number().gt(0), z.number().gt(0), z.number().gt(0)]);

const onnxSchema: z.ZodType<OnnxConfig> = z.strictObject({
  path: z.string().min(1).nullable().default(null)
    .describe(
      "The network: an ONNX file that takes images [n, C, size, size]; null where a command is told it",
    ),
  size: z.int().min(1).max(16_384).default(224)
    .describe("Side in pixels of the images that the network takes"),
  crop: z.number().gt(0).max(1).default(1)
    .describe(
      "Share of either side that is kept around the centre; 0.875 is 256 pixels cropped to 224",
    ),
  interpolation: z.enum(INTERPOLATIONS).default("bicubic")
    .describe(
      "Filter of the resizing; torch-bicubic is PyTorch's, which REPA takes",
    ),
  range: z.tuple([z.number(), z.number()]).default([0, 1])
    .describe("What black and white become before mean and std are applied"),
  mean: colourSchema.default([...IMAGENET_STATISTICS.mean])
    .describe("Mean of red, green and blue, of values in that range; ImageNet's by default"),
  std: deviationSchema.default([...IMAGENET_STATISTICS.std])
    .describe("Standard deviation of red, green and blue in that range; ImageNet's by default"),
  output: z.string().nullable().default(null)
    .describe("Name of the output that is taken; null takes the first"),
  pooling: z.enum(POOLINGS).default("cls")
    .describe(
      "Tokens that make the snippet: cls the first, mean all, patch-mean all but the first",
    ),
}).superRefine(({ range: [low, high] }, context) => {
  if (low < high) return;
  context.addIssue({
    code: "custom",
    path: ["range"],
    message: `is [${low}, ${high}], expected the first to be below the second`,
  });
});

const featuresSchema: z.ZodType<FeaturesConfig> = z.strictObject({
  path: z.string()
    .describe(
      "Vectors [N, d] in .npy, .npz, .safetensors, .pt or .pth: one for each image, in their order",
    ),
  key: z.string().nullable().default(null)
    .describe("Name of the array, where a .npz or .safetensors file has several"),
}).superRefine(({ path }, context) => {
  if (/\.(npy|npz|safetensors|pth?)$/.test(path)) return;
  context.addIssue({
    code: "custom",
    path: ["path"],
    message: `is ${JSON.stringify(path)}, expected a name in .npy, .npz, .safetensors, .pt or .pth`,
  });
});

/** Reads a `bank` section: checks it and fills in defaults. */
export const bankSchema: z.ZodType<BankConfig> = z.strictObject({
  encoder: z.enum(["pixel_pca", "onnx", "features"]).default("pixel_pca")
    .describe(
      "What turns an image into a snippet: principal components of its pixels, a network in an " +
        "ONNX file, or another program, whose vectors are read from a file",
    ),
  dim: z.int().min(1).default(64)
    .describe("Length of a snippet of pixel_pca; the other encoders have their own"),
  // Of three channels the covariance then takes 1.2 GB; the time for its eigenvectors grows as the sixth power.
  resolution: z.int().min(1).max(64).default(16)
    .describe(
      "Side in pixels to which pixel_pca shrinks images before it takes principal components",
    ),
  whiten: z.boolean().default(true)
    .describe("Scale every principal component of pixel_pca to the same variance"),
  onnx: onnxSchema.nullable().default(null)
    .describe("Network of the encoder onnx; only that one reads it"),
  features: featuresSchema.nullable().default(null)
    .describe("Vectors of the encoder features; only that one reads it"),
  path: z.string().nullable().default(null)
    .describe("A bank built before (safetensors); null builds one from the training images"),
  mask: maskSchema.prefault({}).describe("How snippets are hidden from the network in training"),
}).superRefine(({ encoder, path, ...sections }, context) => {
  // A bank that was built before needs neither.
  if (encoder === "pixel_pca" || path !== null) return;
  if (sections[encoder] !== null) return;
  context.addIssue({
    code: "custom",
    path: [encoder],
    message: `is null, expected at least bank.${encoder}.path while bank.encoder is ${encoder}`,
  });
});

/** The files that a bank is made of, by their keys. */
export function bankFiles({ encoder, onnx, features }: BankConfig): Record<string, string> {
  if (encoder === "onnx" && onnx?.path) return { "bank.onnx.path": onnx.path };
  if (encoder === "features" && features !== null) return { "bank.features.path": features.path };
  return {};
}
