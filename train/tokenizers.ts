/**
 * What is known of published tokenizers, the autoencoders whose latents are trained on.
 *
 * | tokenizer | source of its numbers |
 * |---|---|
 * | `sd-vae` | Rombach et al. 2022; `scaling_factor` of `stabilityai/sd-vae-ft-mse` and `-ema` |
 * | `va-vae-f16d32` | Yao et al. 2025; `vae` and `data` in the configurations of LightningDiT and GMem |
 * | `dc-ae-f32c32-…` | Chen et al. 2025; `scaling_factor` in `scripts/convert_dcae_to_diffusers.py` of diffusers |
 *
 * @module
 */

/** One tokenizer. */
export interface Tokenizer {
  /** Channels of a latent (C). */
  readonly channels: number;
  /** Pixels of an image for each row of its latent. */
  readonly downsample: number;
  /** Whether each channel is brought to mean 0 and deviation 1 before training. */
  readonly latentNorm: boolean;
  /** Factor on latents after that: the tokenizer's scaling factor. */
  readonly latentMultiplier: number;
}

/** A name of {@linkcode TOKENIZERS}. */
export type TokenizerName =
  | "sd-vae"
  | "va-vae-f16d32"
  | "dc-ae-f32c32-in-1.0"
  | "dc-ae-f32c32-mix-1.0"
  | "dc-ae-f32c32-sana-1.0";

const DC_AE = { channels: 32, downsample: 32, latentNorm: false };

/**
 * The tokenizers by the names that `data.tokenizer` knows.
 *
 * @example
 * ```ts
 * import { TOKENIZERS } from "@gmem/gmem";
 *
 * const { channels, downsample } = TOKENIZERS["va-vae-f16d32"];
 * console.log(channels, 256 / downsample); // 32 16
 * ```
 */
export const TOKENIZERS: Readonly<Record<TokenizerName, Tokenizer>> = {
  "sd-vae": { channels: 4, downsample: 8, latentNorm: false, latentMultiplier: 0.18215 },
  "va-vae-f16d32": { channels: 32, downsample: 16, latentNorm: true, latentMultiplier: 1 },
  "dc-ae-f32c32-in-1.0": { ...DC_AE, latentMultiplier: 0.3189 },
  "dc-ae-f32c32-mix-1.0": { ...DC_AE, latentMultiplier: 0.4552 },
  "dc-ae-f32c32-sana-1.0": { ...DC_AE, latentMultiplier: 0.41407 },
};
