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
 * mean((scale_b · output − target)²) over a batch [B, C, H, W], with the scales [B] and the target
 * that `lossCoefficients` gives for path, prediction and weighting; on request plus the mean over
 * pixels of 1 − cosine over the channels (LightningDiT). Returns one element.
 */
export function denoisingLoss(
  output: Tensor,
  target: Tensor,
  options: { scales?: Tensor; cosineLoss?: boolean } = {},
): Tensor {
  const square = meanSquare(output, target, options.scales ? { scale: options.scales } : {});
  if (!options.cosineLoss) return square;
  const cosine = cosineLoss(output, target);
  return weightedSum([square, cosine], [1, 1]);
}

/**
 * denoising + weight · mean(−cos(z, h)) over images and tokens (REPA, Yu et al. 2024, eq. 8): the
 * `denoising` loss [1], `tokens` z of an encoder and the network's `projection` h, both [B, T, Z].
 *
 * Throws `TypeError` when their shapes differ.
 */
export function alignedLoss(
  denoising: Tensor,
  { tokens, projection, weight }: { tokens: Tensor; projection: Tensor; weight: number },
): Required<TrainingLoss> {
  const alignment = weightedSum([alignmentLoss(tokens, projection)], [1]);
  return { total: weightedSum([denoising, alignment], [1, weight]), alignment };
}
