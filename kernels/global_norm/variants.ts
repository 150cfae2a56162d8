/**
 * Which kernel sums the squares.
 *
 * @module
 */

import type { Profile } from "../core/profile.ts";

/** How the gradients are read: from their buffer, or from a staged copy in a texture. */
export type GlobalNormVariant = "storage" | "texture";

/**
 * The faster variant. On llvmpipe with two cores, 1.8 million elements take 14 ms from a buffer and
 * 2 ms from a texture, its copy included; GPUs read buffers at full speed.
 */
export function pickGlobalNorm(profile: Profile): GlobalNormVariant {
  return profile.driver === "cpu" ? "texture" : "storage";
}
