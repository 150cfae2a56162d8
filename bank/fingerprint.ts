/**
 * What tells the snippets of a bank from others.
 *
 * @module
 */

import { sha256Hex } from "../kernels/core/sha256.ts";
import type { BankFile } from "./file.ts";
import { spreadIndices } from "./select_rows.ts";

/** Snippets that are looked at: enough, since another encoder changes all. */
const MOST_ROWS = 64;

/** What tells snippets from others. */
export interface BankFingerprint {
  /** Number of snippets N. */
  readonly size: number;
  /**
   * SHA-256, in hexadecimal digits, of up to 64 of them that are spread evenly over all; of a low-rank bank
   * of `int8` that of its mean, basis and singular values.
   */
  readonly sha256: string;
}

/**
 * The fingerprint of a bank's snippets, by which `saveCheckpoint` remembers them and `loadCheckpoint` knows
 * them again. Throws a CheckpointError if one that is looked at is no snippet.
 *
 * @example
 * ```ts
 * import { BankFile, bankFingerprint, writeFeatureBank } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1);
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const folder = Deno.makeTempDirSync(), out = `${folder}/bank.safetensors`;
 * await writeFeatureBank({ size: 2, dim: 2, rows }, { out });
 * {
 *   using file = BankFile.open(out);
 *   const { size, sha256 } = bankFingerprint(file);
 *   console.log(size, sha256.length); // 2 64
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function bankFingerprint(file: BankFile): BankFingerprint {
  const { size } = file;
  return { size, sha256: hashOfFirst(file, size) };
}

/**
 * Whether a bank begins with the snippets of a fingerprint; others may have been added to it. Throws as
 * {@linkcode bankFingerprint}.
 */
export function beginsWith(file: BankFile, { size, sha256 }: BankFingerprint): boolean {
  return file.size >= size && hashOfFirst(file, size) === sha256;
}

function hashOfFirst(file: BankFile, size: number): string {
  if (file.storage === "int8") {
    // An added snippet may need larger steps, to which all others are rounded anew.
    const { mean, basis, singularValues } = file.readShared();
    return sha256Hex(mean, basis, singularValues);
  }
  const indices = spreadIndices(Math.min(size, MOST_ROWS), size);
  return sha256Hex(...Array.from(indices, (index) => file.rows(index, 1)));
}
