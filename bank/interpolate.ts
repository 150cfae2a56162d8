/**
 * New snippets between two others, on the CPU: on the straight line (GMem, appendix C) and in the other ways
 * of GMem's released code. Each result has norm 1.
 *
 * @module
 */

import { permutation } from "../kernels/core/random.ts";
import { normalizeSnippets } from "./normalize.ts";

/** How far {@linkcode lerpSnippets} and {@linkcode slerpSnippets} go. */
export interface InterpolateOptions {
  /** 0 gives the first snippet, 1 the second. */
  readonly alpha: number;
}

/** How {@linkcode mixSnippets} draws. */
export interface MixSnippetsOptions {
  /** Seed of the choice of dimensions. */
  readonly seed?: number | undefined;
  /** Share of the dimensions that the second snippet gives; half by default, rounded down. */
  readonly ratio?: number | undefined;
}

/** One of the snippets that {@linkcode interpolateSnippets} makes. */
export interface BetweenSnippet {
  /** How it was made, such as `slerp 0.25`. */
  readonly name: string;
  /** The snippet [d]. */
  readonly snippet: Float32Array;
}

/** How {@linkcode interpolateSnippets} goes. */
export interface BetweenOptions {
  /** Straight line, great circle, halves, or a random half each. */
  readonly mode: "lerp" | "slerp" | "concat" | "mask";
  /** Snippets from the first to the second, both counted, for `lerp` and `slerp`; at least 2. */
  readonly steps: number;
  /** Seed of the choice of dimensions, for `mask`. */
  readonly seed: number;
}

/** Sine of the angle below which two snippets count as parallel. */
const LEAST_SINE = 1e-6;

/**
 * Goes from one snippet [d] to another on the straight line: (1 − alpha) first + alpha second,
 * normalised (GMem, appendix C, where it is not).
 *
 * Throws a TypeError if the lengths differ, and a RangeError if the result is zero or alpha is not a
 * number from 0 to 1.
 *
 * @example
 * ```ts
 * import { lerpSnippets } from "@gmem/gmem";
 *
 * const third = lerpSnippets(Float32Array.of(1, 0), Float32Array.of(0, 1), { alpha: 1 / 3 });
 * console.log(third[0]?.toFixed(3), third[1]?.toFixed(3)); // 0.894 0.447
 * ```
 */
export function lerpSnippets(
  first: Float32Array,
  second: Float32Array,
  options: InterpolateOptions,
): Float32Array {
  const { alpha } = options;
  checkPair(first, second);
  requireShare("alpha", alpha);
  return combine(first, second, { first: 1 - alpha, second: alpha });
}

/**
 * Goes from one snippet [d] to another on the great circle, at even speed: with the angle ω between
 * them, (sin((1 − alpha) ω) first + sin(alpha ω) second) / sin ω, normalised (Shoemake 1985; GMem's
 * released code). Parallel snippets, whose circle is not defined, go on the straight line.
 *
 * Throws a TypeError if the lengths differ, and a RangeError if the result is zero or alpha is not a
 * number from 0 to 1.
 *
 * @example
 * ```ts
 * import { slerpSnippets } from "@gmem/gmem";
 *
 * // A third of the way along the quarter of a circle: 30 degrees.
 * const third = slerpSnippets(Float32Array.of(1, 0), Float32Array.of(0, 1), { alpha: 1 / 3 });
 * console.log(third[0]?.toFixed(3), third[1]?.toFixed(3)); // 0.866 0.500
 * ```
 */
export function slerpSnippets(
  first: Float32Array,
  second: Float32Array,
  options: InterpolateOptions,
): Float32Array {
  const { alpha } = options;
  checkPair(first, second);
  requireShare("alpha", alpha);
  const cosine = first.reduce((sum, value, i) => sum + value * second[i]!, 0);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  const sine = Math.sin(angle);
  if (sine < LEAST_SINE) return lerpSnippets(first, second, options);
  return combine(first, second, {
    first: Math.sin((1 - alpha) * angle) / sine,
    second: Math.sin(alpha * angle) / sine,
  });
}

