/**
 * What samplers integrate: a network and the meaning of its output.
 *
 * @module
 */

import { combine } from "../kernels/combine/mod.ts";
import type { Complete } from "../kernels/core/complete.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { InterpolantConfig } from "../model/config.ts";
import type { Interpolant } from "../model/interpolants/interpolant.ts";
import { linearInterpolant } from "../model/interpolants/linear.ts";
import { INTERPOLANTS } from "../model/interpolants/named_interpolants.ts";
import {
  type Prediction,
  PREDICTIONS,
  type StateCoefficients,
  velocityCoefficients,
} from "../model/interpolants/prediction.ts";

/** A network at a fixed condition: states [B, C, H, W] at one time (1 is data) to its prediction. */
export type Network = (x: Tensor, t: number) => Tensor;

/** The probability path and what the network predicts on it. */
export interface Path {
  /** From noise at t = 0 to data at t = 1. Default linear. */
  readonly interpolant?: Interpolant | undefined;
  /** What the network predicts. Default `"velocity"`. */
  readonly prediction?: Prediction | undefined;
}

/** One step of a sampler, after it was recorded. */
export interface SamplerStep {
  /** Number of the step, from 0. */
  readonly step: number;
  /** Time after the step. */
  readonly t: number;
  /** State after the step; released by the sampler, copy it to keep it. */
  readonly x: Tensor;
}

/** What every sampler takes. */
export interface SamplerOptions extends Path {
  /** Called after each step. */
  readonly onStep?: ((step: SamplerStep) => void) | undefined;
}

/**
 * The path and the prediction that the `interpolant` section of a configuration means.
 *
 * @example
 * ```ts
 * import { pathOf, resolveConfig } from "@gmem/gmem";
 *
 * const { interpolant, prediction } = pathOf(resolveConfig({ interpolant: { path: "gvp" } }));
 * console.log(interpolant.alpha(1 / 3).toFixed(2), prediction); // 0.50 velocity
 * ```
 */
export function pathOf(config: { readonly interpolant: InterpolantConfig }): Complete<Path> {
  const { path, prediction } = config.interpolant;
  return { interpolant: INTERPOLANTS[path], prediction };
}

/** The path with its defaults; `RangeError` for a prediction that there is none of. */
export function resolvePath(path: Path): Complete<Path> {
  const { interpolant = linearInterpolant, prediction = "velocity" } = path;
  requireOneOf("Cannot draw: prediction", prediction, PREDICTIONS);
  return { interpolant, prediction };
}

/** The velocity of the probability-flow ODE at (x, t): one evaluation of the network. */
export function velocity(network: Network, path: Path): Network {
  const { interpolant, prediction } = resolvePath(path);
  return (x, t) => affine(x, network(x, t), velocityCoefficients(interpolant, prediction, t));
}

/** `coefficients.x` · x + `coefficients.output` · output, without a kernel where it is the output. */
export function affine(x: Tensor, output: Tensor, coefficients: StateCoefficients): Tensor {
  if (coefficients.x === 0 && coefficients.output === 1) return output;
  return combine([[x, coefficients.x], [output, coefficients.output]]);
}

/**
 * A network that counts its evaluations (NFE): `evaluations` is the number of calls so far, each of a
 * whole batch. It throws what the network throws.
 *
 * @example
 * ```ts
 * import { countEvaluations, Device, sampleHeun } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * const network = countEvaluations((x) => x);
 * using _sample = sampleHeun(network, noise, { steps: 4 });
 * console.log(network.evaluations); // 8 two a step
 * ```
 */
export function countEvaluations(network: Network): Network & { readonly evaluations: number } {
  let evaluations = 0;
  const counted = (x: Tensor, t: number) => {
    evaluations++;
    return network(x, t);
  };
  return Object.defineProperty(counted, "evaluations", { get: () => evaluations }) as
    & Network
    & { readonly evaluations: number };
}

/** Gives the state at the end of an interval of a grid from that at its start. */
export type Advance = (x: Tensor, interval: { t: number; next: number; step: number }) => Tensor;

/** Runs the steps of a fixed grid; where one throws, the state before it is released. */
export function integrate(
  x: Tensor,
  options: { times: readonly number[]; onStep?: SamplerOptions["onStep"] },
  advance: Advance,
): Tensor {
  const { times, onStep } = options;
  const { device } = x;
  return device.scope(() => {
    let state = x;
    for (let step = 0; step + 1 < times.length; step++) {
      const t = times[step]!, next = times[step + 1]!;
      const moved = device.scope(() => advance(state, { t, next, step }));
      if (state !== x) state.dispose();
      state = moved;
      onStep?.({ step, t: next, x: state });
      // The GPU works on this step while the next is recorded.
      device.flush();
    }
    return state;
  });
}
