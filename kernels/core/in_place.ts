/**
 * Ops that change a tensor where it is. They are not differentiated.
 *
 * @module
 */

import addSource from "./add.wgsl.ts";
import { spreadWorkgroups } from "./device.ts";
import fillSource from "./fill.wgsl.ts";
import { Kernel } from "./kernel.ts";
import storeAtSource from "./store_at.wgsl.ts";
import { formatShape, type Tensor } from "./tensor.ts";

const ADD = new Kernel({ source: addSource });
const FILL = new Kernel({ source: fillSource });
const STORE_AT = new Kernel({ source: storeAtSource });

/**
 * Sets every element of `out` (any shape) to `value`. Not differentiated.
 *
 * Throws `TypeError` when `out` is not of f32.
 *
 * @example
 * ```ts
 * import { Device, fill } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.empty([3]);
 * fill(x, 0.5);
 * console.log(await x.read()); // Float32Array(3) [ 0.5, 0.5, 0.5 ]
 * ```
 */
export function fill(out: Tensor, value: number): void {
  const { device, elements } = out;
  device.dispatch(FILL, {
    tensors: { out },
    params: { elements, value },
    workgroups: spreadWorkgroups(Math.ceil(elements / 256)),
  });
}

/**
 * Adds `x` to `out`, element by element: as many elements in both, of any shape. Not
 * differentiated.
 *
 * Throws `TypeError` when their sizes differ.
 *
 * @example
 * ```ts
 * import { addTo, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using sum = device.tensor(Float32Array.of(10, 20), [2]);
 * using x = device.tensor(Float32Array.of(1, 2), [1, 2]); // only the sizes have to agree
 * addTo(sum, x);
 * console.log(await sum.read()); // Float32Array(2) [ 11, 22 ]
 * ```
 */
export function addTo(out: Tensor, x: Tensor): void {
  if (out.elements !== x.elements) {
    throw new TypeError(
      `Cannot add ${formatShape(x.shape)} to ${formatShape(out.shape)}: sizes differ`,
    );
  }
  const vectors = Math.ceil(out.elements / 4);
  out.device.dispatch(ADD, {
    tensors: { x, out },
    params: { elements: out.elements },
    workgroups: spreadWorkgroups(Math.ceil(vectors / 64)),
  });
}

/**
 * Writes the few elements of `x` into `out` from element `first` on, both of any shape. Not
 * differentiated.
 *
 * Throws `RangeError` when they go past the end of `out`, or `first` is no whole number.
 *
 * @example
 * ```ts
 * import { Device, storeAt } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using losses = device.tensor(new Float32Array(4), [4]);
 * using loss = device.tensor(Float32Array.of(7), [1]);
 * storeAt(losses, loss, { first: 2 });
 * console.log(await losses.read()); // Float32Array(4) [ 0, 0, 7, 0 ]
 * ```
 */
export function storeAt(out: Tensor, x: Tensor, options: { first: number }): void {
  const { first } = options;
  if (!Number.isInteger(first) || first < 0 || first + x.elements > out.elements) {
    throw new RangeError(
      `Cannot store ${x.elements} elements at ${first}: the tensor has ${out.elements}`,
    );
  }
  out.device.dispatch(STORE_AT, {
    tensors: { x, out },
    params: { first, count: x.elements },
    workgroups: [1],
  });
}
