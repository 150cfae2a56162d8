/**
 * Sums of rows in a fixed order, the last step of every loss.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./row_sum.wgsl.ts";

const ROW_SUM = new Kernel({ source });

/** Rows up to this length are summed by one invocation. */
const MAX_SERIAL = 64;

/** Options of {@linkcode rowSumInto}. */
export interface RowSumIntoOptions {
  /** Factor of the sum; default 1. */
  readonly scale?: number | undefined;
  /** Added to each result; default 0. */
  readonly offset?: number | undefined;
  /** 1 to add to what `out` holds; default 0. */
  readonly accumulate?: 0 | 1 | undefined;
}

/**
 * The number of partial sums that a row is best split in: as many as each of them has terms, which
 * balances the two stages and keeps loops and error short.
 */
export function partialSums(columns: number): number {
  return Math.ceil(Math.sqrt(columns));
}

/**
 * Records `out (+)= offset + scale · sum of each row`: `x` [rows, ...], `out` [rows]. Not
 * differentiated. The relative error of a sum of positive terms is at most 2^-23 (√columns + 2).
 *
 * Throws `TypeError` when `out` is empty or does not divide `x`.
 */
export function rowSumInto(out: Tensor, x: Tensor, options: RowSumIntoOptions = {}): void {
  const { scale = 1, offset = 0, accumulate = 0 } = options;
  const { device, elements: rows } = out;
  const columns = x.elements / rows;
  if (!Number.isInteger(columns)) {
    throw new TypeError(
      `Cannot sum ${formatShape(x.shape)} into ${formatShape(out.shape)}: ` +
        "expected [rows, ...] and [rows]",
    );
  }
  if (columns <= MAX_SERIAL) {
    return sumLanes(out, { x, params: { rows, columns, lanes: 1, scale, offset, accumulate } });
  }
  const lanes = partialSums(columns);
  device.scope(() => {
    const partial = device.empty([rows, lanes]);
    const first = { rows, columns, lanes, scale: 1, offset: 0, accumulate: 0 };
    sumLanes(partial, { x, params: first });
    const second = { rows, columns: lanes, lanes: 1, scale, offset, accumulate };
    sumLanes(out, { x: partial, params: second });
  });
}

function sumLanes(
  out: Tensor,
  options: {
    x: Tensor;
    params: Record<"rows" | "columns" | "lanes" | "scale" | "offset" | "accumulate", number>;
  },
): void {
  const { x, params } = options;
  out.device.dispatch(ROW_SUM, {
    tensors: { x, out },
    params,
    workgroups: spreadWorkgroups(Math.ceil(params.rows * params.lanes / 64)),
  });
}
