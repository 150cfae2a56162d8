/**
 * The mean squared error.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { partialSums, rowSumInto } from "../row_sum/mod.ts";
import { weightedSum } from "../weighted_sum/mod.ts";
import backwardSource from "./backward.wgsl.ts";
import backwardVectorSource from "./backward_vector.wgsl.ts";
import squareSumSource from "./square_sum.wgsl.ts";

const SQUARE_SUM = new Kernel({ source: squareSumSource });
const BACKWARD = new Kernel({ source: backwardSource });
const BACKWARD_VECTOR = new Kernel({ source: backwardVectorSource });

/** Options of {@linkcode meanSquare}. */
export interface MeanSquareOptions {
  /** Factor of each sample's output, shape [B]; default 1. */
  readonly scale?: Tensor | undefined;
}

/**
 * The mean over all elements of (scale_b · out − target)²: `out` and `target` [B, ...], result [1].
 * Differentiable in `out`; of two tensors that need a gradient, compare the difference with zeros.
 *
 * Throws `TypeError` when the shapes do not fit, and while a tape records, for a target or a scale that
 * needs a gradient.
 *
 * @example
 * ```ts
 * import { Device, meanSquare } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using out = device.tensor(Float32Array.of(1, 2), [2, 1]);
 * using target = device.tensor(Float32Array.of(0, 0), [2, 1]);
 * using scale = device.tensor(Float32Array.of(4, 1), [2]);
 * using loss = meanSquare(out, target, { scale }); // (16 + 4) / 2
 * console.log(await loss.read()); // Float32Array(1) [ 10 ]
 * ```
 */
export function meanSquare(out: Tensor, target: Tensor, options: MeanSquareOptions = {}): Tensor {
  const { device } = out;
  return device.scope(() => weightedSum([meanSquarePerSample(out, target, options)], [1]));
}

/**
 * As {@linkcode meanSquare} for each sample: `out` and `target` [B, ...], result [B], whose mean is
 * the mean over all elements.
 *
 * Throws what {@linkcode meanSquare} throws.
 *
 * @example
 * ```ts
 * import { Device, meanSquarePerSample } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using out = device.tensor(Float32Array.of(1, 1, 0, 2), [2, 2]);
 * using target = device.tensor(Float32Array.of(0, 0, 0, 0), [2, 2]);
 * using losses = meanSquarePerSample(out, target);
 * console.log(await losses.read()); // Float32Array(2) [ 1, 2 ]
 * ```
 */
export function meanSquarePerSample(
  out: Tensor,
  target: Tensor,
  options: MeanSquareOptions = {},
): Tensor {
  const { scale } = options;
  const [batch = 0] = out.shape;
  if (
    formatShape(out.shape) !== formatShape(target.shape) || out.elements === 0 ||
    (scale && formatShape(scale.shape) !== formatShape([batch]))
  ) {
    throw new TypeError(
      `Cannot compare ${formatShape(out.shape)} with target ${formatShape(target.shape)}` +
        (scale ? ` by scale ${formatShape(scale.shape)}` : "") +
        ": expected equal shapes [B, ...] with elements and scale [B]",
    );
  }
  const { device } = out;
  const elements = out.elements / batch;
  const scaled = scale ? 1 : 0;
  // A binding must be filled even where the kernel does not read it.
  const inputs = { y: out, goal: target, scale: scale ?? target };
  const loss = device.empty([batch]);
  device.scope(() => {
    const lanes = partialSums(elements);
    const sums = device.empty([batch, lanes]);
    device.dispatch(SQUARE_SUM, {
      tensors: { ...inputs, sums },
      params: { batch, elements, lanes, scaled },
      workgroups: spreadWorkgroups(Math.ceil(batch * lanes / 64)),
    });
    rowSumInto(loss, sums, { scale: 1 / elements });
  });
  device.tape?.push({
    name: "meanSquare",
    inputs: [out],
    output: loss,
    saved: scale ? [out, target, scale] : [out, target],
    constants: scale ? [target, scale] : [target],
    backward(dLoss, gradients) {
      const vector = elements % 4 === 0, items = vector ? elements / 4 : elements;
      gradients.into(
        out,
        (dOut, accumulate) =>
          device.dispatch(vector ? BACKWARD_VECTOR : BACKWARD, {
            tensors: { ...inputs, dloss: dLoss, dy: dOut },
            params: { batch, [vector ? "vectors" : "elements"]: items, scaled, accumulate },
            workgroups: spreadWorkgroups(Math.ceil(batch * items / 64)),
          }),
      );
    },
  });
  return loss;
}
