/**
 * Rows of a table by their index: embeddings of labels.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import gatherPartSource from "./gather_part.wgsl.ts";
import scatterRowsSource from "./scatter_rows.wgsl.ts";

const GATHER_PART = new Kernel({ source: gatherPartSource });
const SCATTER_ROWS = new Kernel({ source: scatterRowsSource });

/**
 * Takes rows of a table: `table` [N, D], `indices` [B] of type u32, result [B, D]. The gradient of
 * `table` adds the rows of dy in the order of the batch, so equal runs give equal bits.
 *
 * An index that is N or more means the last row: a caller who knows the indices checks them.
 *
 * Throws `TypeError` when the table has no rows or the indices are not u32 [B].
 *
 * @example
 * ```ts
 * import { Device, gatherRows } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using table = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]);
 * using indices = device.tensor(Uint32Array.of(2, 0, 2), [3]);
 * using rows = gatherRows(table, indices);
 * console.log(await rows.read()); // Float32Array(6) [ 5, 6, 1, 2, 5, 6 ]
 * ```
 */
export function gatherRows(table: Tensor, indices: Tensor): Tensor {
  const [rows = 0, width = 0] = table.shape, [batch = 0] = indices.shape;
  if (
    table.shape.length !== 2 || rows === 0 || indices.shape.length !== 1 || indices.dtype !== "u32"
  ) {
    throw new TypeError(
      `Cannot take rows ${formatShape(indices.shape)} of type ${indices.dtype} from table ` +
        `${formatShape(table.shape)}: expected u32 indices [B] and a table [N, D]`,
    );
  }
  const { device } = table;
  const out = device.empty([batch, width]);
  gatherPart(out, { part: table, indices, first: 0, total: rows });
  device.tape?.push({
    name: "gatherRows",
    inputs: [table],
    output: out,
    saved: [indices],
    backward(dy, gradients) {
      gradients.region(table, (dTable) => {
        for (let first = 0; first < batch; first += MAX_LOOP_ROUNDS) {
          device.dispatch(SCATTER_ROWS, {
            tensors: { indices, dy, dtable: dTable },
            params: { rows, width, first, end: Math.min(first + MAX_LOOP_ROUNDS, batch) },
            workgroups: spreadWorkgroups(Math.ceil(width / 64)),
          });
        }
      });
    },
  });
  return out;
}

/**
 * Takes rows of a table that lies in several tensors, each within what the device can bind at once:
 * `parts` [N₁, D], [N₂, D], … in the order of the rows, `indices` [B] of type u32, result [B, D]. One
 * kernel for each part. Not differentiated.
 *
 * An index that is N₁ + N₂ + … or more means the last row: a caller who knows the indices checks them.
 *
 * Throws `TypeError` when there is no part, a part has no rows or another width than the first, or
 * the indices are not u32 [B].
 *
 * @example
 * ```ts
 * import { Device, gatherRowsOfParts } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using first = device.tensor(Float32Array.of(1, 2), [1, 2]);
 * using second = device.tensor(Float32Array.of(3, 4, 5, 6), [2, 2]);
 * using indices = device.tensor(Uint32Array.of(2, 0), [2]); // row 1 of the second part, then 0
 * using rows = gatherRowsOfParts([first, second], indices);
 * console.log(await rows.read()); // Float32Array(4) [ 5, 6, 1, 2 ]
 * ```
 */
export function gatherRowsOfParts(parts: readonly Tensor[], indices: Tensor): Tensor {
  const width = parts[0]?.shape[1] ?? 0, [batch = 0] = indices.shape;
  const fits = parts.every(({ shape }) => shape.length === 2 && shape[0] && shape[1] === width);
  if (width === 0 || !fits || indices.shape.length !== 1 || indices.dtype !== "u32") {
    throw new TypeError(
      `Cannot take rows ${formatShape(indices.shape)} of type ${indices.dtype} from tables ` +
        `${parts.map(({ shape }) => formatShape(shape)).join(", ") || "of no part"}: ` +
        "expected u32 indices [B] and tables of one width",
    );
  }
  const { device } = indices;
  const out = device.empty([batch, width]);
  const total = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  let first = 0;
  for (const part of parts) {
    gatherPart(out, { part, indices, first, total });
    first += part.shape[0]!;
  }
  return out;
}

/** Writes the rows of `out` [B, D] that lie in a part [N, D], the rows from `first` on of `total`. */
function gatherPart(
  out: Tensor,
  options: { part: Tensor; indices: Tensor; first: number; total: number },
): void {
  const { part, indices, first, total } = options;
  const [rows = 0, width = 0] = part.shape, batch = indices.elements;
  out.device.dispatch(GATHER_PART, {
    tensors: { part, indices, out },
    params: { first, rows, total, width, batch },
    workgroups: spreadWorkgroups(batch),
  });
}
