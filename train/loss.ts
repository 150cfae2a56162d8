/**
 * The training loss.
 *
 * @module
 */

import type { Tensor } from "../kernels/core/tensor.ts";
import { cosineLoss } from "../kernels/cosine_loss/mod.ts";
import { meanSquare } from "../kernels/mean_square/mod.ts";
import { weightedSum } from "../kernels/weighted_sum/mod.ts";

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
