/**
 * The bank that keeps a few coefficients of each snippet (GMem, section 4.3).
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { Tensor } from "../kernels/core/tensor.ts";
import { l2Normalize } from "../kernels/l2_normalize/mod.ts";
import { linear } from "../kernels/linear/mod.ts";
import { MAX_FUSED_RANK, padBasis, reconstruct } from "../kernels/reconstruct/mod.ts";
import {
  type AddedRecord,
  type BankRecords,
  checkAddedSnippet,
  checkIndices,
  checkMix,
  type SnippetMix,
  type SnippetRange,
} from "./bank.ts";
import { type LowRankSet, LowRankWriter } from "./bank_writer.ts";
import { type CoefficientStorage, raiseColumnMaxima } from "./coefficient_format.ts";
import { BankFile, type CompressionLoss } from "./file.ts";
import { projectRows } from "./projection.ts";
import type { RowSource } from "./row_table.ts";
import { type Span, spanOf } from "./span.ts";
import { externalCoefficients, findFactorProblem, mixRows, type SharedFactors } from "./svd.ts";
import { rowsInMemory, TableBank } from "./table_bank.ts";

/**
 * A low-rank bank: snippet i is c_i Bᵀ + μ (GMem, equation 9), normalised. On the GPU are the
 * coefficients [N, r], the basis [d, r] and the mean [d]: 4·(N r + d r + d) bytes, 328 MB for
 * N = 1.28 million, d = 768 and r = 64. In memory are the basis, the mean and, while the bank is loaded
 * or saved, 16 MB of the coefficients. The first search adds a basis on the GPU, 4·r² bytes, and axes in
 * memory, 8·r·d.
 *
 * @example
 * ```ts
 * import { Device, factorize, LowRankBank } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const factors = await factorize({ size: 4, dim: 2, rows }, { rank: 1 });
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = LowRankBank.from(device, factors);
 * using gathered = bank.gather([2]); // [0.6, 0.8], as far as one number tells it
 * console.log(Array.from(await gathered.read(), (x) => x.toFixed(2))); // [ "0.58", "0.81" ]
 * ```
 */
export class LowRankBank extends TableBank {
  /** Coefficients r of a snippet. */
  override readonly rank: number;
  /** How {@linkcode LowRankBank.save} stores the coefficients; on the GPU they are f32. */
  readonly storage: CoefficientStorage;
  /** What was lost when the bank was made, of the snippets that it had then; undefined if not known. */
  readonly loss: CompressionLoss | undefined;
  readonly #factors: SharedFactors;
  readonly #decoder: Decoder;
  /** Made for the first search. */
  #inSpan: { readonly span: Span; readonly decoder: Decoder } | undefined;

  private constructor(
    device: Device,
    bank: {
      shared: SharedFactors;
      source: RowSource;
      records: BankRecords;
      kept: Pick<LowRankSet, "storage" | "loss">;
    },
  ) {
    const { shared: { mean, basis, singularValues }, source, records, kept } = bank;
    const dim = mean.length, rank = singularValues.length;
    if (basis.length !== dim * rank) {
      throw new TypeError(
        `Cannot make a low-rank bank: the basis has ${basis.length} values, expected ` +
          `${dim * rank} for [${dim}, ${rank}]`,
      );
    }
    using opened = new DisposableStack();
    const decoder = opened.use(new Decoder(device, { mean, basis }));
    super(device, { dim, source, records });
    this.rank = rank;
    this.storage = kept.storage ?? "f32";
    this.loss = kept.loss;
    this.#factors = { mean, basis, singularValues };
    this.#decoder = decoder;
    opened.move();
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
    return new LowRankBank(device, { shared, source, records: bank, kept: bank });
  }

  /**
   * Loads a bank from a safetensors file, 16 MB of coefficients at a time: from one at a path, or an open one,
   * which stays open.
   *
   * Throws a CheckpointError that says what is wrong with the file, and a TypeError if it
   * holds a full bank.
   */
  static load(device: Device, file: string | BankFile): LowRankBank {
    if (typeof file === "string") {
      using opened = BankFile.open(file);
      return LowRankBank.load(device, opened);
    }
    const shared = file.readShared();
    const source = {
      size: file.size,
      width: shared.singularValues.length,
      rows: (first: number, count: number) => file.coefficients(first, count),
    };
    return new LowRankBank(device, { shared, source, records: file.records, kept: file });
  }

