/**
 * Taking the scale of the loss off its gradients, and choosing the next one.
 *
 * @module
 */

import { requireCount } from "../core/counted.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { requireMaxNorm } from "../global_norm/mod.ts";
import source from "./loss_scale.wgsl.ts";

const LOSS_SCALE = new Kernel({ source });

/** What {@linkcode updateLossScale} reads and changes. */
export interface LossScaleState {
  /** The factor on the loss [1]. */
  readonly scale: Tensor;
  /** Steps without an overflow since the scale last changed [1], a whole number. */
  readonly goodSteps: Tensor;
}

/** How {@linkcode updateLossScale} clips and lets the scale grow. */
export interface UpdateLossScaleOptions {
  /** Largest norm after clipping, above 0; left out, nothing is clipped. */
  readonly maxNorm?: number | undefined;
  /** Steps without an overflow after which the scale doubles, a whole number from 1. */
  readonly growthInterval: number;
  /** Largest scale. */
  readonly maxScale: number;
}

/**
 * From (norm, factor) [2] that `globalNorm` gave, unclipped, for gradients of scale · loss: the norm
 * and the clipping factor of the gradients of the loss itself, as the tensor (norm, factor) [2].
 * The scale is halved, to 1 at least, after an overflow, which shows as a factor of 0, and doubled
 * after `growthInterval` steps without one (Micikevicius et al., "Mixed precision training", 2018, section
 * 3.2). All on the GPU: nobody waits to see it. Not differentiated.
 *
 * Throws `TypeError` when a shape does not fit, `RangeError` when `growthInterval` is no whole number from 1 or
 * `maxNorm` not a positive number.
 *
 * @example
 * ```ts
 * import { Device, updateLossScale } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using scaled = device.tensor(Float32Array.of(40, 1), [2]); // of gradients of 8 · loss
 * using scale = device.tensor(Float32Array.of(8), [1]);
 * using goodSteps = device.tensor(Float32Array.of(99), [1]);
 * const options = { growthInterval: 100, maxScale: 65536 };
 * using out = updateLossScale(scaled, { scale, goodSteps }, options);
 * console.log(await out.read()); // Float32Array(2) [ 5, 0.125 ]
 * console.log(await scale.read()); // Float32Array(1) [ 16 ]
 * ```
 */
export function updateLossScale(
  normAndFactor: Tensor,
  state: LossScaleState,
  options: UpdateLossScaleOptions,
): Tensor {
  const { scale, goodSteps } = state, { maxNorm, growthInterval, maxScale } = options;
  const shapes = [normAndFactor, scale, goodSteps].map(({ shape }) => formatShape(shape));
  if (shapes.join() !== "[2],[1],[1]") {
    throw new TypeError(`Cannot scale a loss with ${shapes.join(", ")}: expected [2], [1] and [1]`);
  }
  requireMaxNorm(maxNorm);
  requireCount("Cannot scale a loss: growthInterval", growthInterval, 1);
  const { device } = normAndFactor, out = device.empty([2]);
  device.dispatch(LOSS_SCALE, {
    tensors: { scaled: normAndFactor, scale, good_steps: goodSteps, out },
    params: {
      has_limit: Number(maxNorm !== undefined),
      max_norm: maxNorm ?? 0,
      growth_interval: growthInterval,
      max_scale: maxScale,
    },
    workgroups: [1],
  });
  return out;
}
