/**
 * Two tensors as one. It is not differentiated.
 *
 * @module
 */

import { formatShape, type Tensor } from "./tensor.ts";

/**
 * Two tensors one after the other: [B, …] twice to [2 B, …]. Throws `TypeError` when their shapes or
 * types differ, and for an odd number of halves.
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
  device.copy(first, out, { first: 0 });
  device.copy(second, out, { first: first.elements });
  return out;
}
