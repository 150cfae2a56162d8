/**
 * Which attention kernels run where.
 *
 * @module
 */

import type { Profile } from "../core/profile.ts";

/** The kernels of attention, slowest and simplest first. */
export type AttentionVariant = "naive" | "rows" | "tiled";

/** Sizes of one head's attention. */
export interface AttentionSize {
  /** Queries and keys. */
  readonly tokens: number;
  /** Elements of one query, key or value. */
  readonly headWidth: number;
}

/** Widest head that `tiled` takes: four columns of vec4 for each of 8 invocations. */
const TILED_HEAD_WIDTH = 128;

/** Loop iterations of one invocation that a CPU driver carries out; it drops the rest silently. */
const CPU_ITERATIONS = 65_000;

/** Up to here `naive` is as fast on a CPU driver as `tiled`, which takes a minute to compile there. */
const CPU_NAIVE_TOKENS = 16;

/**
 * The vec4 of workgroup memory that `tiled` needs: 64 rows by 8 vec4 and, behind them, 32 rows by 8
 * or a tile of 32 whole rows and 128 maxima.
 */
export function tiledMemory(headWidth: number): number {
  return Math.max(768, 640 + 8 * headWidth);
}

/** Whether a variant can compute a size on an adapter. */
export function supportsAttention(
  variant: AttentionVariant,
  options: { profile: Profile; size: AttentionSize },
): boolean {
  const { profile, size: { tokens, headWidth } } = options;
  const aligned = headWidth % 4 === 0;
  switch (variant) {
    case "rows": {
      // Each tile of 32 tokens loops twice over a head's vec4 and once over 8 lanes; leaving a loop
      // counts, too.
      const iterations = Math.ceil(tokens / 32) * (headWidth / 2 + 12);
      return aligned && profile.subgroups && profile.subgroupSize === 8 &&
        iterations <= CPU_ITERATIONS;
    }
    case "tiled":
      return aligned && headWidth <= TILED_HEAD_WIDTH && profile.workgroupInvocations >= 128 &&
        profile.workgroupBytes >= 16 * tiledMemory(headWidth);
    case "naive":
      return true;
  }
}

/**
 * The fastest variant. On a CPU driver loads cost far more than multiply-adds and workgroup memory
 * is ordinary memory: large register tiles win; GPUs share tiles through workgroup memory.
 */
export function pickAttention(profile: Profile, size: AttentionSize): AttentionVariant {
  const cpu = profile.driver === "cpu";
  const order: readonly AttentionVariant[] = cpu && size.tokens <= CPU_NAIVE_TOKENS
    ? ["rows", "naive"]
    : [...(cpu ? ["rows"] as const : []), "tiled", "naive"];
  return order.find((variant) => supportsAttention(variant, { profile, size }))!;
}
