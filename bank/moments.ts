/**
 * Mean and covariance of rows that come in batches: on the CPU in float64, or as matrix products of
 * the device whose sums are added up in float64.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { paddedSize } from "../kernels/core/padded_size.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { matmulInto } from "../kernels/matmul/mod.ts";
import { addRow, centreRows, meanRow } from "./projection.ts";

/** Rows that are added to the sums at once: as many as the inner loop holds in registers. */
const BLOCK = 4;

/**
 * Mean [d] and covariance [d, d] of rows [N, d] that are seen once, batch by batch, in float64.
 *
 * The rows are shifted by the first of them before their products are added up, so that a mean far
 * from zero does not cancel the digits of the covariance. Memory: d² numbers.
 *
 * @example
 * ```ts
 * import { Moments } from "./moments.ts";
 *
 * const moments = new Moments(2);
 * moments.add(Float32Array.of(0, 1, 2, 1));
 * moments.mean(); // Float64Array [1, 1]
 * moments.covariance(); // Float64Array [1, 0, 0, 0]
 * ```
 */
export class Moments {
  /** Length d of a row. */
  readonly dim: number;
  #count = 0;
  #shift: Float64Array | undefined;
  /** Sum of the shifted rows [d]. */
  readonly #sum: Float64Array;
  /** Sum of the products of the shifted rows [d, d]; only the part right of the diagonal. */
  readonly #products: Float64Array;
  /** Shifted rows in the order of the inner loop [d, BLOCK]. */
  readonly #block: Float64Array;

  /** Begins with no rows. */
  constructor(dim: number) {
    this.dim = dim;
    this.#sum = new Float64Array(dim);
    this.#products = new Float64Array(dim * dim);
    this.#block = new Float64Array(dim * BLOCK);
  }

  /** Number of rows seen, N. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds rows [n, d].
   *
   * Throws a TypeError if the values are not whole rows.
   */
  add(rows: Float32Array | Float64Array): void {
    const { dim } = this;
    const count = rows.length / dim;
    if (!Number.isInteger(count)) {
      throw new TypeError(
        `Cannot add rows of ${rows.length} values: expected a multiple of the length ${dim}`,
      );
    }
    if (count === 0) return; // There is no first row yet to shift by.
    const shift = this.#shift ??= new Float64Array(rows.subarray(0, dim));
    for (let first = 0; first < count; first += BLOCK) {
      const rowsHere = Math.min(BLOCK, count - first);
      for (let i = 0; i < dim; i++) {
        for (let row = 0; row < BLOCK; row++) {
          const value = row < rowsHere ? rows[(first + row) * dim + i]! - shift[i]! : 0;
          this.#block[i * BLOCK + row] = value;
          this.#sum[i]! += value;
        }
      }
      this.#addProducts();
    }
    this.#count += count;
  }

  /** Returns the mean row [d]; not a number without rows. */
  mean(): Float64Array {
    const shift = this.#shift;
    return this.#sum.map((sum, i) => (shift?.[i] ?? 0) + sum / this.#count);
  }

  /** Returns the covariance [d, d] around the mean, the sum of squares divided by N. */
  covariance(): Float64Array {
    return covarianceOf(this.#products, { sum: this.#sum, count: this.#count });
  }

  /** Two rows of products at a time, so that a value of the block is loaded once for both. */
  #addProducts(): void {
    const dim = this.dim, block = this.#block, products = this.#products;
    for (let i = 0; i < dim; i += 2) {
      const a = i * BLOCK;
      const a0 = block[a]!, a1 = block[a + 1]!, a2 = block[a + 2]!, a3 = block[a + 3]!;
      const single = i + 1 === dim;
      const b0 = single ? 0 : block[a + 4]!, b1 = single ? 0 : block[a + 5]!;
      const b2 = single ? 0 : block[a + 6]!, b3 = single ? 0 : block[a + 7]!;
      const rowA = i * dim, rowB = single ? rowA : rowA + dim;
      for (let j = i; j < dim; j++) {
        const at = j * BLOCK;
        const x0 = block[at]!, x1 = block[at + 1]!, x2 = block[at + 2]!, x3 = block[at + 3]!;
        products[rowA + j]! += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3;
        products[rowB + j]! += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3;
      }
    }
  }
}

/** Rows whose products are added up in f32 on the device; see {@linkcode DeviceMoments}. */
const SUM_ROWS = 1024;

/** Such sums in one piece: enough products to be worth the 12 ms that a wait for the GPU costs. */
const MOST_SUMS = 8;

/** Bytes of the rows of a piece, and of its sums, at most; a single sum may be larger. */
const MOST_ROW_BYTES = 2 ** 25, MOST_SUM_BYTES = 2 ** 26;

