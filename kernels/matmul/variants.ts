/**
 * Which matmul kernel runs where.
 *
 * @module
 */

import type { Profile } from "../core/profile.ts";

/** The kernels of matmul, slowest and simplest first. */
export type MatmulVariant = "naive" | "register" | "subgroup" | "tiled";

/** Sizes of one product: out is [M, N], the sum runs over K. */
export interface MatmulSize {
  /** Rows of the result. */
  readonly M: number;
  /** Columns of the result. */
  readonly N: number;
  /** Terms of each sum. */
  readonly K: number;
}

/** Whether a variant can compute a size on an adapter. */
export function supportsMatmul(
  variant: MatmulVariant,
  options: { profile: Profile; size: MatmulSize },
): boolean {
  const { profile, size } = options;
  const aligned = size.M % 4 === 0 && size.N % 4 === 0 && size.K % 4 === 0;
  switch (variant) {
    case "subgroup":
      return aligned && profile.subgroups && profile.subgroupSize === 8;
    case "register":
      return aligned;
    case "tiled":
      return profile.workgroupInvocations >= 256;
    case "naive":
      return true;
  }
}

/**
 * The fastest variant. On a CPU driver loads cost far more than multiply-adds and workgroup memory
 * is ordinary memory: large register tiles win; GPUs share tiles through workgroup memory.
 */
export function pickMatmul(profile: Profile, size: MatmulSize): MatmulVariant {
  const order: readonly MatmulVariant[] = profile.driver === "cpu"
    ? ["subgroup", "register", "naive"]
    : ["tiled", "naive"];
  return order.find((variant) => supportsMatmul(variant, { profile, size }))!;
}
