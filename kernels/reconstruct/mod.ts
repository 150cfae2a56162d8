/**
 * Rows of unit norm from a few coefficients each: retrieval from a low-rank memory bank.
 *
 * @module
 */

import broadcastRows from "../common/broadcast_rows.wgsl.ts";
import texelOf from "../common/texel_of.wgsl.ts";
import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { paddedSize } from "../core/padded_size.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import { gatherRows } from "../embed_rows/mod.ts";
import subgroup from "./subgroup.wgsl.ts";
import { pickReconstruct, type ReconstructVariant, supportsReconstruct } from "./variants.ts";
import workgroup from "./workgroup.wgsl.ts";

/** The kernel by its variant. */
export const KERNELS: Readonly<Record<ReconstructVariant, Kernel>> = {
  subgroup: new Kernel({ source: subgroup, includes: [texelOf, broadcastRows] }),
  workgroup: new Kernel({ source: workgroup }),
};

/** Rows that one workgroup makes. */
const ROWS: Readonly<Record<ReconstructVariant, number>> = { subgroup: 32, workgroup: 4 };

/** Coefficients of a row that the kernels have room for; with more, a product and a normalisation do the same. */
export const MAX_FUSED_RANK = 768;

/** Elements of a row that their loops stay short for. */
const MAX_WIDTH = 16_384;

/** Below it a row has no direction, and is divided by this instead of by its norm. */
const EPSILON = 1e-12;

/** What {@linkcode reconstruct} makes rows of. */
export interface ReconstructOptions {
  /** Basis [d, R rounded up to a multiple of 4], zero in columns beyond R; see {@linkcode padBasis}. */
  readonly basis: Tensor;
  /** Mean [d]. */
  readonly mean: Tensor;
  /** Which rows, u32 [B]; by default all in order. */
  readonly indices?: Tensor | undefined;
}

/**
 * (c Bᵀ + μ) / ‖c Bᵀ + μ‖ for each chosen row c of `coefficients` [N, R] (GMem, equation 9): result
 * [B, d], in one kernel; a CPU driver takes the rows first. 2·B·d·R flops. Not differentiated.
 *
 * An index that is N or more means the last row: a caller who knows the indices checks them.
 *
 * Throws `TypeError` when the sizes do not fit or the indices are not u32 [B], and `RangeError` for a
 * rank above 768 or rows longer than 16,384.
 *
 * @example
 * ```ts
 * import { Device, padBasis, reconstruct } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using coefficients = device.tensor(Float32Array.of(3, -3), [2, 1]);
 * using basis = device.tensor(padBasis(Float32Array.of(1, 0), 1), [2, 4]);
 * using mean = device.tensor(Float32Array.of(0, 4), [2]);
 * using rows = reconstruct(coefficients, { basis, mean }); // 3, 4 and −3, 4 over 5
 * console.log(...Array.from(await rows.read(), (value) => value.toFixed(1))); // 0.6 0.8 -0.6 0.8
 * ```
 */
export function reconstruct(coefficients: Tensor, options: ReconstructOptions): Tensor {
  const { basis, mean, indices } = options;
  const [rows = 0, rank = 0] = coefficients.shape, width = mean.elements;
  const columns = paddedSize(rank);
  if (
    coefficients.shape.length !== 2 || rows === 0 || rank === 0 || width === 0 ||
    formatShape(basis.shape) !== formatShape([width, columns])
  ) {
    throw new TypeError(
      `Cannot reconstruct rows of coefficients ${formatShape(coefficients.shape)} with basis ` +
        `${formatShape(basis.shape)} and mean ${formatShape(mean.shape)}: expected [N, R], ` +
        `[d, R rounded up to a multiple of 4] and [d]`,
    );
  }
  if (indices && (indices.shape.length !== 1 || indices.dtype !== "u32")) {
    throw new TypeError(
      `Cannot reconstruct rows ${formatShape(indices.shape)} of type ${indices.dtype}: expected ` +
        "u32 indices [B]",
    );
  }
  if (rank > MAX_FUSED_RANK || width > MAX_WIDTH) {
    throw new RangeError(
      `Cannot reconstruct rows of ${width} numbers from ${rank}: expected at most ${MAX_WIDTH} from ` +
        `${MAX_FUSED_RANK}`,
    );
  }
  const { device } = coefficients, { profile } = device;
  const batch = indices?.elements ?? rows;
  const out = device.empty([batch, width]);
  if (batch === 0) return out;
  const size = { rank, width };
  const variant = device.variant("reconstruct", pickReconstruct(profile, size), {
    among: KERNELS,
    supports: (name) => supportsReconstruct(name, { profile, size }),
  });
  const shared = { width, batch, columns4: columns / 4, epsilon: EPSILON };
  const workgroups = spreadWorkgroups(Math.ceil(batch / ROWS[variant]));
  device.scope(() => {
    if (variant === "workgroup") {
      // Without indices the kernel reads none, yet something has to be bound.
      const bound = indices ?? device.empty([1], { dtype: "u32" });
      return device.dispatch(KERNELS.workgroup, {
        tensors: { coefficients, indices: bound, basis, mean, out },
        params: { ...shared, rows, rank },
        workgroups,
        constants: { HAS_INDICES: Number(indices !== undefined) },
      });
    }
    // A texture is made of the chosen rows; one of the whole table would hold it in memory twice.
    const chosen = indices ? takeRows(coefficients, indices) : device.empty([rows, rank]);
    if (indices === undefined) device.copyInto(chosen, coefficients);
    device.dispatch(KERNELS.subgroup, {
      tensors: { coefficients: chosen, basis, mean, out },
      params: shared,
      workgroups,
      constants: { LANES: profile.subgroupSize },
    });
  });
  return out;
}

function takeRows(table: Tensor, indices: Tensor): Tensor {
  return table.device.withTape(undefined, () => gatherRows(table, indices));
}

/**
 * Pads the columns of a basis [d, R], row by row, as {@linkcode reconstruct} wants them:
 * [d, R rounded up to a multiple of 4], zero beyond R. `rank` is R.
 *
 * @example
 * ```ts
 * import { padBasis } from "@gmem/gmem/kernels";
 *
 * const padded = padBasis(Float32Array.of(1, 2, 3, 4), 2); // two rows of two columns
 * console.log(...padded); // 1 2 0 0 3 4 0 0
 * ```
 */
export function padBasis(basis: Float32Array, rank: number): Float32Array {
  const columns = paddedSize(rank), width = basis.length / rank;
  const padded = new Float32Array(width * columns);
  for (let row = 0; row < width; row++) {
    padded.set(basis.subarray(row * rank, (row + 1) * rank), row * columns);
  }
  return padded;
}
