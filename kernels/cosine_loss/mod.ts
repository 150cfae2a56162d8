/**
 * Losses of direction: the angle between vectors, whatever their lengths.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { rowSumInto } from "../row_sum/mod.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardVectorSource from "./backward_vector.wgsl.ts";
import cosineSource from "./cosine.wgsl.ts";
import cosineVectorSource from "./cosine_vector.wgsl.ts";

const COSINE = new Kernel({ source: cosineSource });
const COSINE_VECTOR = new Kernel({ source: cosineVectorSource });
const BACKWARD = new Kernel({ source: backwardSource });
const BACKWARD_VECTOR = new Kernel({ source: backwardVectorSource });

/** Options of {@linkcode cosineLoss} and {@linkcode alignmentLoss}. */
export interface CosineOptions {
  /** Norms below it count as it. */
  readonly epsilon?: number | undefined;
}

/**
 * The mean over the pixels of 1 − cos(out, target) along the channels (the velocity direction loss
 * of LightningDiT, Yao and Wang, arXiv 2501.01423): `out` and `target` [B, C, ...], result [B].
 * Differentiable in both; epsilon is 1e-8 by default.
 *
 * Throws `TypeError` when the shapes differ or there are fewer than three axes, and `RangeError` for
 * more than 65,535 channels.
 *
 * @example
 * ```ts
 * import { cosineLoss, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // Two channels of two pixels: at the first out points as the target, at the second across it.
 * using out = device.tensor(Float32Array.of(1, 1, 0, 0), [1, 2, 2]);
 * using target = device.tensor(Float32Array.of(2, 0, 0, 3), [1, 2, 2]);
 * using loss = cosineLoss(out, target);
 * console.log(await loss.read()); // Float32Array(1) [ 0.5 ]
 * ```
 */
export function cosineLoss(out: Tensor, target: Tensor, options: CosineOptions = {}): Tensor {
  const { epsilon = 1e-8 } = options;
  return negativeCosine(out, target, { epsilon, axis: 1, offset: 1 });
}

/**
 * The mean over the tokens of −cos(features, projected) along the width (REPA, Yu et al. 2024,
 * eq. 8): both [B, T, Z], result [B]. Differentiable in both; epsilon is 1e-12 by default.
 *
 * Throws `TypeError` when the shapes differ or there are fewer than three axes, and `RangeError` for a
 * width above 65,535.
 *
 * @example
 * ```ts
 * import { alignmentLoss, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // Two tokens of width 2: the first points as its feature, the second across it.
 * using features = device.tensor(Float32Array.of(1, 0, 1, 0), [1, 2, 2]);
 * using projected = device.tensor(Float32Array.of(2, 0, 0, 3), [1, 2, 2]);
 * using loss = alignmentLoss(features, projected);
 * console.log(await loss.read()); // Float32Array(1) [ -0.5 ]
 * ```
 */
export function alignmentLoss(
  features: Tensor,
  projected: Tensor,
  options: CosineOptions = {},
): Tensor {
  const { epsilon = 1e-12 } = options;
  return negativeCosine(features, projected, { epsilon, axis: -1, offset: 0 });
}

/** offset − mean cosine of `a` and `b` along `axis`, for each element of the batch. */
function negativeCosine(
  a: Tensor,
  b: Tensor,
  options: { axis: 1 | -1; epsilon: number; offset: number },
): Tensor {
  const { axis, epsilon, offset } = options;
  const [batch = 0] = a.shape, channels = a.shape.at(axis) ?? 0;
  if (
    formatShape(a.shape) !== formatShape(b.shape) || a.shape.length < 3 || a.elements === 0
  ) {
    throw new TypeError(
      `Cannot take the cosine of ${formatShape(a.shape)} and ${formatShape(b.shape)}: expected ` +
        "equal shapes of three axes or more, with elements",
    );
  }
  if (channels > MAX_LOOP_ROUNDS) {
    throw new RangeError(
      `Cannot take the cosine of vectors of ${channels} numbers: expected at most ${MAX_LOOP_ROUNDS}`,
    );
  }
  const { device, elements } = a;
  const positions = elements / (batch * channels);
  const layout = { channels, positions, channel_last: axis === 1 ? 0 : 1 };
  const scale = -1 / positions;
  const vector = axis === -1 && channels % 4 === 0, width = channels / 4;
  return device.scope(() => {
    const cosines = device.empty([batch, positions]), stats = device.empty([batch, positions, 4]);
    const loss = device.empty([batch]);
    const rows = batch * positions;
    device.dispatch(vector ? COSINE_VECTOR : COSINE, {
      tensors: { a, b, cosines, stats },
      params: vector ? { positions: rows, vectors: width, epsilon } : { batch, ...layout, epsilon },
      workgroups: spreadWorkgroups(Math.ceil(rows / (vector ? 8 : 64))),
    });
    rowSumInto(loss, cosines, { scale, offset });
    device.tape?.push({
      name: "cosineLoss",
      inputs: [a, b],
      output: loss,
      saved: [a, b, stats],
      backward(dLoss, gradients) {
        [[a, b], [b, a]].forEach(([own, other], second) =>
          gradients.into(
            own!,
            (gradient, accumulate) =>
              device.dispatch(vector ? BACKWARD_VECTOR : BACKWARD, {
                tensors: { a: own!, b: other!, stats, dloss: dLoss, da: gradient },
                params: {
                  ...(vector
                    ? { vectors: elements / 4, width, positions }
                    : { elements, ...layout }),
                  second,
                  scale,
                  accumulate,
                },
                workgroups: spreadWorkgroups(Math.ceil(elements / (vector ? 256 : 64))),
              }),
          )
        );
      },
    });
    return loss;
  });
}
