/**
 * The bank that keeps a few coefficients of each snippet (GMem, section 4.3).
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { l2Normalize } from "../kernels/l2_normalize/mod.ts";
import { linear } from "../kernels/linear/mod.ts";
import {
  type AddedRecord,
  checkAddedSnippet,
  checkMix,
  type SnippetMix,
  type SnippetRange,
} from "./bank.ts";
import { BankFile, type LowRankSet, writeLowRankBank } from "./file.ts";
import { externalCoefficients, findFactorProblem, mixRows, type SharedFactors } from "./svd.ts";
import { rowsInMemory, TableBank } from "./table_bank.ts";

/**
 * A low-rank bank: snippet i is c_i Bᵀ + μ (GMem, equation 9), normalised. On the GPU are the
 * coefficients [N, r], the basis [d, r] and the mean [d]: 4·(N r + d r + d) bytes.
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

  private constructor(device: Device, bank: LowRankSet) {
    const { mean, basis, singularValues, coefficients } = bank;
    const dim = mean.length, rank = singularValues.length;
    if (basis.length !== dim * rank) {
      throw new TypeError(
        `Cannot make a low-rank bank: the basis has ${basis.length} values, expected ` +
          `${dim * rank} for [${dim}, ${rank}]`,
      );
    }
    super(device, { dim, source: rowsInMemory(coefficients, rank), records: bank });
    this.rank = rank;
    this.#factors = { mean, basis, singularValues };
    this.#basis = device.unscoped(() => device.tensor(basis, [dim, rank]));
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
    return new LowRankBank(device, bank);
  }

  /**
   * Loads a bank from a safetensors file.
   *
   * Throws a CheckpointError that says what is wrong with the file, and a TypeError if it
   * holds a full bank.
   */
  static load(device: Device, path: string): LowRankBank {
    using file = BankFile.open(path);
    return new LowRankBank(device, file.readLowRank());
  }

  /** Returns snippets [B, d] by their indices [B]; see `Bank.gather`. 2·B·d·r operations. */
  override gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    return this.#basis.device.scope(() => this.#reconstruct(this.takeRows(indices)));
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
    writeLowRankBank(path, {
      ...this.records,
      ...this.#factors,
      coefficients: await this.readRows(),
    });
  }

  #reconstruct(coefficients: Tensor): Tensor {
    return l2Normalize(linear(coefficients, this.#basis, { bias: this.#mean }));
  }

  /** Releases what is on the GPU. */
  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#basis.dispose();
    this.#mean.dispose();
  }
}
