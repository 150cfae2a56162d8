/**
 * The bank that keeps a few coefficients of each snippet (GMem, section 4.3).
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { Tensor } from "../kernels/core/tensor.ts";
import { l2Normalize } from "../kernels/l2_normalize/mod.ts";
import { linear } from "../kernels/linear/mod.ts";
import { padBasis, reconstruct } from "../kernels/reconstruct/mod.ts";
import {
  type AddedRecord,
  type BankRecords,
  checkAddedSnippet,
  checkIndices,
  checkMix,
  type SnippetMix,
  type SnippetRange,
} from "./bank.ts";
import { BankFile, type LowRankSet, LowRankWriter } from "./file.ts";
import type { RowSource } from "./row_table.ts";
import { externalCoefficients, findFactorProblem, mixRows, type SharedFactors } from "./svd.ts";
import { rowsInMemory, TableBank } from "./table_bank.ts";

/** Coefficients that one kernel reconstructs a snippet from; more take a product and a normalisation. */
const MOST_FUSED = 768;

/**
 * A low-rank bank: snippet i is c_i Bᵀ + μ (GMem, equation 9), normalised. On the GPU are the
 * coefficients [N, r], the basis [d, r] and the mean [d]: 4·(N r + d r + d) bytes, 328 MB for
 * N = 1.28 million, d = 768 and r = 64. In memory are the basis, the mean and, while the bank is loaded
 * or saved, 16 MB of the coefficients.
 *
 * @example
 * ```ts ignore
 * using file = BankFile.open("bank.safetensors");
 * const factors = await factorize(file, { rank: 32 });
 * using bank = LowRankBank.from(device, { ...file.records, ...factors });
 * using snippets = bank.gather([0, 1]);
 * ```
 */
export class LowRankBank extends TableBank {
  /** Coefficients r of a snippet. */
  readonly rank: number;
  readonly #factors: SharedFactors;
  readonly #basis: Tensor;
  readonly #mean: Tensor;

  private constructor(
    device: Device,
    bank: { shared: SharedFactors; source: RowSource; records: BankRecords },
  ) {
    const { shared: { mean, basis, singularValues }, source, records } = bank;
    const dim = mean.length, rank = singularValues.length;
    if (basis.length !== dim * rank) {
      throw new TypeError(
        `Cannot make a low-rank bank: the basis has ${basis.length} values, expected ` +
          `${dim * rank} for [${dim}, ${rank}]`,
      );
    }
    super(device, { dim, source, records });
    this.rank = rank;
    this.#factors = { mean, basis, singularValues };
    const columns = rank > MOST_FUSED ? rank : 4 * Math.ceil(rank / 4);
    const stored = rank > MOST_FUSED ? basis : padBasis(basis, rank);
    this.#basis = device.unscoped(() => device.tensor(stored, [dim, columns]));
    this.#mean = device.unscoped(() => device.tensor(mean, [dim]));
  }

  /**
   * Makes a bank of factors in memory, such as `factorize` returns, and of records.
   *
   * Throws a TypeError if the factors or the records do not fit each other, and a RangeError if a
   * value is not finite or a singular value is not positive.
   */
  static from(device: Device, bank: LowRankSet): LowRankBank {
    const problem = findFactorProblem(bank);
    if (problem !== undefined) {
      throw new RangeError(`Cannot make a low-rank bank: ${problem.state}`);
    }
    const { coefficients, ...shared } = bank;
    const source = rowsInMemory(coefficients, bank.singularValues.length);
    return new LowRankBank(device, { shared, source, records: bank });
  }

  /**
   * Loads a bank from a safetensors file, 16 MB of coefficients at a time.
   *
   * Throws a CheckpointError that says what is wrong with the file, and a TypeError if it
   * holds a full bank.
   */
  static load(device: Device, path: string): LowRankBank {
    using file = BankFile.open(path);
    const shared = file.readShared();
    const source = {
      size: file.size,
      width: shared.singularValues.length,
      rows: (first: number, count: number) => file.coefficients(first, count),
    };
    return new LowRankBank(device, { shared, source, records: file.records });
  }

  /**
   * Returns snippets [B, d] by their indices [B]; see `Bank.gather`. 2·B·d·r operations in one kernel;
   * coefficients in several tables, which the device cannot bind at once, are gathered first.
   */
  override gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    const { device } = this.#basis, table = this.wholeTable;
    return device.scope(() => {
      if (table === undefined || this.rank > MOST_FUSED) {
        return this.#reconstruct(this.takeRows(indices));
      }
      if (indices instanceof Tensor) return this.#reconstruct(table, indices);
      const checked = checkIndices(indices, this.size);
      return this.#reconstruct(table, device.tensor(checked, [checked.length]));
    });
  }

  /** Yields all snippets in order, reconstructed on the GPU; see `Bank.ranges`. */
  override *ranges(most: number): Generator<SnippetRange> {
    for (const { first, rows: coefficients } of this.rowRanges(most)) {
      try {
        yield { first, rows: this.#basis.device.scope(() => this.#reconstruct(coefficients)) };
      } finally {
        coefficients.dispose();
      }
    }
  }

  /**
   * Adds the snippet [d] of a new image, of which the bank keeps (f − μ) B / S (GMem, equation 10);
   * see `ExtensibleBank.addExternal`.
   */
  override addExternal(snippet: Float32Array, record: AddedRecord = {}): number {
    checkAddedSnippet(snippet, this.dim);
    return this.addRow(externalCoefficients(snippet, this.#factors), record);
  }

  /** Adds the mix of two rows of coefficients; see `ExtensibleBank.addInternal`. */
  override async addInternal(mix: SnippetMix, record: AddedRecord = {}): Promise<number> {
    checkMix(mix, this.size);
    const { first, second } = await this.readPair(mix);
    return this.addRow(mixRows(first, second, mix), record);
  }

  /** Writes the bank to a file; see `ExtensibleBank.save`. */
  override async save(path: string): Promise<void> {
    const { size } = this;
    using writer = new LowRankWriter(path, { ...this.records, size, shared: this.#factors });
    for await (const coefficients of this.readRows()) writer.append(coefficients);
    writer.commit();
  }

  #reconstruct(coefficients: Tensor, indices?: Tensor): Tensor {
    if (this.rank > MOST_FUSED) {
      return l2Normalize(linear(coefficients, this.#basis, { bias: this.#mean }));
    }
    const factors = { basis: this.#basis, mean: this.#mean };
    return reconstruct(coefficients, indices === undefined ? factors : { ...factors, indices });
  }

  /** Releases what is on the GPU. */
  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#basis.dispose();
    this.#mean.dispose();
  }
}
