/**
 * Full banks made low-rank, from file to file.
 *
 * @module
 */

import { BankFile, type CoefficientStorage, LowRankWriter } from "./file.ts";
import { fitFactors, type KeptPart, readRows } from "./svd.ts";

/** How {@linkcode compressBank} keeps a bank. */
export type CompressOptions = KeptPart & {
  /** The bank file to write. */
  readonly path: string;
  /** How coefficients are stored: `f32` by default, `f16`, or `int8` with a scale for each column. */
  readonly storage?: CoefficientStorage;
  /** Called with the number of snippets read so far, of {@linkcode compressionReads}. */
  readonly onProgress?: (done: number) => void;
};

/** What {@linkcode compressBank} made, and what was lost. */
export interface Compression {
  /** Coefficients r of a snippet. */
  readonly rank: number;
  /** Share of the sum of squared singular values that was kept. */
  readonly energy: number;
  /** How coefficients are stored. */
  readonly storage: CoefficientStorage;
  /** Mean cosine between a snippet and what the new bank gives for it. */
  readonly meanCosine: number;
  /** Least of those cosines. */
  readonly leastCosine: number;
  /** Number of snippets that were compared, spread over the bank. */
  readonly compared: number;
  /** Bytes of the file before and after. */
  readonly bytes: { readonly before: number; readonly after: number };
}

/** Pieces of a bank that are compared, and snippets in each. */
const COMPARED_PIECES = 16, PIECE_ROWS = 128;

/** How many snippets {@linkcode compressBank} reads in all from a bank of `size`. */
export function compressionReads(size: number, storage: CoefficientStorage = "f32"): number {
  return (storage === "int8" ? 3 : 2) * size;
}

/**
 * Writes a low-rank bank of a bank's snippets, and measures what it loses. Reads the bank two times,
 * three for `int8`, 4,096 snippets at a time: memory is 16 d² bytes whatever its size.
 *
 * Throws a RangeError for a rank or energy that the bank does not have, as `factorize` does, and a
 * CheckpointError if the bank cannot be read or the disk refuses.
 *
 * @example
 * ```ts ignore
 * using file = BankFile.open("bank.safetensors");
 * const { rank, meanCosine } = await compressBank(file, { energy: 0.9, path: "low.safetensors" });
 * ```
 */
export async function compressBank(
  file: BankFile,
  options: CompressOptions,
): Promise<Compression> {
  const { path, storage = "f32", onProgress } = options;
  const { size } = file;
  const before = Deno.statSync(file.path).size;
  const { shared, energy, project } = await fitFactors(file, options);
  const rank = shared.singularValues.length;
  let done = size;
  const columnMaxima = new Float64Array(rank);
  if (storage === "int8") {
    for await (const { rows } of readRows(file)) {
      for (const [i, value] of project(rows).entries()) {
        const column = i % rank;
        columnMaxima[column] = Math.max(columnMaxima[column]!, Math.abs(value));
      }
      onProgress?.(done += rows.length / file.dim);
    }
  }
  using writer = new LowRankWriter(path, {
    ...file.records,
    size,
    shared,
    storage,
    columnMaxima,
  });
  for await (const { rows } of readRows(file)) {
    writer.append(project(rows));
    onProgress?.(done += rows.length / file.dim);
  }
  writer.commit();
  using written = BankFile.open(path);
  return {
    rank,
    energy,
    storage,
    ...compareBanks(file, written),
    bytes: { before, after: Deno.statSync(path).size },
  };
}

/** Compares snippets of two banks of one size, in pieces spread over them. */
function compareBanks(
  before: BankFile,
  after: BankFile,
): Pick<Compression, "meanCosine" | "leastCosine" | "compared"> {
  const { size, dim } = before;
  const pieces = Math.min(COMPARED_PIECES, Math.ceil(size / PIECE_ROWS));
  let sum = 0, least = 1, compared = 0;
  for (let piece = 0; piece < pieces; piece++) {
    const first = Math.floor(piece * size / pieces);
    const count = Math.min(PIECE_ROWS, Math.floor((piece + 1) * size / pieces) - first);
    const rows = before.rows(first, count), others = after.rows(first, count);
    for (let row = 0; row < count; row++) {
      let product = 0;
      for (let i = row * dim; i < (row + 1) * dim; i++) product += rows[i]! * others[i]!;
      sum += product;
      least = Math.min(least, product);
    }
    compared += count;
  }
  return { meanCosine: sum / compared, leastCosine: least, compared };
}
