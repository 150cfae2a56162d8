/**
 * The published networks by their names.
 *
 * @module
 */

import { parseModelName } from "./config.ts";
import type { ConditionOptions, SiTOptions } from "./sit.ts";

/** What a name leaves open; defaults are those of the released ImageNet checkpoints. */
export interface NamedModelOptions {
  /** Side of the latents. Default 32 for SiT (SD-VAE) and 16 for LightningDiT (VA-VAE). */
  readonly inputSize?: number | undefined;
  /** Channels of the latents. Default 4 for SiT and 32 for LightningDiT. */
  readonly channels?: number | undefined;
  /** Default the 1000 classes of ImageNet. */
  readonly condition?: ConditionOptions | undefined;
  /** Projector of the tokens to an encoder's width (REPA); none if left out. */
  readonly projector?: SiTOptions["projector"] | undefined;
}

/**
 * The options of a published network: `SiT-{S,B,L,XL}/{1,2,4,8}` with its variance channels (Ma et
 * al. 2024) or `LightningDiT-{S,B,L,XL}/{1,2,4,8}` with RMS norms, SwiGLU and rotary positions (Yao
 * and Wang 2025).
 *
 * Throws `RangeError` for another name.
 *
 * @example
 * ```ts
 * import { namedModel } from "@gmem/gmem";
 *
 * const { width, depth, heads, patchSize } = namedModel("SiT-XL/2");
 * console.log(width, depth, heads, patchSize); // 1152 28 16 2
 * ```
 */
export function namedModel(name: string, options: NamedModelOptions = {}): SiTOptions {
  const named = parseModelName(name);
  if (named === undefined) {
    throw new RangeError(
      `Cannot make model ${JSON.stringify(name)}: no network has that name, expected ` +
        "SiT-{S,B,L,XL}/{1,2,4,8} or LightningDiT-{S,B,L,XL}/{1,2,4,8}",
    );
  }
  const { lightning, ...size } = named;
  const {
    inputSize = lightning ? 16 : 32,
    channels = lightning ? 32 : 4,
    condition = { classes: 1000 },
    projector,
  } = options;
  return {
    ...size,
    inputSize,
    channels,
    condition,
    learnSigma: !lightning,
    swiglu: lightning,
    rope: lightning,
    rmsNorm: lightning,
    ...(projector && { projector }),
  };
}
