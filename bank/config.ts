/**
 * The `bank` section of a configuration: how snippets are made and masked, with all its defaults.
 *
 * @module
 */

import { z } from "zod";

/** How snippets are hidden from the network in training. */
export interface MaskConfig {
  /**
   * zero drops dimensions and rescales the rest (released code), zero-plain drops them alone,
   * random replaces them by noise, noise adds noise to all, none leaves them.
   */
  readonly kind: "zero" | "zero-plain" | "random" | "noise" | "none";
  /** Share of a snippet's dimensions that is masked, or the strength of the added noise. */
  readonly ratio: number;
}

/** The `bank` section: one unit-norm snippet for each training image. */
export interface BankConfig {
  /** What turns an image into a snippet. */
  readonly encoder: "pixel_pca";
  /** Length of a snippet. */
  readonly dim: number;
  /** Side in pixels to which images are shrunk before the principal components are taken. */
  readonly resolution: number;
  /** Scale every principal component to the same variance. */
  readonly whiten: boolean;
  /** A bank built before (safetensors); null builds one from the training images. */
  readonly path: string | null;
  /** How snippets are hidden from the network in training. */
  readonly mask: MaskConfig;
}

const maskSchema: z.ZodType<MaskConfig> = z.strictObject({
  kind: z.enum(["zero", "zero-plain", "random", "noise", "none"]).default("zero")
    .describe(
      "zero drops dimensions and rescales the rest (released code), zero-plain drops them alone, " +
        "random replaces them by noise, noise adds noise to all, none leaves them",
    ),
  ratio: z.number().min(0).lt(1).default(0.4)
    .describe("Share of a snippet's dimensions that is masked, or the strength of the added noise"),
});

/** Reads a `bank` section: checks it and fills in defaults. */
export const bankSchema: z.ZodType<BankConfig> = z.strictObject({
  encoder: z.enum(["pixel_pca"]).default("pixel_pca")
    .describe("What turns an image into a snippet"),
  dim: z.int().min(1).default(64).describe("Length of a snippet"),
  resolution: z.int().min(1).default(16)
    .describe(
      "Side in pixels to which images are shrunk before the principal components are taken",
    ),
  whiten: z.boolean().default(true)
    .describe("Scale every principal component to the same variance"),
  path: z.string().nullable().default(null)
    .describe("A bank built before (safetensors); null builds one from the training images"),
  mask: maskSchema.prefault({}).describe("How snippets are hidden from the network in training"),
});
