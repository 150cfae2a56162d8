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

/** Sets every element of `out` (any shape) to `value`. */
export function fill(out: Tensor, value: number): void {
  const vectors = Math.ceil(out.elements / 4);
  out.device.dispatch(FILL, {
    tensors: { out },
    params: { vectors, value },
    workgroups: spreadWorkgroups(Math.ceil(vectors / 64)),
  });
}

/** Adds `x` to `out`, element by element; `TypeError` when their sizes differ. */
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
 * Writes the few elements of `x` into `out` from element `first` on; `RangeError` past the end or
 * where that is no whole number.
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
