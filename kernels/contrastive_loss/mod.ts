/**
 * The loss of CLIP: each vector finds its partner among those of the batch.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { matmul, matmulInto } from "../matmul/mod.ts";
import { rowSumInto } from "../row_sum/mod.ts";
import backwardSource from "./backward.wgsl.ts";
import linesSource from "./lines.wgsl.ts";

const LINES = new Kernel({ source: linesSource });
const BACKWARD = new Kernel({ source: backwardSource });

/** The kernels loop twice over a line and leave the first loop: 32,767. */
const MAX_BATCH = (MAX_LOOP_ROUNDS - 1) / 2;

/**
 * The symmetric contrastive loss of pairs (Radford et al., "Learning transferable visual models from
 * natural language supervision", 2021, figure 3): with logits ℓ = exp(logScale) · a bᵀ the mean over i
 * of ½ (log Σⱼ exp ℓᵢⱼ + log Σⱼ exp ℓⱼᵢ) − ℓᵢᵢ. `a` and `b` [B, d] with rows of norm 1, `logScale` [1],
 * result [1]. Differentiable in all three. 2·B²·d flops forward, twice that backward; 4·B² bytes.
 *
 * Throws `TypeError` when the shapes do not fit, and `RangeError` for more than 32,767 pairs.
 *
 * @example
 * ```ts
 * import { contrastiveLoss, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(1, 0, 0, 1), [2, 2]);
 * using b = device.tensor(Float32Array.of(1, 0, 0, 1), [2, 2]); // each row has its pair
 * using logScale = device.tensor(Float32Array.of(0), [1]);
 * using loss = contrastiveLoss(a, b, logScale); // log(e + 1) − 1
 * console.log((await loss.read())[0]!.toFixed(4)); // 0.3133
 * ```
 */
export function contrastiveLoss(a: Tensor, b: Tensor, logScale: Tensor): Tensor {
  const [batch = 0] = a.shape;
  if (
    a.shape.length !== 2 || formatShape(a.shape) !== formatShape(b.shape) || a.elements === 0 ||
    logScale.elements !== 1
  ) {
    throw new TypeError(
      `Cannot contrast ${formatShape(a.shape)} with ${formatShape(b.shape)} by scale ` +
        `${formatShape(logScale.shape)}: expected equal shapes [B, d] with elements and scale [1]`,
    );
  }
  if (batch > MAX_BATCH) {
    throw new RangeError(`Cannot contrast ${batch} pairs: expected at most ${MAX_BATCH}`);
  }
  const { device } = a;
  return device.scope(() => {
    const products = matmul(a, b, { transposeB: true });
    const normalizers = device.empty([2 * batch]), losses = device.empty([2 * batch]);
    const slopes = device.empty([2 * batch]);
    const loss = device.empty([1]), slope = device.empty([1]);
    device.dispatch(LINES, {
      tensors: { products, log_scale: logScale, normalizers, losses, slopes },
      params: { batch },
      workgroups: spreadWorkgroups(Math.ceil(2 * batch / 64)),
    });
    rowSumInto(loss, losses, { scale: 1 / (2 * batch) });
    rowSumInto(slope, slopes, { scale: 1 / (2 * batch) });
    device.tape?.push({
      name: "contrastiveLoss",
      inputs: [products, logScale],
      output: loss,
      saved: [products, logScale, normalizers, slope],
      backward(dLoss, gradients) {
        // Nothing else reads the products, whose gradient this alone writes.
        gradients.into(products, (dProducts) =>
          device.dispatch(BACKWARD, {
            tensors: {
              products,
              log_scale: logScale,
              normalizers,
              dloss: dLoss,
              dproducts: dProducts,
            },
            params: { batch },
            workgroups: spreadWorkgroups(Math.ceil(batch * batch / 64)),
          }));
        // A product of two numbers is one of matrices.
        gradients.into(
          logScale,
          (dLogScale, accumulate) =>
            matmulInto(dLogScale, dLoss, slope, { size: { M: 1, N: 1, K: 1 }, accumulate }),
        );
      },
    });
    return loss;
  });
}
