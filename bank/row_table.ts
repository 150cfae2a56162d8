/**
 * A table of rows on the GPU that can grow.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { formatShape, Tensor, viewOf } from "../kernels/core/tensor.ts";
import { gatherRowsOfParts } from "../kernels/embed_rows/mod.ts";
import { checkIndices } from "./bank.ts";

/** Rows that a bank on the GPU is filled with. */
export interface RowSource {
  /** Number of rows N, at least 1. */
  readonly size: number;
  /** Numbers in a row. */
  readonly width: number;
  /** Reads `count` rows [count, width] from the one of index `first` on. */
  rows(first: number, count: number): Float32Array;
}

/** Rows [count, width] that lie in one part of a table. */
export interface RowRange {
  /** Index of the first row. */
  readonly first: number;
  /** The rows [count, width], a view; the caller disposes it. */
  readonly rows: Tensor;
}

/** A tensor with room for rows, and how many it has. */
interface Part {
  /** Room for rows [capacity, width]. */
  readonly room: Tensor;
  /** The rows there are, a view of the room's first. */
  rows: Tensor;
}

/** Bytes that are read and uploaded at once. */
const UPLOAD_BYTES = 2 ** 24;

/** A view begins at whole blocks of 256 bytes, which 64 rows of any width fill. */
const ROW_BLOCK = 64;

/**
 * Rows of a bank [N, width]: taken by index, added at the end. Lives until it is disposed.
 *
 * Rows of more bytes than the device can bind at once lie in several parts, all full but the last.
 */
export class RowTable implements Disposable {
  /** Numbers in a row. */
  readonly width: number;
  readonly #device: Device;
  readonly #held: Part[] = [];
  #released = false;

  /**
   * Uploads rows [N, width], 16 MB at a time.
   *
   * Throws a TypeError if there are no rows, a RangeError if one row is more than the device can bind
   * at once, and what the source throws.
   */
  constructor(device: Device, source: RowSource) {
    const { size, width } = source;
    this.#device = device;
    this.width = width;
    if (!Number.isInteger(size) || size < 1) {
      throw new TypeError(
        `Cannot make a table of ${size * width} values: expected a positive multiple of the ` +
          `width ${width}`,
      );
    }
    const atOnce = Math.max(1, Math.floor(UPLOAD_BYTES / (4 * width)));
    try {
      while (this.size < size) {
        const first = this.size, count = Math.min(size - first, this.#mostRows);
        const part = this.#addPart(count, count);
        for (let done = 0; done < count; done += atOnce) {
          const rows = Math.min(atOnce, count - done);
          using target = viewOf(part.room, { first: done * width, shape: [rows, width] });
          target.write(source.rows(first + done, rows));
        }
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Number of rows N. */
  get size(): number {
    return this.#parts.reduce((sum, { rows }) => sum + rows.shape[0]!, 0);
  }

  /**
   * Takes rows [B, width] by their indices [B], in the caller's scope.
   *
   * Throws a RangeError for an index on the CPU that the table does not have.
   */
  gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    if (indices instanceof Tensor) return this.#gather(indices);
    const checked = checkIndices(indices, this.size);
    const device = this.#device;
    return device.scope(() => this.#gather(device.tensor(checked, [checked.length])));
  }

  /**
   * Views all rows in order without a copy, `most` of them at a time, rounded down to a multiple of 64, of
   * which one is the least. The caller disposes each view.
   */
  *ranges(most: number): Generator<RowRange> {
    const { width } = this;
    const step = Math.max(ROW_BLOCK, Math.floor(most / ROW_BLOCK) * ROW_BLOCK);
    let before = 0;
    for (const { room, rows } of this.#parts) {
      const size = rows.shape[0]!;
      for (let first = 0; first < size; first += step) {
        const count = Math.min(step, size - first);
        const view = viewOf(room, { first: first * width, shape: [count, width] });
        yield { first: before + first, rows: view };
      }
      before += size;
    }
  }

  /**
   * Adds a row [width] at the end and returns its index.
   *
   * Throws what the GPU throws when there is no room, and the table stays as it was.
   */
  append(row: Float32Array): number {
    const { size, width } = this;
    let part = this.#parts.at(-1)!;
    if (part.rows.shape[0] === this.#mostRows) part = this.#addPart(ROW_BLOCK, 0);
    else if (part.rows.shape[0] === part.room.shape[0]) part = this.#grow(part);
    const count = part.rows.shape[0]!;
    using added = viewOf(part.room, { first: count * width, shape: [1, width] });
    added.write(row);
    part.rows.dispose();
    part.rows = viewOf(part.room, { first: 0, shape: [count + 1, width] });
    return size;
  }

  /** All rows [N, width] as one tensor, where they lie in one part. It is the table's own. */
  get whole(): Tensor | undefined {
    return this.#parts.length === 1 ? this.#parts[0]!.rows : undefined;
  }

  /** Reads all rows in order, 16 MB at a time. Waits for the GPU. */
  async *read(): AsyncGenerator<Float32Array> {
    for (const { rows } of this.ranges(Math.floor(UPLOAD_BYTES / (4 * this.width)))) {
      try {
        yield await rows.read();
      } finally {
        rows.dispose();
      }
    }
  }

  /** Releases the rows; a `ReferenceError` is all that they give from then on. */
  [Symbol.dispose](): void {
    for (const { room, rows } of this.#held) {
      rows.dispose();
      room.dispose();
    }
    this.#held.length = 0;
    this.#released = true;
  }

  get #parts(): Part[] {
    if (!this.#released) return this.#held;
    throw new ReferenceError("Cannot use the rows of a bank: they were released");
  }

  /** Rows that one part can hold. */
  get #mostRows(): number {
    return Math.floor(this.#device.profile.maxBindingBytes / (4 * this.width));
  }

  #gather(indices: Tensor): Tensor {
    return gatherRowsOfParts(this.#parts.map(({ rows }) => rows), indices);
  }

  /** Adds a part at the end with room for `capacity` rows, of which `size` are there. */
  #addPart(capacity: number, size: number): Part {
    const part = this.#makePart(Math.min(capacity, this.#mostRows), size);
    this.#parts.push(part);
    return part;
  }

  /** Makes room for a quarter more rows, so that the copies for many that come one by one are few. */
  #grow(part: Part): Part {
    const size = part.rows.shape[0]!;
    const grown = this.#makePart(Math.min(size + 16 + Math.floor(size / 4), this.#mostRows), size);
    this.#device.copyInto(grown.rows, part.rows);
    part.rows.dispose();
    part.room.dispose();
    this.#parts[this.#parts.length - 1] = grown;
    return grown;
  }

  #makePart(capacity: number, size: number): Part {
    const { width } = this;
    if (capacity < 1) {
      throw new RangeError(
        `Cannot hold a table of rows ${formatShape([1, width])} of ${width * 4} bytes: this ` +
          `device binds at most ${this.#device.profile.maxBindingBytes}`,
      );
    }
    const room = this.#device.unscoped(() => this.#device.empty([capacity, width]));
    return { room, rows: viewOf(room, { first: 0, shape: [size, width] }) };
  }
}
