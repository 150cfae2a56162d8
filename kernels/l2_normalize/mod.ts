/**
 * Vectors of length one.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import backwardSource from "./backward.wgsl.ts";
import forwardSource from "./forward.wgsl.ts";

const FORWARD = new Kernel({ source: forwardSource });
const BACKWARD = new Kernel({ source: backwardSource });

/** The kernels loop twice over a row and leave the first loop: 32,767. */
const MAX_WIDTH = (MAX_LOOP_ROUNDS - 1) / 2;

/**
 * x / max(‖x‖, epsilon) for each row, as `torch.nn.functional.normalize` computes it: `x` [N, d],
 * result [N, d]. Differentiable; epsilon is 1e-12 by default.
 *
 * Throws `TypeError` when there are not two axes, and `RangeError` for rows longer than 32,767.
 *
 * @example
 * ```ts
 * import { Device, l2Normalize } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(3, 3, 3, -3), [1, 4]);
 * using y = l2Normalize(x);
 * console.log(await y.read()); // Float32Array(4) [ 0.5, 0.5, 0.5, -0.5 ]
 * ```
 */
export function l2Normalize(x: Tensor, options: { epsilon?: number | undefined } = {}): Tensor {
  const { epsilon = 1e-12 } = options;
  const [rows = 0, width = 0] = x.shape;
  if (x.shape.length !== 2) {
    throw new TypeError(`Cannot normalise rows of ${formatShape(x.shape)}: expected shape [N, d]`);
  }
  if (width > MAX_WIDTH) {
    throw new RangeError(
      `Cannot normalise rows of ${width} numbers: expected at most ${MAX_WIDTH}`,
    );
  }
  const { device } = x;
  const out = device.empty(x.shape);
  const workgroups = spreadWorkgroups(Math.ceil(rows / 64));
  device.dispatch(FORWARD, {
    tensors: { x, out },
    params: { rows, width, epsilon },
    workgroups,
  });
  device.tape?.push({
    name: "l2Normalize",
    inputs: [x],
    output: out,
    saved: [x],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) =>
        device.dispatch(BACKWARD, {
          tensors: { x, dy, dx },
          params: { rows, width, epsilon, accumulate },
          workgroups,
        }));
    },
  });
  return out;
}
