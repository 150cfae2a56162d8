/**
 * Full banks made low-rank, from file to file.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { LowRankWriter } from "./bank_writer.ts";
import {
  CoefficientFormat,
  type CoefficientStorage,
  raiseColumnMaxima,
} from "./coefficient_format.ts";
import type { BankFile, CompressionLoss } from "./file.ts";
import { normalizeSnippets } from "./normalize.ts";
import { fitFactors, type FittedFactors, type KeptPart, reconstructRows } from "./svd.ts";

/** How {@linkcode compressBank} keeps a bank. */
export type CompressBankOptions = KeptPart & {
  /** The bank file to write. */
  readonly out: string;
  /** How coefficients are stored: `f32` by default, `f16`, or `int8` with a scale for each column. */
  readonly storage?: CoefficientStorage | undefined;
  /** Computes the large products, in a tenth of the time that the CPU takes. */
  readonly device?: Device | undefined;
  /** Called with the number of snippets read so far, and of all: twice those of the bank, thrice for `int8`. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
};

/** What {@linkcode compressBank} made, and what was lost. */
export interface Compression extends CompressionLoss {
  /** Coefficients r of a snippet. */
  readonly rank: number;
  /** How coefficients are stored. */
  readonly storage: CoefficientStorage;
  /** Bytes of the file before and after. */
  readonly bytes: { readonly before: number; readonly after: number };
}

/** Pieces of a bank that are compared, and snippets in each. */
const COMPARED_PIECES = 16, PIECE_ROWS = 128;

/**
 * Writes a low-rank bank of a bank's snippets, and measures what it loses; the loss is kept in the
 * file, as are records and shard. Reads the bank two times, three for `int8`.
 *
 * Memory does not depend on the number of snippets: it is that of `fitFactors`, 64 d² bytes and pieces
 * of snippets, 0.28 GB for d = 768 with a device, and the pieces of coefficients. Beside it, the records
 * of the bank and what the runtime takes.
 *
 * Throws a RangeError for a rank or energy that the bank does not have, as `factorize` does, and a
 * CheckpointError if the bank cannot be read or the disk refuses.
 *
 * @example
 * ```ts
 * import { BankFile, compressBank, writeFeatureBank } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0.8, 0.6);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const folder = Deno.makeTempDirSync(), out = `${folder}/bank.safetensors`;
 * await writeFeatureBank({ size: 4, dim: 2, rows }, { out });
 * {
 *   using file = BankFile.open(out);
 *   const made = await compressBank(file, { energy: 0.9, out: `${folder}/low.safetensors` });
 *   console.log(made.rank, made.energy.toFixed(3), made.leastCosine.toFixed(3)); // 1 0.929 0.996
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function compressBank(
  file: BankFile,
  options: CompressBankOptions,
): Promise<Compression> {
  const { out, storage = "f32", onProgress } = options;
  const { size } = file;
  const before = Deno.statSync(file.path).size;
  const total = (storage === "int8" ? 3 : 2) * size;
  const fitted = await fitFactors(file, {
    ...options,
    onProgress: (done) => onProgress?.(done, total),
  });
  const { shared, energy } = fitted;
  const rank = shared.singularValues.length;
  let done = size;
  const columnMaxima = new Float64Array(rank);
  if (storage === "int8") {
    for await (const { count, coefficients } of fitted.coefficients()) {
      raiseColumnMaxima(columnMaxima, coefficients);
      onProgress?.(done += count, total);
    }
  }
  const loss = {
    energy,
    ...measureLoss(file, {
      fitted,
      format: new CoefficientFormat(storage, { rank, columnMaxima }),
    }),
  };
  using writer = new LowRankWriter(out, {
    ...file.records,
    size,
    shard: file.shard,
    shared,
    storage,
    columnMaxima,
    loss,
  });
  for await (const { count, coefficients } of fitted.coefficients()) {
    writer.append(coefficients);
    onProgress?.(done += count, total);
  }
  writer.commit();
  return { rank, storage, ...loss, bytes: { before, after: Deno.statSync(out).size } };
}

/** What was lost, as lines for a person. */
export function describeCompression(made: Compression): string[] {
  const { rank, storage, bytes, compared, storageLoss } = made;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  return [
    `rank      ${rank} keeps ${percent(made.energy)} of the energy`,
    `storage   ${storage}, ${percent(bytes.after / bytes.before)} of ${bytes.before} bytes`,
    `cosine    ${made.meanCosine.toFixed(6)} to the snippets before in the mean, ` +
    `${made.leastCosine.toFixed(6)} at least, of ${compared}`,
    `error     ${made.rmsError.toPrecision(3)} rms, ${made.largestError.toPrecision(3)} at most, ` +
    "of snippets of length 1",
    `          ${storageLoss.rmsError.toPrecision(3)} rms, ` +
    `${storageLoss.largestError.toPrecision(3)} at most of it by ${storage}`,
  ];
}

/** Compares snippets, in pieces spread over the bank, with what is kept of them. */
function measureLoss(
  file: BankFile,
  kept: { readonly fitted: FittedFactors; readonly format: CoefficientFormat },
): Omit<CompressionLoss, "energy"> {
  const { fitted: { shared, project }, format } = kept;
  const { size, dim } = file;
  const pieces = Math.min(COMPARED_PIECES, Math.ceil(size / PIECE_ROWS));
  let cosines = 0, leastCosine = 1, compared = 0;
  const whole = new ErrorSum(), stored = new ErrorSum();
  for (let piece = 0; piece < pieces; piece++) {
    const first = Math.floor(piece * size / pieces);
    const count = Math.min(PIECE_ROWS, Math.floor((piece + 1) * size / pieces) - first);
    const rows = file.rows(first, count), coefficients = project(rows);
    const rebuilt = (values: Float32Array) =>
      normalizeSnippets(reconstructRows(values, shared), { dim, firstIndex: first });
    const exact = rebuilt(coefficients), rounded = rebuilt(format.rounded(coefficients));
    for (let row = 0; row < count; row++) {
      let product = 0, wholeSquares = 0, storedSquares = 0;
      for (let i = row * dim; i < (row + 1) * dim; i++) {
        product += rows[i]! * rounded[i]!;
        wholeSquares += (rows[i]! - rounded[i]!) ** 2;
        storedSquares += (exact[i]! - rounded[i]!) ** 2;
      }
      cosines += product;
      leastCosine = Math.min(leastCosine, product);
      whole.add(wholeSquares);
      stored.add(storedSquares);
    }
    compared += count;
  }
  return {
    meanCosine: cosines / compared,
    leastCosine,
    ...whole.result(),
    storageLoss: stored.result(),
    compared,
  };
}

/** Mean square and maximum of lengths, of which the squares come one by one. */
class ErrorSum {
  #squares = 0;
  #largest = 0;
  #count = 0;

  add(squares: number): void {
    this.#squares += squares;
    this.#largest = Math.max(this.#largest, squares);
    this.#count++;
  }

  result(): { rmsError: number; largestError: number } {
    return {
      rmsError: Math.sqrt(this.#squares / this.#count),
      largestError: Math.sqrt(this.#largest),
    };
  }
}
