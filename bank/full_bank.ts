/**
 * The bank that keeps every snippet whole.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import {
  type AddedRecord,
  type BankRecords,
  checkAddedSnippet,
  checkMix,
  type SnippetMix,
  type SnippetRange,
  type SnippetSet,
} from "./bank.ts";
import { BankWriter } from "./bank_writer.ts";
import { BankFile } from "./file.ts";
import { lerpSnippets } from "./interpolate.ts";
import { findSnippetProblem } from "./normalize.ts";
import type { RowSource } from "./row_table.ts";
import { rowsInMemory, TableBank } from "./table_bank.ts";

/**
 * A full bank: snippets [N, d] on the GPU, 4·N·d bytes.
 *
 * @example
 * ```ts
 * import { Device, FullBank } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, -1) });
 * using snippets = bank.gather([1, 1, 0]);
 * console.log(snippets.shape, await snippets.read());
 * // [ 3, 2 ] Float32Array(6) [ 0, -1, 0, -1, 1, 0 ]
 * ```
 */
export class FullBank extends TableBank {
  /** A full bank has no rank. */
  override readonly rank: undefined = undefined;

  private constructor(device: Device, bank: { source: RowSource; records: BankRecords }) {
    super(device, { dim: bank.source.width, ...bank });
  }

  /**
   * Makes a bank of snippets in memory.
   *
   * Throws a TypeError if the snippets are not whole rows or the records do not fit them, and a
   * RangeError that names the snippet if one is not finite or not of norm 1.
   */
  static from(device: Device, bank: SnippetSet): FullBank {
    const problem = findSnippetProblem(bank.snippets, { dim: bank.dim });
    if (problem !== undefined) throw new RangeError(`Cannot make a bank: ${problem}`);
    return new FullBank(device, { source: rowsInMemory(bank.snippets, bank.dim), records: bank });
  }

  /**
   * Loads a bank from a safetensors file, 16 MB at a time: from one at a path, or an open one, which stays open.
   *
   * Throws a CheckpointError that says what is wrong with the file, and a TypeError if it holds a
   * low-rank bank.
   */
  static load(device: Device, file: string | BankFile): FullBank {
    if (typeof file === "string") {
      using opened = BankFile.open(file);
      return FullBank.load(device, opened);
    }
    if (file.rank !== undefined) {
      throw new TypeError(
        `Cannot load bank ${JSON.stringify(file.path)} as a full one: its rank is ${file.rank}, ` +
          "expected a full bank",
      );
    }
    const { size, dim: width } = file;
    const source = {
      size,
      width,
      rows: (first: number, count: number) => file.rows(first, count),
    };
    return new FullBank(device, { source, records: file.records });
  }

  /** Returns snippets [B, d] by their indices [B]; see `Bank.gather`. */
  override gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    return this.takeRows(indices);
  }

  /** Yields views of all snippets in order; see `Bank.ranges`. */
  override ranges(most: number): Generator<SnippetRange> {
    return this.rowRanges(most);
  }

  /** Adds the snippet [d] of a new image; see `ExtensibleBank.addExternal`. */
  override addExternal(snippet: Float32Array, record: AddedRecord = {}): number {
    checkAddedSnippet(snippet, this.dim);
    return this.addRow(snippet, record);
  }

  /**
   * Adds the normalised mix of two snippets; see `ExtensibleBank.addInternal`.
   *
   * Throws a RangeError also if the mix is zero, half of each of two opposite snippets.
   */
  override async addInternal(mix: SnippetMix, record: AddedRecord = {}): Promise<number> {
    checkMix(mix, this.size);
    const { first, second } = await this.readPair(mix);
    return this.addRow(lerpSnippets(second, first, { alpha: mix.firstShare }), record);
  }

  /** Writes the bank to a file; see `ExtensibleBank.save`. */
  override async save(path: string): Promise<void> {
    const { dim, size } = this;
    using writer = new BankWriter(path, { ...this.records, dim, size });
    for await (const rows of this.readRows()) writer.append(rows);
    writer.commit();
  }
}
