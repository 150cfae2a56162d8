/**
 * Which attention kernels run where.
 *
 * @module
 */

import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { paddedSize } from "../core/padded_size.ts";
import { hasCpuSubgroups, type Profile } from "../core/profile.ts";

const VARIANTS = ["rows", "tiled", "naive"] as const;

/** The kernels of attention: `naive` is the specification, `rows` is for CPU drivers. */
export type AttentionVariant = typeof VARIANTS[number];

/** Sizes of one head's attention. */
export interface AttentionSize {
  /** Queries and keys. */
  readonly tokens: number;
  /** Elements of one query, key or value. */
  readonly headWidth: number;
  /** The gradient is needed as well. Default `false`. */
  readonly gradient?: boolean;
}

/** Columns of vec4 that one workgroup of `tiled` takes: four for each of 8 invocations. */
const TILED_COLUMNS = 32;

/** Rounds that a loop over tiles may have on a CPU driver: 65,000, what comes behind it takes some twenty. */
const TILE_ROUNDS = MAX_LOOP_ROUNDS - 535;

/** Up to here `naive` is as fast on a CPU driver as `tiled`, which takes a minute to compile there. */
const CPU_NAIVE_TOKENS = 16;

/** How `tiled` cuts a head's columns of vec4 into slices of equal size. */
export interface TiledPlan {
  /** Workgroups along the columns; each makes the scores for itself. */
  readonly slices: number;
  /** Columns of a slice; the last one may have fewer. */
  readonly columns: number;
  /** Columns of each of the 8 invocations that share a row. */
  readonly slots: number;
  /** Columns left, 1, 2 or 4, of which several invocations each sum a part; or 0. */
  readonly rest: number;
  /**
   * The vec4 of workgroup memory that it takes: 64 rows by 8 vec4 and, behind them, 32 rows by 8 or
   * a tile of 32 rows of a slice and 128 maxima.
   */
  readonly memory: number;
}

/** The plan for heads of a width that is a multiple of 4. */
export function planTiled(headWidth: number): TiledPlan {
  const vectors = headWidth / 4, slices = Math.ceil(vectors / TILED_COLUMNS);
  const columns = Math.ceil(vectors / slices);
  const left = columns % 8, shared = columns > 8 && [1, 2, 4].includes(left);
  return {
    slices,
    columns,
    slots: shared ? Math.floor(columns / 8) : Math.ceil(columns / 8),
    rest: shared ? left : 0,
    memory: Math.max(768, 640 + 32 * columns),
  };
}

/** Bytes of the scores of one head, rows and columns rounded up to a multiple of 4. */
export function scoreBytes(tokens: number): number {
  return 4 * paddedSize(tokens) ** 2;
}

/** Whether a variant can compute a size on an adapter. */
export function supportsAttention(
  variant: AttentionVariant,
  options: { profile: Profile; size: AttentionSize },
): boolean {
  const { profile, size: { tokens, headWidth, gradient = false } } = options;
  const aligned = headWidth % 4 === 0;
  switch (variant) {
    case "rows": {
      // Each tile of 32 tokens loops twice over a head's vec4 and twice over 8 lanes; with 16 lanes a tile has 64, and
      // no more rounds than two of 32; leaving a loop counts, too. The gradient holds the scores of a head at least.
      const rounds = Math.ceil(tokens / 32) * (headWidth / 2 + 21);
      return aligned && hasCpuSubgroups(profile) &&
        rounds <= TILE_ROUNDS &&
        (!gradient || scoreBytes(tokens) <= profile.maxBindingBytes);
    }
    case "tiled": {
      const { columns, memory } = planTiled(headWidth);
      // Each tile of 32 tokens loops twice over a head's vec4 in chunks of 8 and twice over 8 vec4 of
      // coefficients and a slice's columns.
      const rounds = Math.ceil(tokens / 32) * 2 * (headWidth / 4 * 1.25 + columns / 8 + 20);
      return aligned && profile.workgroupInvocations >= 128 &&
        profile.workgroupBytes >= 16 * memory &&
        (profile.driver === "gpu" || rounds <= TILE_ROUNDS);
    }
    case "naive":
      return true;
  }
}

/** Every variant that can compute a size on an adapter, for a tuner to time. */
export function attentionCandidates(profile: Profile, size: AttentionSize): AttentionVariant[] {
  return VARIANTS.filter((variant) => supportsAttention(variant, { profile, size }));
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
