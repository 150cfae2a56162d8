/**
 * The sum of two tensors.
 *
 * @module
 */

import { combineInto } from "../combine/mod.ts";
import { addTo } from "../core/in_place.ts";
import type { Tensor } from "../core/tensor.ts";

/**
 * a + b, element by element: `a`, `b` and the result of one shape, as where a residual stream and a
 * branch meet. Put the stream first: its gradient goes on without a copy.
 *
 * Throws `TypeError` when the shapes differ.
 *
 * @example
 * ```ts
 * import { add, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using stream = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using branch = device.tensor(Float32Array.of(10, 20), [1, 2]);
 * using sum = add(stream, branch);
 * console.log(await sum.read()); // Float32Array(2) [ 11, 22 ]
 * ```
 */
export function add(a: Tensor, b: Tensor): Tensor {
  const { device, shape } = a, out = device.empty(shape);
  combineInto(out, [[a, 1], [b, 1]]);
  device.tape?.push({
    name: "add",
    inputs: [a, b],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.into(
        b,
        (db, accumulate) => accumulate ? addTo(db, dy) : combineInto(db, [[dy, 1]]),
      );
      gradients.pass(a, dy);
    },
  });
  return out;
}
