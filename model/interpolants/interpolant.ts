/**
 * What a path from noise to data is, and how paths are named.
 *
 * @module
 */

/** Names of the probability paths. */
export const INTERPOLANT_NAMES = ["linear", "gvp", "vp"] as const;

/** Name of a probability path, as written in a configuration. */
export type InterpolantName = typeof INTERPOLANT_NAMES[number];

/**
 * Names of the diffusion coefficients w(t) of the reverse SDE, in SiT's order.
 *
 * They live beside the paths because the valid time interval of a path depends on them.
 */
export const DIFFUSION_FORMS = [
  "constant",
  "sbdm",
  "sigma",
  "linear",
  "decreasing",
  "increasing-decreasing",
] as const;

/** Name of a diffusion coefficient w(t) of the reverse SDE. */
export type DiffusionForm = typeof DIFFUSION_FORMS[number];

/**
 * A probability path x_t = alpha(t) data + sigma(t) noise with noise ~ N(0, 1), as pure float64
 * functions of one time t (stochastic interpolants; GMem, eq. 1, whose alpha^2 + sigma^2 = 1 holds on
 * the GVP and VP paths alone).
 *
 * t = 1 is data and t = 0 is noise: `alpha(1) = 1` and `sigma(1) = 0` for every path. The functions
 * accept t in [0, 1] and return an infinite value where the path itself is singular, never NaN.
 */
export interface Interpolant {
  /**
   * Which path this is. By it `trainInterval` and `sampleInterval` keep away from where the path is singular, so
   * one of your own is `"vp"` where its derivatives are infinite at data, and `"linear"` or `"gvp"` else.
   */
  readonly name: InterpolantName;
  /** Returns the weight of the data in x_t. */
  alpha(t: number): number;
  /** Returns the weight of the noise in x_t. */
  sigma(t: number): number;
  /** Returns the time derivative of `alpha`. */
  dAlpha(t: number): number;
  /** Returns the time derivative of `sigma`. */
  dSigma(t: number): number;
  /**
   * Returns m(t) = alpha'/alpha, the factor of x in the probability-flow drift v = m(t) x + w(t)
   * score, where w is `driftVariance`.
   */
  driftMean(t: number): number;
  /**
   * Returns w(t) = (alpha'/alpha) sigma^2 - sigma sigma', the factor of the score in the
   * probability-flow drift v = m(t) x + w(t) score, where m is `driftMean`.
   */
  driftVariance(t: number): number;
}
