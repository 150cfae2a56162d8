/**
 * Which matmul kernel runs where.
 *
 * @module
 */

import { MAX_LOOP_ROUNDS, MAX_WORKGROUPS } from "../core/limits.ts";
import { hasCpuSubgroups, type Profile } from "../core/profile.ts";

const VARIANTS = ["naive", "register", "subgroup", "split", "tiled", "tiled_128"] as const;

/**
 * The kernels of matmul: `naive` is the specification; `register` and `subgroup` are for CPU drivers;
 * the others go through workgroup memory with tiles of 64 × 64 (`tiled`), of 128 × 128 (`tiled_128`)
 * or of 64 × 64 with the sum over K in parts that run at once (`split`).
 */
export type MatmulVariant = typeof VARIANTS[number];

/** Sizes of one product: out is [M, N], the sum runs over K. */
export interface MatmulSize {
  /** Rows of the result. */
  readonly M: number;
  /** Columns of the result. */
  readonly N: number;
  /** Terms of each sum. */
  readonly K: number;
  /** Products of this size in one dispatch. Default 1. */
  readonly batch?: number | undefined;
}

/**
 * Workgroups that keep a GPU busy. WebGPU does not say how many processors there are; large GPUs
 * have about a hundred that take two or more workgroups each.
 */
const BUSY_WORKGROUPS = 256;
/** What `split` aims at, whose workgroups are a quarter of those of `tiled_128`. */
const SPLIT_WORKGROUPS = 512;
/** Terms in a part of the sum at least: one number is then written and read for 512 flops. */
const PART_TERMS = 256;
/** K that the tile of 64 takes in one step, of which a part has whole ones. */
const STEP = 8;

/** Rows and columns of the result that one workgroup computes; `subgroup` has twice the columns with 16 lanes. */
export const TILES: Readonly<Record<MatmulVariant, readonly [rows: number, columns: number]>> = {
  naive: [8, 8],
  register: [16, 128],
  subgroup: [32, 32],
  split: [64, 64],
  tiled: [64, 64],
  tiled_128: [128, 128],
};

/**
 * Multiply-adds up to which `naive` is as fast on a CPU driver as the others, which take it a quarter
 * of a second and more to compile. A size and not the work of a run decides, though the latter says
 * whether compiling pays: a kernel that changed on the way would change the roundings with it, and a
 * run that was resumed would no longer be the one that went through.
 */
const CPU_NAIVE_PRODUCTS = 2 ** 13;

/** Tiles store 16 rows of 4 elements after the sum, one by one where rows are no whole vec4: 80 rounds. */
const TILED_TERMS = STEP * (MAX_LOOP_ROUNDS - 80);

/** Terms of the sum that an invocation takes on a CPU driver. */
const MOST_TERMS: Readonly<Record<MatmulVariant, number>> = {
  naive: MAX_LOOP_ROUNDS,
  register: 4 * MAX_LOOP_ROUNDS,
  subgroup: 4 * MAX_LOOP_ROUNDS,
  split: TILED_TERMS,
  tiled: TILED_TERMS,
  tiled_128: TILED_TERMS,
};

/** Tiles of a side that a result has. */
function tilesOf({ M, N, batch = 1 }: MatmulSize, side: number): number {
  return Math.ceil(M / side) * Math.ceil(N / side) * batch;
}

/**
 * Into how many parts `split` cuts the sum over K, and the terms of all but the last: enough for
 * 512 workgroups, but at least 256 terms each. One part where it cannot be cut.
 */
export function splitSum(size: MatmulSize): { parts: number; terms: number } {
  const { K, batch = 1 } = size;
  const wanted = batch > 1 ? 1 : Math.min(
    Math.ceil(SPLIT_WORKGROUPS / Math.max(tilesOf(size, 64), 1)),
    Math.floor(K / PART_TERMS),
  );
  if (wanted <= 1) return { parts: 1, terms: K };
  const terms = Math.ceil(K / wanted / STEP) * STEP;
  return { parts: Math.ceil(K / terms), terms };
}

/** Whether a variant can compute a size on an adapter; none can where it is far too large. */
export function supportsMatmul(
  variant: MatmulVariant,
  options: { profile: Profile; size: MatmulSize },
): boolean {
  const { profile, size } = options;
  const { M, N, batch = 1 } = size, [rows, columns] = TILES[variant];
  // Each product of a batch has workgroups of its own along z.
  if (Math.max(Math.ceil(N / columns), Math.ceil(M / rows), batch) > MAX_WORKGROUPS) return false;
  const terms = variant === "split" ? splitSum(size).terms : size.K;
  if (profile.driver === "cpu" && terms > MOST_TERMS[variant]) return false;
  const aligned = M % 4 === 0 && N % 4 === 0 && size.K % 4 === 0;
  switch (variant) {
    case "subgroup":
      return aligned && hasCpuSubgroups(profile);
    case "register":
      return aligned;
    case "split":
      return splitSum(size).parts > 1 && profile.workgroupInvocations >= 64 &&
        profile.workgroupBytes >= 8192;
    case "tiled":
      return profile.workgroupInvocations >= 64 && profile.workgroupBytes >= 8192;
    case "tiled_128":
      return profile.workgroupInvocations >= 256 && profile.workgroupBytes >= 32768;
    case "naive":
      return true;
  }
}

/** Every variant that can compute a size on an adapter, for a tuner to time. */
export function matmulCandidates(profile: Profile, size: MatmulSize): MatmulVariant[] {
  return VARIANTS.filter((variant) => supportsMatmul(variant, { profile, size }));
}

/**
 * The variant to run where none was measured; `RangeError` where no variant can.
 *
 * On a CPU driver loads cost more than multiply-adds and workgroup memory is ordinary memory:
 * register tiles without it win, but for the small products of a short test, for which they need not
 * be compiled, and for results that are too long for their tiles. On a GPU tiles are shared through
 * workgroup memory: those of 128, which read half as much, where there are 256 of them; else those of
 * 64; and where there are fewer than 256 of these, as for gradients of weights, `split` if the sum is
 * long enough.
 */
export function pickMatmul(profile: Profile, size: MatmulSize): MatmulVariant {
  const picked = preferences(profile, size)
    .find((variant) => supportsMatmul(variant, { profile, size }));
  if (picked) return picked;
  const { M, N, K, batch = 1 } = size;
  if (batch > MAX_WORKGROUPS) {
    throw new RangeError(
      `Cannot multiply ${batch} matrices at once: expected at most ${MAX_WORKGROUPS}`,
    );
  }
  throw new RangeError(
    `Cannot multiply [${M}, ${K}] by [${K}, ${N}] on ${profile.label}: more rows, columns or terms ` +
      "of a sum than this driver takes in one product, expected parts of it",
  );
}

function preferences(profile: Profile, size: MatmulSize): readonly MatmulVariant[] {
  if (profile.driver === "cpu") {
    const { M, N, K, batch = 1 } = size;
    return batch * M * N * K <= CPU_NAIVE_PRODUCTS
      ? ["naive"]
      : ["subgroup", "register", "naive", "split", "tiled"];
  }
  if (tilesOf(size, 128) >= BUSY_WORKGROUPS) return ["tiled_128", "tiled", "naive"];
  if (tilesOf(size, 64) >= BUSY_WORKGROUPS) return ["tiled", "naive"];
  return ["split", "tiled", "naive"];
}
