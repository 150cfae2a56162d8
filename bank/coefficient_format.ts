/**
 * How a file stores the coefficients of a low-rank bank.
 *
 * @module
 */

import { requireOneOf } from "../kernels/core/nearest_name.ts";

/** The largest whole number that I8 holds on both sides of zero. */
const INT8_MOST = 127;

/** How the coefficients of a low-rank bank are stored: 4, 2 or 1 bytes each. */
export type CoefficientStorage = "f32" | "f16" | "int8";

/** Every {@linkcode CoefficientStorage}. */
export const STORAGES: readonly CoefficientStorage[] = ["f32", "f16", "int8"];

/** How coefficients become stored numbers, and what these mean. */
export class CoefficientFormat {
  /** Factors of the columns [r] of numbers stored as `int8`; empty for other types. */
  readonly steps: Float32Array;
  readonly #storage: CoefficientStorage;

  /**
   * Takes the largest magnitude of each column [r], which `int8` needs.
   *
   * Throws a TypeError for `int8` without the maxima of the r columns, and a RangeError for a storage that there
   * is none of.
   */
  constructor(
    storage: CoefficientStorage,
    columns: { readonly rank: number; readonly columnMaxima: Float64Array | undefined },
  ) {
    requireOneOf("Cannot store coefficients: storage", storage, STORAGES);
    const { rank, columnMaxima } = columns, count = columnMaxima?.length ?? 0;
    if (storage === "int8" && count !== rank) {
      throw new TypeError(
        `Cannot store coefficients as int8: there are ${count} column maxima, expected ${rank}`,
      );
    }
    this.#storage = storage;
    // A column of zeros alone keeps them with any step.
    this.steps = Float32Array.from(columnMaxima ?? [], (most) => most > 0 ? most / INT8_MOST : 1);
  }

  /**
   * Returns what is stored of coefficients [n, r].
   *
   * Throws a RangeError if `f16` cannot hold one.
   */
  stored(coefficients: Float32Array): Float32Array | Float16Array | Int8Array {
    if (this.#storage === "f32") return coefficients;
    if (this.#storage === "int8") {
      const { steps } = this, rank = steps.length;
      return Int8Array.from(coefficients, (value, i) => Math.round(value / steps[i % rank]!));
    }
    const halves = new Float16Array(coefficients);
    const wrong = halves.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) {
      throw new RangeError(
        `Cannot store coefficients as f16: one is ${coefficients[wrong]}, expected at most 65504`,
      );
    }
    return halves;
  }

  /** Returns the coefficients [n, r] that will be read of those that are stored. */
  rounded(coefficients: Float32Array): Float32Array {
    const stored = this.stored(coefficients), { steps } = this, rank = steps.length;
    const scaled = this.#storage === "int8";
    return Float32Array.from(stored, (value, i) => scaled ? value * steps[i % rank]! : value);
  }
}

/** Raises the largest magnitude so far of each column [r] to those of coefficients [n, r]. */
export function raiseColumnMaxima(maxima: Float64Array, coefficients: Float32Array): void {
  const rank = maxima.length;
  for (let i = 0; i < coefficients.length; i++) {
    const size = Math.abs(coefficients[i]!);
    if (size > maxima[i % rank]!) maxima[i % rank] = size;
  }
}