/**
 * Mean [d] and covariance [d, d] of N rows that are seen once, their products XᵀX by the device.
 *
 * A piece of rows is shifted by the mean of the first piece, so that products are of differences, and
 * cut in sums of 1,024 rows, each a product [d, 1024] [1024, d] in f32; the sums are added in float64.
 * So |error| ≤ 1024 · 2⁻²⁴ Σ|x_i x_j| = 6e-5 Σ|x_i x_j| at the very worst, 1e-6 of it with roundings of
 * random sign, and 1e-6 / √(N / 1024) over many sums: 3e-8 for N = 1.28 million. The shift by the mean
 * is undone in float64 with the sums of the very rows that were multiplied.
 *
 * The GPU works between {@linkcode DeviceMoments.begin} and {@linkcode DeviceMoments.end}, while the CPU
 * can read what comes next. Memory: 8 d² bytes, a piece of rows (25 MB for d = 768) on either side, and
 * its sums (19 MB).
 */
export class DeviceMoments implements Disposable {
  /** Length d of a row. */
  readonly dim: number;
  /** Most rows of one piece. */
  readonly pieceRows: number;
  #count = 0;
  #centre: Float64Array | undefined;
  readonly #sum: Float64Array;
  readonly #products: Float64Array;
  readonly #centred: Float32Array;
  readonly #rows: Tensor;
  readonly #sums: Tensor;

  /** Begins with no rows of the `size` that there will be, which bounds the pieces. */
  constructor(device: Device, options: { readonly size: number; readonly dim: number }) {
    const { size, dim } = options, width = paddedSize(dim);
    const sumRows = Math.min(SUM_ROWS, paddedSize(size));
    const sums = Math.min(
      MOST_SUMS,
      Math.ceil(size / sumRows),
      Math.floor(MOST_ROW_BYTES / (4 * sumRows * width)),
      Math.floor(MOST_SUM_BYTES / (4 * width * width)),
    );
    const batch = Math.max(1, sums);
    this.dim = dim;
    this.pieceRows = batch * sumRows;
    this.#sum = new Float64Array(dim);
    this.#products = new Float64Array(dim * dim);
    this.#centred = new Float32Array(this.pieceRows * width);
    [this.#rows, this.#sums] = device.unscoped(() => [
      device.empty([batch, sumRows, width]),
      device.empty([batch, width, width]),
    ]);
  }

  /** Whether a device can hold the products [d, d] of rows of this length in one binding. */
  static supports(device: Device, dim: number): boolean {
    return 4 * paddedSize(dim) ** 2 <= device.profile.maxBindingBytes;
  }

  /** Shifts rows [n, d], n at most {@linkcode pieceRows}, uploads them and submits their products. */
  begin(rows: Float32Array): void {
    const centre = this.#centre ??= meanRow(rows, this.dim);
    centreRows(rows, { centre, out: this.#centred, sums: this.#sum });
    this.#count += rows.length / this.dim;
    this.#rows.write(this.#centred);
    const [batch = 1, sumRows = 0, width = 0] = this.#rows.shape;
    const size = { M: width, N: width, K: sumRows };
    matmulInto(this.#sums, this.#rows, this.#rows, { size, batch, transposeA: true });
    this.#sums.device.flush();
  }

  /** Waits for the products. They are added by {@linkcode add}, while the next piece is multiplied. */
  end(): Promise<Float32Array> {
    return this.#sums.read();
  }

  /** Adds the products of a piece. */
  add(sums: Float32Array): void {
    const { dim } = this, width = paddedSize(dim), products = this.#products;
    for (let first = 0; first < sums.length; first += width * width) {
      for (let i = 0; i < dim; i++) {
        addRow(
          products.subarray(i * dim + i, (i + 1) * dim),
          sums.subarray(first + i * width + i, first + i * width + dim),
        );
      }
    }
  }

  /** Returns the mean row [d]; not a number without rows. */
  mean(): Float64Array {
    const centre = this.#centre;
    return this.#sum.map((sum, i) => (centre?.[i] ?? 0) + sum / this.#count);
  }

  /** Returns the covariance [d, d] around the mean, the sum of squares divided by N. */
  covariance(): Float64Array {
    return covarianceOf(this.#products, { sum: this.#sum, count: this.#count });
  }

  /** Releases what is on the GPU. */
  [Symbol.dispose](): void {
    this.#rows.dispose();
    this.#sums.dispose();
  }
}

/** Σ(x − c)(x − c)ᵀ, right of the diagonal, and Σ(x − c) of N rows to their covariance around the mean. */
function covarianceOf(
  products: Float64Array,
  options: { readonly sum: Float64Array; readonly count: number },
): Float64Array {
  const { sum, count } = options, dim = sum.length;
  const out = new Float64Array(dim * dim);
  for (let i = 0; i < dim; i++) {
    const offset = sum[i]! / count;
    for (let j = i; j < dim; j++) {
      const value = (products[i * dim + j]! - offset * sum[j]!) / count;
      out[i * dim + j] = value;
      out[j * dim + i] = value;
    }
  }
  return out;
}
