/**
 * Mean and covariance of rows that come in batches.
 *
 * @module
 */

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
 * import { Moments } from "@gmem/gmem";
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
  add(rows: Float32Array): void {
    const { dim } = this;
    const count = rows.length / dim;
    if (!Number.isInteger(count)) {
      throw new TypeError(
        `Cannot add rows of ${rows.length} values: expected a multiple of the length ${dim}`,
      );
    }
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
    const { dim } = this;
    const out = new Float64Array(dim * dim);
    for (let i = 0; i < dim; i++) {
      const offset = this.#sum[i]! / this.#count;
      for (let j = i; j < dim; j++) {
        const value = (this.#products[i * dim + j]! - offset * this.#sum[j]!) / this.#count;
        out[i * dim + j] = value;
        out[j * dim + i] = value;
      }
    }
    return out;
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
