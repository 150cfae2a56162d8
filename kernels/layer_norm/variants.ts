/**
 * Which layer norm kernels run where.
 *
 * @module
 */

import { hasCpuSubgroups, type Profile } from "../core/profile.ts";

const VARIANTS = ["register", "subgroup", "workgroup", "naive"] as const;

/** The kernels of layer norm: `naive` is the specification, `subgroup` is for CPU drivers. */
export type LayerNormVariant = typeof VARIANTS[number];

/** Vec4 of a row that one invocation of `register` holds at most. */
const MAX_SLOTS = 8;

/** Vec4 of a row that each of the 64 invocations of `register` holds. */
export function registerSlots(width: number): number {
  return Math.ceil(width / 256);
}

/** Whether a variant can normalise rows of `width` on an adapter. */
export function supportsLayerNorm(
  variant: LayerNormVariant,
  options: { profile: Profile; width: number },
): boolean {
  const { profile, width } = options;
  switch (variant) {
    case "subgroup":
      return width % 4 === 0 && hasCpuSubgroups(profile);
    case "workgroup":
      return width % 4 === 0;
    case "register":
      return width % 4 === 0 && registerSlots(width) <= MAX_SLOTS;
    case "naive":
      return true;
  }
}

/** Every variant that can normalise rows of `width` on an adapter, for a tuner to time. */
export function layerNormCandidates(profile: Profile, width: number): LayerNormVariant[] {
  return VARIANTS.filter((variant) => supportsLayerNorm(variant, { profile, width }));
}

/**
 * The fastest variant. On a CPU driver a subgroup reads textures; a GPU gives each row a
 * workgroup, so that neighbouring invocations read neighbouring addresses, and holds the row in
 * registers where it fits.
 */
export function pickLayerNorm(profile: Profile, width: number): LayerNormVariant {
  const order: readonly LayerNormVariant[] = profile.driver === "cpu"
    ? ["subgroup", "workgroup", "naive"]
    : ["register", "workgroup", "naive"];
  return order.find((variant) => supportsLayerNorm(variant, { profile, width }))!;
}
