/**
 * What banks that hold one row a snippet have in common: the rows, and the records beside them.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { AddedRecord, BankRecords, ExtensibleBank, SnippetMix } from "./bank.ts";
import type { EncoderDescription, EncoderWeight } from "./encoders/encoder.ts";
import { recordsOf, RecordStore } from "./records.ts";
import { type RowRange, type RowSource, RowTable } from "./row_table.ts";

/** A row for each snippet, and what is known of it. */
export interface TableBankOptions {
  /** Length d of a snippet. */
  readonly dim: number;
  /** What the bank holds of each snippet [N, width]. */
  readonly source: RowSource;
  /** What belongs to the snippets. */
  readonly records: BankRecords;
}

/**
 * Rows on the GPU, records in memory; the kinds of banks say what a row means.
 *
 * @example
 * ```ts
 * import { Device, FullBank, type TableBank } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const set = { dim: 2, snippets: Float32Array.of(1, 0), names: ["east"] };
 * using bank: TableBank = FullBank.from(device, set); // or a LowRankBank
 * bank.addExternal(Float32Array.of(0, 1), { name: "north" });
 * console.log(bank.size, bank.names); // 2 [ "east", "north" ]
 * ```
 */
export abstract class TableBank implements ExtensibleBank {
  /** Length d of a snippet. */
  readonly dim: number;
  readonly #table: RowTable;
  readonly #records: RecordStore;

  /**
   * Uploads the rows and copies the records.
   *
   * Throws a TypeError if they do not fit each other, and what the source of the rows throws.
   */
  constructor(device: Device, options: TableBankOptions) {
    const { dim, source, records } = options;
    this.dim = dim;
    this.#records = new RecordStore(records, { size: source.size, dim });
    this.#table = new RowTable(device, source);
  }

  /** Rank r of a low-rank bank; undefined for a full one. */
  abstract readonly rank: number | undefined;

  /** Number of snippets N. */
  get size(): number {
    return this.#table.size;
  }

  /** The encoder that made the snippets, or undefined if it is not known. */
  get encoder(): EncoderDescription | undefined {
    return this.#records.encoder;
  }

  /** What that encoder was fitted to, by name. */
  get encoderWeights(): ReadonlyMap<string, EncoderWeight> {
    return this.#records.encoderWeights;
  }

  /** Side in pixels of the images that it was given, or undefined if it is not known. */
  get imageSize(): number | undefined {
    return this.#records.imageSize;
  }

  /** Names of the images [N], or undefined. */
  get names(): readonly string[] | undefined {
    return this.#records.names;
  }

  /** Class of each image [N], −1 for an image without, or undefined. */
  get labels(): Int32Array | undefined {
    return this.#records.labels;
  }

  /** Names of the classes; empty if there are none. */
  get classes(): readonly string[] {
    return this.#records.classes;
  }

  /** A text for each image [N], or undefined. */
  get texts(): readonly string[] | undefined {
    return this.#records.texts;
  }

  /** How often retrieval by noise chooses each snippet [N], or undefined. */
  get frequencies(): Float32Array | undefined {
    return this.#records.frequencies;
  }

  /** Returns snippets [B, d] by their indices [B]; see `Bank.gather`. */
  abstract gather(indices: Uint32Array | readonly number[] | Tensor): Tensor;

  /** Yields all snippets in order; see `Bank.ranges`. */
  abstract ranges(most: number): Generator<RowRange>;

  /** Adds the snippet [d] of a new image; see `ExtensibleBank.addExternal`. */
  abstract addExternal(snippet: Float32Array, record?: AddedRecord): number;

  /** Adds the mix of two snippets; see `ExtensibleBank.addInternal`. */
  abstract addInternal(mix: SnippetMix, record?: AddedRecord): Promise<number>;

  /** Writes the bank to a file; see `ExtensibleBank.save`. */
  abstract save(path: string): Promise<void>;

  /** Returns one snippet [d]; see `Bank.snippet`. */
  async snippet(index: number): Promise<Float32Array> {
    using row = this.gather([index]);
    return await row.read();
  }

  /** Releases what is on the GPU. */
  [Symbol.dispose](): void {
    this.#table[Symbol.dispose]();
  }

  /** Takes rows [B, width] by their indices [B], in the caller's scope. */
  protected takeRows(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    return this.#table.gather(indices);
  }

  /**
   * Yields views of all rows in order, `most` of them at a time, rounded down to a multiple of 64, of which one is
   * the least. The caller disposes each view.
   */
  protected rowRanges(most: number): Generator<RowRange> {
    return this.#table.ranges(most);
  }

  /** Reads two rows. Waits for the GPU. */
  protected async readPair(
    mix: SnippetMix,
  ): Promise<{ first: Float32Array; second: Float32Array }> {
    using pair = this.takeRows([mix.first, mix.second]);
    const rows = await pair.read();
    const width = rows.length / 2;
    return { first: rows.subarray(0, width), second: rows.subarray(width) };
  }

  /** All rows [N, width] as one tensor, where the device can bind them at once. */
  protected get wholeTable(): Tensor | undefined {
    return this.#table.whole;
  }

  /** Reads all rows in order, 16 MB at a time. Waits for the GPU. */
  protected readRows(): AsyncGenerator<Float32Array> {
    return this.#table.read();
  }

  /** Adds a row [width] with its record and returns its index. */
  protected addRow(row: Float32Array, record: AddedRecord): number {
    this.#records.checkAdded(record);
    const index = this.#table.append(row);
    this.#records.add(index, record);
    return index;
  }

  /** Everything beside the snippets, for a file. */
  protected get records(): BankRecords {
    return recordsOf(this);
  }
}

/** Rows [N, width] in memory, as what a table is filled with. */
export function rowsInMemory(values: Float32Array, width: number): RowSource {
  return {
    size: values.length / width,
    width,
    rows: (first, count) => values.subarray(first * width, (first + count) * width),
  };
}
