/**
 * A table of rows on the GPU that can grow.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { formatShape, type Storage, Tensor } from "../kernels/core/tensor.ts";
import { gatherRows } from "../kernels/embed_rows/mod.ts";
import { checkIndices } from "./bank.ts";

/** Rows of a bank [N, width]: taken by index, added at the end. Lives until it is disposed. */
export class RowTable implements Disposable {
  /** Numbers in a row. */
  readonly width: number;
  readonly #device: Device;
  /** Room for rows [capacity, width]. */
  #room: Tensor;
  /** The rows there are [N, width], a view of the room's first. */
  #rows: Tensor;

  /**
   * Uploads rows [N, width].
   *
   * Throws a TypeError if the values are not whole rows, and a RangeError if they are more than the
   * device can bind at once.
   */
  constructor(device: Device, options: { rows: Float32Array; width: number }) {
    const { rows, width } = options;
    const size = rows.length / width;
    if (!Number.isInteger(size) || size === 0) {
      throw new TypeError(
        `Cannot make a table of ${rows.length} values: expected a positive multiple of the width ` +
          `${width}`,
      );
    }
    this.#device = device;
    this.width = width;
    this.#room = this.#allocate(size);
    this.#rows = viewOf(this.#room.storage, { first: 0, shape: [size, width] });
    this.#rows.write(rows);
  }

  /** Number of rows N. */
  get size(): number {
    return this.#rows.shape[0]!;
  }

  /**
   * Takes rows [B, width] by their indices [B], in the caller's scope.
   *
   * Throws a RangeError for an index on the CPU that the table does not have.
   */
  gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    if (indices instanceof Tensor) return gatherRows(this.#rows, indices);
    const checked = checkIndices(indices, this.size);
    const device = this.#device;
    return device.scope(() => gatherRows(this.#rows, device.tensor(checked, [checked.length])));
  }

  /**
   * Adds a row [width] at the end and returns its index.
   *
   * Throws a RangeError if the table would be larger than the device can bind at once.
   */
  append(row: Float32Array): number {
    const { size, width } = this;
    if (size === this.#room.shape[0]) this.#grow();
    const { storage } = this.#room;
    using added = viewOf(storage, { first: size * width, shape: [1, width] });
    added.write(row);
    this.#rows.dispose();
    this.#rows = viewOf(storage, { first: 0, shape: [size + 1, width] });
    return size;
  }

  /** Reads all rows [N, width]. Waits for the GPU. */
  read(): Promise<Float32Array> {
    return this.#rows.read();
  }

  /** Releases the rows. */
  [Symbol.dispose](): void {
    this.#rows.dispose();
    this.#room.dispose();
  }

  get #mostRows(): number {
    return Math.floor(this.#device.profile.maxBindingBytes / (4 * this.width));
  }

  /** Makes room for a quarter more rows, so that the copies for many that come one by one are few. */
  #grow(): void {
    const { size, width } = this;
    const wanted = size + 16 + Math.floor(size / 4);
    const room = this.#allocate(Math.max(size + 1, Math.min(wanted, this.#mostRows)));
    using begin = viewOf(room.storage, { first: 0, shape: [size, width] });
    this.#device.copy(this.#rows, begin);
    this.#room.dispose();
    this.#room = room;
  }

  #allocate(rows: number): Tensor {
    const { width } = this;
    if (rows > this.#mostRows) {
      throw new RangeError(
        `Cannot hold a table ${formatShape([rows, width])} of ${rows * width * 4} bytes: this ` +
          `device binds at most ${this.#device.profile.maxBindingBytes}, which is ` +
          `${this.#mostRows} rows; a low-rank bank takes less`,
      );
    }
    return this.#device.unscoped(() => this.#device.empty([rows, width]));
  }
}

/** A tensor over a part of a buffer, from the element `first` on. */
function viewOf(storage: Storage, part: { first: number; shape: [number, number] }): Tensor {
  storage.retain();
  return new Tensor(storage, { shape: part.shape, dtype: "f32", offset: part.first * 4 });
}
