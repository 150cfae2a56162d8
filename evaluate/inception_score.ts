/**
 * The Inception score.
 *
 * @module
 */

import { requireCount } from "../kernels/core/counted.ts";

/** Samples of a split, as in ADM's evaluator. */
const SPLIT = 5000;

/** What {@linkcode InceptionScore.result} returns. */
export interface InceptionScoreResult {
  /** Mean of the splits' scores: what ADM's evaluator prints. */
  readonly mean: number;
  /** Standard deviation of the splits' scores; 0 with one split. */
  readonly deviation: number;
  /** Number of splits; the last one may be short. */
  readonly splits: number;
}

/**
 * exp(mean over x of KL(p(y|x) ‖ p(y))), p(y) the mean over a split of 5,000 samples, and the mean of
 * that over the splits (Salimans et al. 2016, section 4), gathered in a stream. Memory: 2·C numbers.
 *
 * @example
 * ```ts
 * import { InceptionScore } from "@gmem/gmem";
 *
 * const score = new InceptionScore(2);
 * score.add(Float32Array.of(1, 0, 0, 1)); // two samples, sure of different classes
 * console.log(score.result().mean); // 2
 * ```
 */
export class InceptionScore {
  /** Number of classes C. */
  readonly classes: number;
  readonly #split: number;
  readonly #sum: Float64Array;
  readonly #scores: number[] = [];
  #entropy = 0;
  #count = 0;

  /**
   * Starts empty. `split` is the number of samples of a split, 5,000 by default; `RangeError` unless both
   * are positive integers.
   */
  constructor(classes: number, options: { readonly split?: number | undefined } = {}) {
    requireCount("Cannot score: classes", classes, 1);
    const { split = SPLIT } = options;
    requireCount("Cannot score: split", split, 1);
    this.classes = classes;
    this.#split = split;
    this.#sum = new Float64Array(classes);
  }

  /**
   * Adds probabilities [n, C].
   *
   * Throws a TypeError if the values are not whole rows, and a RangeError if one is not from 0 to 1.
   */
  add(probabilities: Float32Array | Float64Array): this {
    const { classes } = this;
    if (probabilities.length % classes !== 0) {
      throw new TypeError(
        `Cannot add ${probabilities.length} probabilities: expected rows of ${classes}`,
      );
    }
    for (let first = 0; first < probabilities.length; first += classes) {
      for (let k = 0; k < classes; k++) {
        const p = probabilities[first + k]!;
        // A sum of f32 may be a little above 1.
        if (!(p >= 0 && p <= 1 + 1e-5)) {
          throw new RangeError(`Cannot add the probability ${p}: expected one from 0 to 1`);
        }
        this.#sum[k]! += p;
        if (p > 0) this.#entropy += p * Math.log(p);
      }
      if (++this.#count === this.#split) this.#close();
    }
    return this;
  }

  /** Returns the score; `RangeError` without samples. */
  result(): InceptionScoreResult {
    const scores = [...this.#scores, ...(this.#count > 0 ? [this.#score()] : [])];
    if (scores.length === 0) {
      throw new RangeError("Cannot give an Inception score of 0 samples: expected at least one");
    }
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
    return { mean, deviation: Math.sqrt(squares / scores.length), splits: scores.length };
  }

  /** Σ p log p − Σ p log m = Σ p log p − n Σ m log m, as the mean m is the sum of p over n. */
  #score(): number {
    let marginal = 0;
    for (const sum of this.#sum) {
      if (sum > 0) marginal += sum * Math.log(sum / this.#count);
    }
    return Math.exp((this.#entropy - marginal) / this.#count);
  }

  #close(): void {
    this.#scores.push(this.#score());
    this.#sum.fill(0);
    this.#entropy = 0;
    this.#count = 0;
  }
}

/**
 * Softmax of logits [n, C], row by row: probabilities [n, C] for {@linkcode InceptionScore}.
 *
 * Throws a RangeError unless C is a whole number from 1, and a TypeError if the logits are not whole rows.
 *
 * @example
 * ```ts
 * import { softmaxRows } from "@gmem/gmem";
 *
 * console.log(softmaxRows(Float32Array.of(0, 0, 0, Math.log(3)), 2));
 * // Float32Array(4) [ 0.5, 0.5, 0.25, 0.75 ]
 * ```
 */
export function softmaxRows(logits: Float32Array, classes: number): Float32Array {
  requireCount("Cannot take a softmax: classes", classes, 1);
  if (logits.length % classes !== 0) {
    throw new TypeError(
      `Cannot take a softmax of ${logits.length} logits: expected rows of ${classes}`,
    );
  }
  const out = new Float32Array(logits.length);
  for (let first = 0; first < logits.length; first += classes) {
    const row = logits.subarray(first, first + classes);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    for (const value of row) sum += Math.exp(value - most);
    for (let k = 0; k < classes; k++) out[first + k] = Math.exp(row[k]! - most) / sum;
  }
  return out;
}
