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
 * a · b, element by element: `a`, `b` and the result of one shape. Differentiable in both.
 *
 * Throws `TypeError` when the shapes differ.
 *
 * @example
 * ```ts
 * import { Device, multiply, Tape } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using a = device.tensor(Float32Array.of(3), [1]);
 * using b = device.tensor(Float32Array.of(4), [1]);
 * using tape = new Tape(device);
 * tape.watch(a);
 * using product = tape.record(() => multiply(a, b));
 * tape.backward(product);
 * using gradient = tape.gradient(a); // b
 * console.log(await product.read()); // Float32Array(1) [ 12 ]
 * console.log(await gradient.read()); // Float32Array(1) [ 4 ]
 * ```
 */
export function multiply(a: Tensor, b: Tensor): Tensor {
  if (formatShape(a.shape) !== formatShape(b.shape)) {
    throw new TypeError(
      `Cannot multiply ${formatShape(a.shape)} by ${formatShape(b.shape)}: expected one shape`,
    );
  }
  const { device } = a;
  const out = device.empty(a.shape);
  multiplyInto(out, { a, b, accumulate: 0 });
  device.tape?.push({
    name: "multiply",
    inputs: [a, b],
    output: out,
    saved: [a, b],
    backward(dy, gradients) {
      gradients.into(a, (da, accumulate) => multiplyInto(da, { a: dy, b, accumulate }));
      gradients.into(b, (db, accumulate) => multiplyInto(db, { a: dy, b: a, accumulate }));
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
