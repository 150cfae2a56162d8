/**
 * The elementwise product.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./multiply.wgsl.ts";

const MULTIPLY = new Kernel({ source });

/**
 * x · mask, element by element: `x`, `mask` and the result of one shape. Differentiable in both.
 *
 * Throws `TypeError` when the shapes differ.
 */
export function scaleBy(x: Tensor, mask: Tensor): Tensor {
  if (formatShape(x.shape) !== formatShape(mask.shape)) {
    throw new TypeError(
      `Cannot scale ${formatShape(x.shape)} by ${formatShape(mask.shape)}: shapes differ`,
    );
  }
  const { device } = x;
  const out = device.empty(x.shape);
  multiplyInto(out, { a: x, b: mask, accumulate: 0 });
  device.tape?.push({
    name: "scaleBy",
    inputs: [x, mask],
    output: out,
    saved: [x, mask],
    backward(dy, gradients) {
      gradients.into(x, (dx, accumulate) => multiplyInto(dx, { a: dy, b: mask, accumulate }));
      gradients.into(mask, (dMask, accumulate) => multiplyInto(dMask, { a: dy, b: x, accumulate }));
    },
  });
  return out;
}

function multiplyInto(out: Tensor, options: { a: Tensor; b: Tensor; accumulate: 0 | 1 }): void {
  const { a, b, accumulate } = options;
  const { elements } = out;
  out.device.dispatch(MULTIPLY, {
    tensors: { a, b, out },
    params: { elements, accumulate },
    workgroups: spreadWorkgroups(Math.ceil(elements / 256)),
  });
}
