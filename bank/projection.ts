/**
 * Centred rows times a few directions: on the CPU in float64, or as matrix products of the device.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { paddedSize } from "../kernels/core/padded_size.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";

/** What {@linkcode projectRows} projects with. */
export interface Projection {
  /** Centre [n], subtracted from every row. */
  readonly mean: Float64Array;
  /** Directions [k, n]. */
  readonly directions: Float64Array;
}

/**
 * Projects rows: (x − mean) directionsᵀ. `rows` [count, n], result [count, k] in float64. 2·count·n·k
 * operations.
 *
 * Throws a TypeError if the sizes do not fit.
 */
export function projectRows(rows: Float32Array, projection: Projection): Float64Array {
  const { mean, directions } = projection;
  const n = mean.length, count = rows.length / n, k = directions.length / n;
  if (!Number.isInteger(count) || !Number.isInteger(k)) {
    throw new TypeError(
      `Cannot project ${rows.length} values on ${directions.length}: expected multiples of the ` +
        `length ${n} of the mean`,
    );
  }
  const out = new Float64Array(count * k);
  const centred = new Float64Array(n);
  const listed = Array.from({ length: k }, (_, i) => directions.subarray(i * n, (i + 1) * n));
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < n; i++) centred[i] = rows[row * n + i]! - mean[i]!;
    for (let i = 0; i < k; i++) out[row * k + i] = dotProduct(centred, listed[i]!);
  }
  return out;
}

/** What {@linkcode centreRows} writes. */
export interface CentreOptions {
  /** Centre [n], subtracted from every row in float64. */
  readonly centre: Float64Array;
  /** Room for the rows [at least count, padded n]. Rows and columns that are left become 0. */
  readonly out: Float32Array;
  /** Sums of the columns of what was written [n], added to; leave out if they are not wanted. */
  readonly sums?: Float64Array | undefined;
}

/** Writes rows [count, n] minus their centre, each rounded once, with columns padded to a multiple of 4. */
export function centreRows(rows: Float32Array, options: CentreOptions): void {
  const { centre, out, sums } = options;
  const n = centre.length, width = paddedSize(n), count = rows.length / n;
  for (let row = 0; row < count; row++) {
    centreRow(rows.subarray(row * n, (row + 1) * n), {
      centre,
      out: out.subarray(row * width, (row + 1) * width),
    });
    if (sums !== undefined) addRow(sums, out.subarray(row * width, row * width + n));
  }
  out.fill(0, count * width);
}

/** A projection on the device for rows that come in pieces of a bounded size. */
export interface DeviceProjectionOptions extends Projection {
  /** Most rows of one piece. */
  readonly pieceRows: number;
}

/**
 * The same as {@linkcode projectRows}, as one matrix product in f32 a piece: rows are centred on the CPU,
 * so that what is rounded are products of differences. |error| ≤ n 2⁻²⁴ Σ|x − μ||direction|.
 *
 * The GPU works between {@linkcode DeviceProjection.begin} and {@linkcode DeviceProjection.end}, while
 * the CPU can read what comes next.
 */
export class DeviceProjection implements Disposable {
  readonly #mean: Float64Array;
  readonly #count: number;
  readonly #rows: Tensor;
  readonly #directions: Tensor;
  readonly #products: Tensor;
  readonly #centred: Float32Array;

  /** Uploads the directions [k, n]. */
  constructor(device: Device, options: DeviceProjectionOptions) {
    const { mean, directions, pieceRows } = options;
    const n = mean.length, width = paddedSize(n);
    const rows = paddedSize(pieceRows);
    const count = directions.length / n;
    const padded = new Float32Array(paddedSize(count) * width);
    for (let k = 0; k < count; k++) padded.set(directions.subarray(k * n, (k + 1) * n), k * width);
    this.#mean = mean;
    this.#count = count;
    this.#centred = new Float32Array(rows * width);
    [this.#rows, this.#directions, this.#products] = device.unscoped(() => [
      device.empty([rows, width]),
      device.tensor(padded, [paddedSize(count), width]),
      device.empty([rows, paddedSize(count)]),
    ]);
  }

  /** Centres rows [count, n], uploads them and submits their product. */
  begin(rows: Float32Array): void {
    centreRows(rows, { centre: this.#mean, out: this.#centred });
    this.#rows.write(this.#centred);
    matmulInto(this.#products, this.#rows, this.#directions, { transposeB: true });
    this.#products.device.flush();
  }

  /** Waits for the product and returns its first `rows` rows [rows, k]. */
  async end(rows: number): Promise<Float32Array> {
    const products = await this.#products.read();
    const count = this.#count, width = paddedSize(count);
    if (count === width) return products.subarray(0, rows * count);
    const out = new Float32Array(rows * count);
    for (let row = 0; row < rows; row++) {
      out.set(products.subarray(row * width, row * width + count), row * count);
    }
    return out;
  }

  /** Releases what is on the GPU. */
  [Symbol.dispose](): void {
    for (const tensor of [this.#rows, this.#directions, this.#products]) tensor.dispose();
  }
}

function centreRow(
  row: Float32Array,
  options: { readonly centre: Float64Array; readonly out: Float32Array },
): void {
  const { centre, out } = options;
  for (let i = 0; i < row.length; i++) out[i] = row[i]! - centre[i]!;
  out.fill(0, row.length);
}

/** Adds a row [n] to sums [n]. */
export function addRow(sums: Float64Array, row: Float32Array): void {
  for (let i = 0; i < row.length; i++) sums[i]! += row[i]!;
}

/** Mean row [d] of rows [n, d], in float64. */
export function meanRow(rows: Float32Array, dim: number): Float64Array {
  const mean = new Float64Array(dim), count = rows.length / dim;
  for (let row = 0; row < count; row++) {
    addRow(mean, rows.subarray(row * dim, row * dim + dim));
  }
  return mean.map((sum) => sum / count);
}

/**
 * The product a · b of two vectors [n], in float64. A function of its own, which the compiler gets to
 * see often enough to make it fast.
 */
export function dotProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
