/**
 * Memory banks that PyTorch saved, turned into bank files.
 *
 * @module
 */

import { CheckpointError } from "../kernels/core/errors.ts";
import { elementsOf } from "../kernels/core/tensor.ts";
import {
  describeTorchValue,
  TorchFile,
  TorchTensor,
  type TorchValue,
} from "../model/torch_file.ts";
import { BankWriter, writeLowRankBank } from "./bank_writer.ts";
import { normalizeSnippets } from "./normalize.ts";
import { findFrequencyProblem } from "./records.ts";
import type { LowRankFactors } from "./svd.ts";

/** Numbers that are read at once: 16 MiB of f32. */
const CHUNK_ELEMENTS = 1 << 22;

/** Names of a low-rank bank's parts in the official code. */
const FACTORS = { coefficients: "C", basis: "M", singularValues: "S", mean: "mean" } as const;

/** Where checkpoints of the first GMem release keep their bank, and how often each snippet is chosen. */
const BANK_OF_CHECKPOINT = "memorybank", FREQUENCIES_OF_CHECKPOINT = "memoryfreq";

/** Options of {@linkcode importTorchBank}. */
export interface ImportTorchBankOptions {
  /** The bank file to write, `.safetensors`. */
  readonly out: string;
}

/**
 * Writes the bank in a file of `torch.save` as a bank file: a tensor of features [N, d], normalised
 * here since the official code saves them as the encoder gave them; the dict C, M, S and mean of a
 * low-rank bank, scaled so that its snippets have about norm 1, for the same reason; or `memorybank` of a
 * checkpoint of the first GMem release, with `memoryfreq` as the frequencies of retrieval by noise. A full bank
 * is never in memory as a whole.
 *
 * Throws a `CheckpointError` when the file cannot be read or holds something else, and a RangeError
 * that names the snippet when a feature is zero or not finite.
 *
 * @example
 * ```ts ignore
 * import { BankFile, importTorchBank } from "@gmem/gmem";
 *
 * importTorchBank("memory_bank.pth", { out: "bank.safetensors" });
 * using bank = BankFile.open("bank.safetensors");
 * console.log(bank.size, bank.dim, bank.rank);
 * ```
 */
export function importTorchBank(path: string, options: ImportTorchBankOptions): void {
  using file = TorchFile.open(path);
  const { root } = file;
  const found = root instanceof Map ? root.get(BANK_OF_CHECKPOINT) : root;
  if (found instanceof TorchTensor) {
    const counts = root instanceof Map ? root.get(FREQUENCIES_OF_CHECKPOINT) : undefined;
    return writeFull(found, { ...options, path, counts });
  }
  if (root instanceof Map && Object.values(FACTORS).every((key) => root.has(key))) {
    return writeFactors(root, { ...options, path });
  }
  throw bankError(
    path,
    `it holds ${describeTorchValue(root)}, expected a tensor [N, d], a dict of ` +
      `${Object.values(FACTORS).join(", ")} or one with ${BANK_OF_CHECKPOINT}`,
  );
}

function writeFull(
  features: TorchTensor,
  { path, out, counts }: ImportTorchBankOptions & { path: string; counts: TorchValue | undefined },
): void {
  const [size = 0, dim = 0] = features.shape;
  if (features.shape.length !== 2 || size === 0 || dim === 0) {
    throw bankError(path, `its tensor has shape [${features.shape.join(", ")}], expected [N, d]`);
  }
  const frequencies = readFrequencies(counts, { path, size });
  using writer = new BankWriter(out, { size, dim, frequencies });
  const chunk = Math.max(1, Math.floor(CHUNK_ELEMENTS / dim));
  for (let first = 0; first < size; first += chunk) {
    const count = Math.min(chunk, size - first);
    writer.append(
      normalizeSnippets(features.readRows(first, count), { dim, firstIndex: first, path }),
    );
  }
  writer.commit();
}

function readFrequencies(
  counts: TorchValue | undefined,
  { path, size }: { path: string; size: number },
): Float32Array | undefined {
  if (counts === undefined || counts === null) return undefined;
  const elements = counts instanceof TorchTensor ? elementsOf(counts.shape) : 0;
  if (!(counts instanceof TorchTensor) || elements !== size) {
    const found = counts instanceof TorchTensor
      ? `a tensor [${counts.shape.join(", ")}]`
      : "no tensor";
    throw bankError(
      path,
      `its ${FREQUENCIES_OF_CHECKPOINT} is ${found}, expected [${size}], one number for each snippet`,
    );
  }
  const frequencies = counts.readFloat32();
  const problem = findFrequencyProblem(frequencies);
  if (problem !== undefined) {
    throw bankError(path, `in its ${FREQUENCIES_OF_CHECKPOINT}, ${problem}`);
  }
  return frequencies;
}

function writeFactors(
  dict: ReadonlyMap<TorchValue, TorchValue>,
  { path, out }: ImportTorchBankOptions & { path: string },
): void {
  const part = (name: keyof typeof FACTORS): TorchTensor => {
    const value = dict.get(FACTORS[name]);
    if (value instanceof TorchTensor) return value;
    throw bankError(path, `its ${FACTORS[name]} is no tensor, expected one`);
  };
  const [size = 0, rank = 0] = part("coefficients").shape;
  const dim = part("mean").shape.at(-1) ?? 0;
  const expected = {
    coefficients: size * rank,
    basis: dim * rank,
    singularValues: rank,
    mean: dim,
  } as const;
  for (const name of ["coefficients", "basis", "singularValues", "mean"] as const) {
    const { shape } = part(name);
    const elements = elementsOf(shape);
    if (elements === 0 || elements !== expected[name]) {
      throw bankError(
        path,
        `its ${FACTORS[name]} has shape [${shape.join(", ")}], ` +
          `expected ${expected[name]} numbers for C [N, r], M [d, r], S [r] and mean [d]`,
      );
    }
  }
  writeLowRankBank(
    out,
    toUnitScale({
      coefficients: part("coefficients").readFloat32(),
      basis: part("basis").readFloat32(),
      singularValues: part("singularValues").readFloat32(),
      mean: part("mean").readFloat32(),
    }),
  );
}

/**
 * The factors √a C, √a B, a S and a μ, which are those of a M, with the a that brings the root mean square of
 * the snippets' norms to 1 where it is larger. A new snippet, which has norm 1 when it is projected on the
 * factors, would be next to nothing beside features as the encoder gave them.
 */
function toUnitScale(factors: LowRankFactors): LowRankFactors {
  const { coefficients, basis, singularValues, mean } = factors;
  const size = coefficients.length / singularValues.length;
  // Snippets less their mean have the singular values S.
  const meanSquare = squareSum(mean) + squareSum(singularValues) / size;
  const scale = meanSquare > 1 ? 1 / Math.sqrt(meanSquare) : 1, root = Math.sqrt(scale);
  return {
    coefficients: coefficients.map((value) => value * root),
    basis: basis.map((value) => value * root),
    singularValues: singularValues.map((value) => value * scale),
    mean: mean.map((value) => value * scale),
  };
}

function squareSum(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

function bankError(path: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot import bank ${JSON.stringify(path)}: ${state}`, { path });
}
