/**
 * Two tensors as one. It is not differentiated.
 *
 * @module
 */

import { formatShape, type Tensor } from "./tensor.ts";

/**
 * Two tensors of any type, one after the other: [B, …] twice to [2 B, …]. Not differentiated.
 *
 * Throws `TypeError` when their shapes or types differ, and for an odd number of halves.
 *
 * @example
 * ```ts
 * import { concatenate, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using b = device.tensor(Float32Array.of(3, 4), [1, 2]);
 * using both = concatenate(a, b);
 * console.log(both.shape, await both.read()); // [ 2, 2 ] Float32Array(4) [ 1, 2, 3, 4 ]
 * ```
 */
export function concatenate(first: Tensor, second: Tensor): Tensor {
  if (formatShape(first.shape) !== formatShape(second.shape)) {
    throw new TypeError(
      `Cannot concatenate ${formatShape(first.shape)} and ${formatShape(second.shape)}: ` +
        "expected one shape",
    );
  }
  const { device, shape: [batch = 0, ...rest], dtype } = first;
  const out = device.empty([2 * batch, ...rest], { dtype });
  device.copyInto(out, first, { first: 0 });
  device.copyInto(out, second, { first: first.elements });
  return out;
}
