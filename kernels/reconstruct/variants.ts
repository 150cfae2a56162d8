/**
 * Which reconstruction kernel runs where.
 *
 * @module
 */

import { hasCpuSubgroups, type Profile } from "../core/profile.ts";

/** The kernels of reconstruct. */
export type ReconstructVariant = "subgroup" | "workgroup";

/** Sizes of a reconstruction. */
export interface ReconstructSize {
  /** Coefficients of a row. */
  readonly rank: number;
  /** Numbers in a row that is made. */
  readonly width: number;
}

/** Whether a variant can make rows of a size on an adapter. */
export function supportsReconstruct(
  variant: ReconstructVariant,
  options: { readonly profile: Profile; readonly size: ReconstructSize },
): boolean {
  const { profile, size: { rank, width } } = options;
  return variant === "workgroup" ||
    (rank % 4 === 0 && width % 4 === 0 && hasCpuSubgroups(profile));
}

/**
 * The fastest variant: CPU drivers with subgroups have registers for 32 rows and no use for
 * workgroup memory; all else shares the coefficients through it.
 */
export function pickReconstruct(profile: Profile, size: ReconstructSize): ReconstructVariant {
  return supportsReconstruct("subgroup", { profile, size }) ? "subgroup" : "workgroup";
}
