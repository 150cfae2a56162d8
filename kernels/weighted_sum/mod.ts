/**
 * One loss of several.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import type { Tensor } from "../core/tensor.ts";
import { rowSumInto } from "../row_sum/mod.ts";
import spreadSource from "./spread.wgsl.ts";

const SPREAD = new Kernel({ source: spreadSource });

/**
 * Σ weightᵢ · mean(lossᵢ): `losses` [B] or [1] each, a number in `weights` for each, result [1].
 * The total of GMem's training is `weightedSum([denoising, cosine, alignment], [1, 1, 0.5])`.
 *
 * Throws `TypeError` when the counts differ or there is no loss.
 *
 * @example
 * ```ts
 * import { Device, weightedSum } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using denoising = device.tensor(Float32Array.of(1, 3), [2]);
 * using alignment = device.tensor(Float32Array.of(10), [1]);
 * using loss = weightedSum([denoising, alignment], [1, 0.5]); // 1 · 2 + 0.5 · 10
 * console.log(await loss.read()); // Float32Array(1) [ 7 ]
 * ```
 */
export function weightedSum(losses: readonly Tensor[], weights: readonly number[]): Tensor {
  const [first] = losses;
  if (!first || losses.length !== weights.length) {
    throw new TypeError(
      `Cannot weigh ${losses.length} losses by ${weights.length} weights: expected as many of ` +
        "each, at least one",
    );
  }
  const { device } = first;
  const out = device.empty([1]);
  const scales = losses.map((loss, i) => weights[i]! / loss.elements);
  losses.forEach((loss, i) =>
    rowSumInto(out, loss, { scale: scales[i]!, accumulate: i === 0 ? 0 : 1 })
  );
  device.tape?.push({
    name: "weightedSum",
    inputs: losses,
    output: out,
    saved: [],
    backward(dy, gradients) {
      losses.forEach((loss, i) =>
        gradients.into(loss, (dLoss, accumulate) => {
          const { elements } = dLoss;
          device.dispatch(SPREAD, {
            tensors: { x: dy, out: dLoss },
            params: { elements, scale: scales[i]!, accumulate },
            workgroups: spreadWorkgroups(Math.ceil(elements / 256)),
          });
        })
      );
    },
  });
  return out;
}
