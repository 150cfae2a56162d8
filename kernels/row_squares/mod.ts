/**
 * Sums of squares of rows: what distances and cosines need of each snippet of a bank.
 *
 * @module
 */

import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { stagedVariant } from "../core/staged_variant.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import texture from "./texture.wgsl.ts";
import workgroup from "./workgroup.wgsl.ts";

/** The kernel by its variant. */
export const KERNELS: Readonly<Record<"workgroup" | "texture", Kernel>> = {
  workgroup: new Kernel({ source: workgroup }),
  texture: new Kernel({ source: texture, includes: [texelOf] }),
};

/** Rows that one workgroup sums. */
const ROWS = { workgroup: 1, texture: 8 } as const;

/** The texture kernel has a round for 4 numbers: half of those that a CPU driver makes. */
const MAX_WIDTH = 131_072;

/** Options of {@linkcode rowSquares}. */
export interface RowSquaresOptions {
  /** Factor of the sum; default 1. */
  readonly scale?: number | undefined;
  /** Returns 1 / ‖x‖ instead, with 1e-12 for the norm of rows below it. Default `false`. */
  readonly inverseRoot?: boolean | undefined;
}

/**
 * scale ‖x‖² of each row, or 1 / ‖x‖: `x` [N, d], result [N]. Reads `x` once. Not differentiated.
 *
 * Throws `TypeError` when there are not two axes, and `RangeError` for rows longer than 131,072.
 *
 * @example
 * ```ts
 * import { Device, rowSquares } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using x = device.tensor(Float32Array.of(3, 4, 0, 2), [2, 2]);
 * using squares = rowSquares(x);
 * using inverses = rowSquares(x, { inverseRoot: true });
 * console.log(await squares.read()); // Float32Array(2) [ 25, 4 ]
 * console.log(...Array.from(await inverses.read(), (value) => value.toFixed(1))); // 0.2 0.5
 * ```
 */
export function rowSquares(x: Tensor, options: RowSquaresOptions = {}): Tensor {
  const { scale = 1, inverseRoot = false } = options;
  const [rows = 0, width = 0] = x.shape;
  if (x.shape.length !== 2) {
    throw new TypeError(
      `Cannot sum the squares of rows of ${formatShape(x.shape)}: expected shape [N, d]`,
    );
  }
  if (width > MAX_WIDTH) {
    throw new RangeError(
      `Cannot sum the squares of rows of ${width} numbers: expected at most ${MAX_WIDTH}`,
    );
  }
  const { device } = x;
  const variant = stagedVariant(device, "rowSquares", {
    among: KERNELS,
    otherwise: "workgroup",
    only: width % 4 === 0 ? undefined : "workgroup",
  });
  const out = device.empty([rows]);
  device.dispatch(KERNELS[variant], {
    tensors: { x, out },
    params: { rows, width, scale, epsilon: 1e-12 },
    workgroups: spreadWorkgroups(Math.ceil(rows / ROWS[variant])),
    constants: { INVERSE_ROOT: Number(inverseRoot) },
  });
  return out;
}