  /**
   * Returns snippets [B, d] by their indices [B]; see `Bank.gather`. 2·B·d·r operations in one kernel;
   * coefficients in several tables, which the device cannot bind at once, are gathered first.
   */
  override gather(indices: Uint32Array | readonly number[] | Tensor): Tensor {
    const { device } = this.#decoder, table = this.wholeTable;
    return device.scope(() => {
      if (table === undefined || this.rank > MAX_FUSED_RANK) {
        return this.#decoder.rows(this.takeRows(indices));
      }
      if (indices instanceof Tensor) return this.#decoder.rows(table, indices);
      const checked = checkIndices(indices, this.size);
      return this.#decoder.rows(table, device.tensor(checked, [checked.length]));
    });
  }

  /** Yields all snippets in order, reconstructed on the GPU; see `Bank.ranges`. */
  override ranges(most: number): Generator<SnippetRange> {
    return this.#decodedRanges(this.#decoder, most);
  }

  /**
   * Returns any vectors [n, d] on orthonormal axes of the span of the basis and the mean, [n, P]: P is
   * at most r + 1 and d, rounded up to a multiple of 4. Their products with what
   * {@linkcode rangesInSpan} yields are those with the snippets themselves.
   *
   * The first use of either looks for the axes, 4·d·r² operations on the CPU.
   *
   * Throws a TypeError if the vectors are not whole rows [d].
   */
  inSpan(vectors: Float32Array): Float32Array {
    const { axes: directions } = this.#searched.span;
    return new Float32Array(projectRows(vectors, { mean: new Float64Array(this.dim), directions }));
  }

  /**
   * Yields all snippets in order on the axes of {@linkcode inSpan}, [count, P] of norm 1, about `most`
   * of them at a time: 2·N·P·r operations instead of 2·N·d·r. The caller disposes each.
   */
  rangesInSpan(most: number): Generator<SnippetRange> {
    return this.#decodedRanges(this.#searched.decoder, most);
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

  /**
   * Writes the bank to a file, its coefficients as they are stored; see `ExtensibleBank.save`. With `int8`
   * the steps of a column grow where a snippet was added that has more of it than all others.
   *
   * Throws a RangeError also if `f16` cannot hold a coefficient.
   */
  override async save(path: string): Promise<void> {
    const { records, size, rank, storage, loss } = this, columnMaxima = new Float64Array(rank);
    if (storage === "int8") {
      for await (const coefficients of this.readRows()) {
        raiseColumnMaxima(columnMaxima, coefficients);
      }
    }
    using writer = new LowRankWriter(path, {
      ...records,
      size,
      shared: this.#factors,
      storage,
      columnMaxima,
      loss,
    });
    for await (const coefficients of this.readRows()) writer.append(coefficients);
    writer.commit();
  }

  get #searched(): { readonly span: Span; readonly decoder: Decoder } {
    if (this.#inSpan === undefined) {
      const span = spanOf(this.#factors);
      this.#inSpan = { span, decoder: new Decoder(this.#decoder.device, span) };
    }
    return this.#inSpan;
  }

  *#decodedRanges(decoder: Decoder, most: number): Generator<SnippetRange> {
    for (const { first, rows: coefficients } of this.rowRanges(most)) {
      try {
        yield { first, rows: decoder.device.scope(() => decoder.rows(coefficients)) };
      } finally {
        coefficients.dispose();
      }
    }
  }

  /** Releases what is on the GPU. */
  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#decoder[Symbol.dispose]();
    this.#inSpan?.decoder[Symbol.dispose]();
  }
}

/** A basis B [D, r] and a mean μ [D] on the GPU. */
class Decoder implements Disposable {
  readonly device: Device;
  readonly #rank: number;
  readonly #basis: Tensor;
  readonly #mean: Tensor;
  readonly #held: DisposableStack;

  constructor(device: Device, factors: Pick<SharedFactors, "basis" | "mean">) {
    const { basis, mean } = factors;
    const width = mean.length, rank = basis.length / width;
    this.device = device;
    this.#rank = rank;
    const stored = rank > MAX_FUSED_RANK ? basis : padBasis(basis, rank);
    using opened = new DisposableStack();
    const tensor: Device["tensor"] = (...of) =>
      opened.use(device.unscoped(() => device.tensor(...of)));
    this.#basis = tensor(stored, [width, stored.length / width]);
    this.#mean = tensor(mean, [width]);
    this.#held = opened.move();
  }

  /** Returns the normalised c Bᵀ + μ [n, D] of coefficients [N, r], all or those of some indices. */
  rows(coefficients: Tensor, indices?: Tensor): Tensor {
    if (this.#rank > MAX_FUSED_RANK) {
      return l2Normalize(linear(coefficients, this.#basis, { bias: this.#mean }));
    }
    const factors = { basis: this.#basis, mean: this.#mean };
    return reconstruct(coefficients, indices === undefined ? factors : { ...factors, indices });
  }

  [Symbol.dispose](): void {
    this.#held.dispose();
  }
}
