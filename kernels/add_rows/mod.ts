/**
 * One table added to every element of a batch.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { columnSumInto } from "../linear/mod.ts";
import source from "./add_rows.wgsl.ts";
import vectorSource from "./add_rows_vector.wgsl.ts";

const ADD_ROWS = new Kernel({ source });
const ADD_ROWS_VECTOR = new Kernel({ source: vectorSource });

/**
 * Adds a table, such as that of the positions, to each element of a batch: `x` [B, T, D], `rows`
 * [T, D] or [1, T, D], result [B, T, D]. The gradient of the table is the sum over the batch.
 *
 * Throws `TypeError` when the table does not have the shape of one element.
 *
 * @example
 * ```ts
 * import { addRows, Device } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 1, 2]);
 * using positions = device.tensor(Float32Array.of(10, 20), [1, 2]);
 * using out = addRows(x, positions);
 * console.log(await out.read()); // Float32Array(4) [ 11, 22, 13, 24 ]
 * ```
 */
export function addRows(x: Tensor, rows: Tensor): Tensor {
  const one = formatShape(x.shape.slice(1)), table = formatShape(rows.shape);
  if (table !== one && table !== formatShape([1, ...x.shape.slice(1)])) {
    throw new TypeError(
      `Cannot add rows ${table} to each of ${formatShape(x.shape)}: expected ${one}`,
    );
  }
  const { device, elements } = x;
  const out = device.empty(x.shape);
  if (rows.elements % 4 === 0) {
    const vectors = elements / 4;
    device.dispatch(ADD_ROWS_VECTOR, {
      tensors: { x, rows, out },
      params: { vectors, period: rows.elements / 4 },
      workgroups: spreadWorkgroups(Math.ceil(vectors / 64)),
    });
  } else {
    device.dispatch(ADD_ROWS, {
      tensors: { x, rows, out },
      params: { elements, period: rows.elements },
      workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
    });
  }
  device.tape?.push({
    name: "addRows",
    inputs: [x, rows],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.into(rows, (dRows, accumulate) => columnSumInto(dRows, dy, { accumulate }));
      gradients.pass(x, dy);
    },
  });
  return out;
}