/**
 * Takes the first half of the dimensions, rounded down, from one snippet [d] and the rest from another,
 * normalised (GMem's released code).
 *
 * Throws a TypeError if the lengths differ, and a RangeError if the result is zero.
 *
 * @example
 * ```ts
 * import { concatenateSnippets } from "@gmem/gmem";
 *
 * const first = Float32Array.of(0.5, 0.5, 0.5, 0.5), second = first.map((value) => -value);
 * console.log(concatenateSnippets(first, second)); // Float32Array(4) [ 0.5, 0.5, -0.5, -0.5 ]
 * ```
 */
export function concatenateSnippets(first: Float32Array, second: Float32Array): Float32Array {
  checkPair(first, second);
  const half = Math.floor(first.length / 2);
  return choose(first, second, (i) => i >= half);
}

/**
 * Takes a random part of the dimensions from the second snippet [d] and the rest from the first,
 * normalised; GMem's released code calls it `mask`. The same seed gives the same dimensions.
 *
 * Throws a TypeError if the lengths differ, and a RangeError if the result is zero or the ratio is
 * not a number from 0 to 1.
 *
 * @example
 * ```ts
 * import { mixSnippets } from "@gmem/gmem";
 *
 * const first = Float32Array.of(0.5, 0.5, 0.5, 0.5), second = first.map((value) => -value);
 * console.log(mixSnippets(first, second, { seed: 0, ratio: 0.25 }));
 * // Float32Array(4) [ 0.5, 0.5, 0.5, -0.5 ]
 * ```
 */
export function mixSnippets(
  first: Float32Array,
  second: Float32Array,
  options: MixSnippetsOptions = {},
): Float32Array {
  const { seed = 0, ratio = 0.5 } = options;
  checkPair(first, second);
  requireShare("ratio", ratio);
  const order = permutation(first.length, seed, 0);
  const chosen = new Set(order.subarray(0, Math.floor(ratio * first.length)));
  return choose(first, second, (i) => chosen.has(i));
}

/**
 * Makes all snippets of a way from one [d] to another: one for each step of `lerp` and `slerp`, with
 * both ends; one for `concat` and `mask`.
 *
 * Throws what the functions of those names throw.
 */
export function interpolateSnippets(
  first: Float32Array,
  second: Float32Array,
  options: BetweenOptions,
): BetweenSnippet[] {
  const { mode, steps, seed } = options;
  if (mode === "concat") return [{ name: mode, snippet: concatenateSnippets(first, second) }];
  if (mode === "mask") return [{ name: mode, snippet: mixSnippets(first, second, { seed }) }];
  const between = mode === "lerp" ? lerpSnippets : slerpSnippets;
  return Array.from({ length: steps }, (_, step) => {
    const alpha = step / (steps - 1);
    return {
      name: `${mode} ${Number(alpha.toFixed(3))}`,
      snippet: between(first, second, { alpha }),
    };
  });
}

function choose(
  first: Float32Array,
  second: Float32Array,
  isSecond: (i: number) => boolean,
): Float32Array {
  const values = first.map((value, i) => isSecond(i) ? second[i]! : value);
  return normalizeSnippets(values, { dim: values.length });
}

function combine(
  first: Float32Array,
  second: Float32Array,
  weights: { first: number; second: number },
): Float32Array {
  const values = Float64Array.from(
    first,
    (value, i) => weights.first * value + weights.second * second[i]!,
  );
  return normalizeSnippets(values, { dim: values.length });
}

function checkPair(first: Float32Array, second: Float32Array): void {
  if (first.length !== second.length) {
    throw new TypeError(
      `Cannot interpolate snippets of length ${first.length} and ${second.length}: ` +
        "expected equal lengths",
    );
  }
}

function requireShare(name: "alpha" | "ratio", share: number): void {
  if (share >= 0 && share <= 1) return;
  throw new RangeError(
    `Cannot interpolate snippets: ${name} is ${share}, expected a number from 0 to 1`,
  );
}
