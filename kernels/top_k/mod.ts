/**
 * The largest values of each row and where they are.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { MAX_LOOP_ROUNDS } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import source from "./top_k.wgsl.ts";

const TOP_K = new Kernel({ source });

/** Values that one invocation looks through: few enough to keep thousands of them busy. */
const STRIP_LENGTH = 1024;

/** Values of a row at most: beyond, a strip within {@linkcode MAX_LOOP_ROUNDS} would not leave much less than it has. */
export const MAX_COUNT = 100;

/** The largest values of each row, the largest first. */
export interface TopK {
  /** Values [rows, k]. */
  readonly values: Tensor;
  /** Columns of the values [rows, k], of type u32. */
  readonly indices: Tensor;
}

/** Options of {@linkcode topK}. */
export interface TopKOptions {
  /** Factors [columns] that the values of each row are multiplied by first. */
  readonly factors?: Tensor | undefined;
}

/**
 * Finds the k largest values of each row: `x` [rows, columns]. Of equal values the one further left
 * comes first. Not differentiated. A value that is not a number is never found: a row with fewer than
 * k others ends with the index 2³² − 1 and the value −3.4e38.
 *
 * Reads `x` once; each further pass reads what the last one kept, a hundredth for k = 10.
 *
 * Throws `TypeError` when `x` does not have two axes, and `RangeError` unless k is a whole number
 * from 1 to the number of columns and at most 100. The factors, if there are any, have one number for
 * each column, or it is a `TypeError`.
 *
 * @example
 * ```ts
 * import { Device, topK } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(3, 9, 1, 9), [1, 4]);
 * const { values, indices } = topK(x, 3);
 * console.log(await values.read()); // Float32Array(3) [ 9, 9, 3 ]
 * console.log(await indices.readUint32()); // Uint32Array(3) [ 1, 3, 0 ]
 * ```
 */
export function topK(x: Tensor, k: number, options: TopKOptions = {}): TopK {
  const { factors } = options;
  const [rows = 0, columns = 0] = x.shape;
  if (x.shape.length !== 2) {
    throw new TypeError(
      `Cannot find the largest of ${formatShape(x.shape)}: expected [N, columns]`,
    );
  }
  if (factors && factors.elements !== columns) {
    throw new TypeError(
      `Cannot find the largest of ${formatShape(x.shape)} times ${formatShape(factors.shape)}: ` +
        `expected [${columns}]`,
    );
  }
  const most = Math.min(columns, MAX_COUNT);
  if (!Number.isInteger(k) || k < 1 || k > most) {
    throw new RangeError(
      `Cannot find the ${k} largest of ${columns} values: expected a whole number from 1 to ${most}`,
    );
  }
  return x.device.scope(() => {
    let left: Pass = { values: x, indices: undefined, factors, rows, columns };
    do left = keepLargest(left, k); while (left.columns > k);
    return { values: left.values.reshape([rows, k]), indices: left.indices!.reshape([rows, k]) };
  });
}

/** Candidates [rows, columns]; without indices, each is named by its column. */
interface Pass {
  readonly values: Tensor;
  readonly indices: Tensor | undefined;
  readonly factors: Tensor | undefined;
  readonly rows: number;
  readonly columns: number;
}

function keepLargest(from: Pass, k: number): Pass {
  const { values, indices, factors, rows, columns } = from;
  const { device } = values;
  // At worst, when a strip is in rising order, every value moves all k others: k + 1 rounds, as the
  // slots take to be emptied. For the largest k a strip has 6 k values, so that every pass leaves about
  // a sixth at most.
  const strip = Math.min(STRIP_LENGTH, Math.floor(MAX_LOOP_ROUNDS / (k + 1)) - 1);
  const strips = Math.ceil(columns / strip);
  const best = device.empty([rows, strips * k]);
  const names = device.empty([rows, strips * k], { dtype: "u32" });
  // Without indices the kernel reads none, yet something has to be bound.
  const bound = indices ?? device.empty([1], { dtype: "u32" });
  device.dispatch(TOP_K, {
    tensors: { values, indices: bound, factors: factors ?? values, best, names },
    params: { rows, columns, strips, k },
    workgroups: spreadWorkgroups(Math.ceil(rows * strips / 64)),
    constants: {
      HAS_INDICES: Number(indices !== undefined),
      HAS_FACTORS: Number(factors !== undefined),
    },
  });
  return { values: best, indices: names, factors: undefined, rows, columns: strips * k };
}
