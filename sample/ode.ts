/**
 * Samplers of the probability-flow ODE dx/dt = v(x, t) on a fixed grid of times.
 *
 * @module
 */

import { combine } from "../kernels/combine/mod.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { sampleInterval } from "../model/interpolants/time.ts";
import { integrate, type Network, resolvePath, type SamplerOptions, velocity } from "./network.ts";
import { odeTimes } from "./times.ts";

/** The grid of an ODE sampler: a number of even steps, or the times themselves. */
export interface OdeOptions extends SamplerOptions {
  /**
   * Number of steps, even in time over `sampleInterval` unless `times` are given: all of [0, 1] for
   * velocity on the linear and GVP paths. Default 50.
   */
  readonly steps?: number | undefined;
  /**
   * The times, first to last, two or more; see `odeTimes` for shifted grids. Falling ones go back from data to
   * noise.
   */
  readonly times?: readonly number[] | undefined;
}

/** An ODE sampler: noise [B, C, H, W] at the first time to a sample at the last. */
export type OdeSampler = (network: Network, x: Tensor, options?: OdeOptions) => Tensor;

function grid(options: OdeOptions): readonly number[] {
  const { steps = 50, times } = options, { interpolant, prediction } = resolvePath(options);
  if (!times) return odeTimes({ steps, interval: sampleInterval(interpolant, prediction) });
  if (times.length < 2 || !times.every(Number.isFinite)) {
    throw new RangeError(`Cannot sample at times ${times}: expected two or more finite numbers`);
  }
  return times;
}

/**
 * Euler: x += h v(x, t), of noise [B, C, H, W]. Order 1, one evaluation a step.
 *
 * Throws a RangeError where the path is singular at a time of the grid, or `steps` is not a positive
 * integer, or `times` are fewer than two or not finite.
 *
 * @example
 * ```ts
 * import { Device, sampleEuler } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x in two steps: (1 − 1/2)².
 * using sample = sampleEuler((x) => combine([[x, -1]]), noise, { steps: 2 });
 * console.log(await sample.read()); // Float32Array(1) [ 0.25 ]
 * ```
 */
export function sampleEuler(network: Network, x: Tensor, options: OdeOptions = {}): Tensor {
  const v = velocity(network, options);
  return integrate(
    x,
    { times: grid(options), onStep: options.onStep },
    (x, { t, next }) => combine([[x, 1], [v(x, t), next - t]]),
  );
}

/**
 * Heun: k₁ = v(x, t), k₂ = v(x + h k₁, t + h), x += h (k₁ + k₂) / 2, of noise [B, C, H, W]. Order 2, two
 * evaluations a step.
 *
 * Throws what {@linkcode sampleEuler} throws.
 *
 * @example
 * ```ts
 * import { Device, sampleHeun } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x from x(0) = 1: x(1) = 1/e = 0.3679.
 * using sample = sampleHeun((x) => combine([[x, -1]]), noise, { steps: 20 });
 * console.log((await sample.read())[0]?.toFixed(4)); // 0.3680
 * ```
 */
export function sampleHeun(network: Network, x: Tensor, options: OdeOptions = {}): Tensor {
  const v = velocity(network, options);
  return integrate(x, { times: grid(options), onStep: options.onStep }, (x, { t, next }) => {
    const h = next - t;
    const k1 = v(x, t);
    const k2 = v(combine([[x, 1], [k1, h]]), next);
    return combine([[x, 1], [k1, h / 2], [k2, h / 2]]);
  });
}

/**
 * Midpoint: x += h v(x + h/2 v(x, t), t + h/2), of noise [B, C, H, W]. Order 2, two evaluations a step.
 *
 * Throws what {@linkcode sampleEuler} throws.
 *
 * @example
 * ```ts
 * import { Device, sampleMidpoint } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x in one step: 1 − 1 + 1/2.
 * using sample = sampleMidpoint((x) => combine([[x, -1]]), noise, { steps: 1 });
 * console.log(await sample.read()); // Float32Array(1) [ 0.5 ]
 * ```
 */
export function sampleMidpoint(network: Network, x: Tensor, options: OdeOptions = {}): Tensor {
  const v = velocity(network, options);
  return integrate(x, { times: grid(options), onStep: options.onStep }, (x, { t, next }) => {
    const h = next - t;
    const half = combine([[x, 1], [v(x, t), h / 2]]);
    return combine([[x, 1], [v(half, t + h / 2), h]]);
  });
}

/**
 * Heun's third-order method: k₂ at a third, k₃ at two thirds, x += h (k₁ + 3 k₃) / 4, of noise
 * [B, C, H, W]. Order 3, three evaluations a step.
 *
 * Throws what {@linkcode sampleEuler} throws.
 *
 * @example
 * ```ts
 * import { Device, sampleHeun3 } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x in one step: 1 − 1 + 1/2 − 1/6.
 * using sample = sampleHeun3((x) => combine([[x, -1]]), noise, { steps: 1 });
 * console.log((await sample.read())[0]?.toFixed(4)); // 0.3333
 * ```
 */
export function sampleHeun3(network: Network, x: Tensor, options: OdeOptions = {}): Tensor {
  const v = velocity(network, options);
  return integrate(x, { times: grid(options), onStep: options.onStep }, (x, { t, next }) => {
    const h = next - t;
    const k1 = v(x, t);
    const k2 = v(combine([[x, 1], [k1, h / 3]]), t + h / 3);
    const k3 = v(combine([[x, 1], [k2, 2 * h / 3]]), t + 2 * h / 3);
    return combine([[x, 1], [k1, h / 4], [k3, 3 * h / 4]]);
  });
}

/**
 * The fourth-order method of Kutta's 3/8 rule, which the official code means by "rk4":
 * k₂ = v(x + h k₁/3), k₃ = v(x + h (k₂ − k₁/3)), k₄ = v(x + h (k₁ − k₂ + k₃)),
 * x += h (k₁ + 3 k₂ + 3 k₃ + k₄) / 8, of noise [B, C, H, W]. Four evaluations a step.
 *
 * Throws what {@linkcode sampleEuler} throws.
 *
 * @example
 * ```ts
 * import { Device, sampleRk4 } from "@gmem/gmem";
 * import { combine } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using noise = device.tensor(Float32Array.of(1), [1, 1, 1, 1]);
 * // dx/dt = −x in one step: 1 − 1 + 1/2 − 1/6 + 1/24.
 * using sample = sampleRk4((x) => combine([[x, -1]]), noise, { steps: 1 });
 * console.log((await sample.read())[0]?.toFixed(4)); // 0.3750
 * ```
 */
export function sampleRk4(network: Network, x: Tensor, options: OdeOptions = {}): Tensor {
  const v = velocity(network, options);
  return integrate(x, { times: grid(options), onStep: options.onStep }, (x, { t, next }) => {
    const h = next - t;
    const k1 = v(x, t);
    const k2 = v(combine([[x, 1], [k1, h / 3]]), t + h / 3);
    const k3 = v(combine([[x, 1], [k2, h], [k1, -h / 3]]), t + 2 * h / 3);
    const k4 = v(combine([[x, 1], [k1, h], [k2, -h], [k3, h]]), next);
    const sum = combine([[k1, h / 8], [k2, 3 * h / 8], [k3, 3 * h / 8], [k4, h / 8]]);
    return combine([[x, 1], [sum, 1]]);
  });
}
