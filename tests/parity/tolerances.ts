/**
 * How far a result may lie from what the official code recorded in float32, each bound with its
 * reason. All but those of the optimiser are shares of the recorded tensor's largest magnitude, or of
 * its norm for gradients.
 *
 * @module
 */

import type { Interpolant } from "../../model/interpolants/interpolant.ts";

/** Half the distance from 1 to the next float32: what one rounding costs. */
export const ROUNDING = 2 ** -24;

/**
 * Activations, outputs and values of formulas: chains of float32 sums of some hundred terms, whose
 * order differs here and there. A float64 run differs from the recordings by about 1e-6 of their
 * largest value, and a wrong formula by far more than 1e-5.
 */
export const FORWARD = 1e-5;

/**
 * {@linkcode FORWARD} for formulas of a path at `times`, more where the official float32 arithmetic
 * cannot give as much: √(1 − α²) loses 1 / σ² of its digits to the subtraction, cos(πt/2) 1 / σ to the
 * rounding of its angle.
 */
export function formula(interpolant: Interpolant, times: ArrayLike<number>): number {
  const sigma = Math.min(...Array.from(times, (t) => interpolant.sigma(t)));
  const lost = { linear: 1, gvp: 2 / sigma, vp: 1 / sigma ** 2 }[interpolant.name];
  return Math.max(FORWARD, ROUNDING * lost);
}

/** Losses are means of many squares, of which the roundings cancel. */
export const LOSS = 1e-5;

/**
 * Gradients, by their norm: a backward pass doubles the chain, and its sums cancel. A float64 run
 * differs from the recordings by up to 2.4e-7 in an element.
 */
export const GRADIENT = 1e-4;

/** Squares of gradients, as the second moment is made of. */
export const SQUARED_GRADIENT = 2 * GRADIENT;

/** Samples after tens of steps, each of which carries the error of the ones before. */
export const SAMPLE = 1e-4;

/**
 * Samples of the adaptive method: a rounding may tip the choice of a step, and then two solutions
 * of the same tolerance are compared.
 */
export const ADAPTIVE = 1e-3;

/** Grid points: a start, a difference, a quotient, a product and a sum; a shift adds nine more. */
export const TIME = 16 * ROUNDING;

/**
 * Waves of a time, as a share of max(1, t): the official frequency exp(-9.2 k / half) in float32 is
 * off by up to 30 roundings, and so is its product with the time.
 */
export const WAVE = 32 * ROUNDING;

/** Numbers that have to be equal: indices, counts, intervals. */
export const EXACT = 0;

/**
 * Most of an optimiser step's length (the learning rate) by which a single parameter may be off after
 * one step. Where a gradient is almost zero, m / √v makes a large number of its rounding.
 */
export const PARAMETER = 0.1;

/**
 * By how much 99.9 % of the parameters may be off, in their own unit: a hundredth of a step at the
 * recorded learning rate of 1e-4, thirty times what was measured between float32 and float64.
 */
export const MOST_PARAMETERS = 1e-6;
