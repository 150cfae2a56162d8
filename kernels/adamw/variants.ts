/**
 * Which AdamW kernel runs where.
 *
 * @module
 */

import type { Profile } from "../core/profile.ts";

/** How the slabs are read: from their buffers, or from staged copies in textures. */
export type AdamwVariant = "storage" | "texture";

/**
 * The faster variant. On llvmpipe with two cores, 1.8 million parameters take 75 ms from buffers
 * and 20 ms from textures, the copies of all five slabs included; GPUs read buffers at full speed.
 * The textures take as much memory as the slabs.
 */
export function pickAdamw(profile: Profile): AdamwVariant {
  return profile.driver === "cpu" ? "texture" : "storage";
}
