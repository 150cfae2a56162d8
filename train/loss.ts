/**
 * The training loss.
 *
 * @module
 */

import { alignmentLoss, cosineLoss } from "../kernels/cosine_loss/mod.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { meanSquare } from "../kernels/mean_square/mod.ts";
import { weightedSum } from "../kernels/weighted_sum/mod.ts";

/** A loss to differentiate, and a part of it that is to be seen. */
export interface TrainingLoss {
  /** The loss [1], all parts with their weights. */
  readonly total: Tensor;
  /** The alignment loss [1] without its weight, where there is one. */
  readonly alignment?: Tensor;
}

/**
 * mean((scale_b · output − target)²) over a batch [B, C, H, W] (SiT, Ma et al. 2024), with the `scale` [B]
 * and the target that `lossCoefficients` gives for path, prediction and weighting; on request plus the
 * mean over pixels of 1 − cosine over the channels (LightningDiT, Yao and Wang 2025). Returns one element.
 *
 * Throws `TypeError` when the shapes do not fit.
 *
 * @example
 * ```ts
 * import { denoisingLoss, Device } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using output = device.tensor(Float32Array.of(1, 2), [2, 1, 1, 1]);
 * using target = device.tensor(Float32Array.of(0, 5), [2, 1, 1, 1]);
 * using scale = device.tensor(Float32Array.of(1, 2), [2]);
 * using loss = device.scope(() => denoisingLoss(output, target, { scale }));
 * console.log(await loss.read()); // Float32Array(1) [ 1 ]
 * ```
 */
export function denoisingLoss(
  output: Tensor,
  target: Tensor,
  options: { scale?: Tensor | undefined; cosineLoss?: boolean | undefined } = {},
): Tensor {
  const square = meanSquare(output, target, { scale: options.scale });
  if (!options.cosineLoss) return square;
  const cosine = cosineLoss(output, target);
  return weightedSum([square, cosine], [1, 1]);
}

/**
 * denoising + weight · mean(−cos(z, h)) over images and tokens (REPA, Yu et al. 2024, eq. 8): the
 * `denoising` loss [1], `tokens` z of an encoder and the network's `projection` h, both [B, T, Z].
 *
 * Throws `TypeError` when their shapes differ.
 *
 * @example
 * ```ts
 * import { alignedLoss, Device } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using denoising = device.tensor(Float32Array.of(1), [1]);
 * using tokens = device.tensor(Float32Array.of(1, 0), [1, 1, 2]);
 * using projection = device.tensor(Float32Array.of(3, 4), [1, 1, 2]); // a cosine of 0.6
 * const { total, alignment } = alignedLoss(denoising, { tokens, projection, weight: 0.5 });
 * console.log((await total.read())[0]?.toFixed(3), (await alignment.read())[0]?.toFixed(3));
 * // 0.700 -0.600
 * total.dispose();
 * alignment.dispose();
 * ```
 */
export function alignedLoss(
  denoising: Tensor,
  { tokens, projection, weight }: { tokens: Tensor; projection: Tensor; weight: number },
): Required<TrainingLoss> {
  const alignment = weightedSum([alignmentLoss(tokens, projection)], [1]);
  return { total: weightedSum([denoising, alignment], [1, weight]), alignment };
}
