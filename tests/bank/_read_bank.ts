/** Banks read whole from their files, as they were written. */

import type { SnippetSet } from "../../bank/bank.ts";
import type { LowRankSet } from "../../bank/bank_writer.ts";
import type { BankFile } from "../../bank/file.ts";

/** All of a full bank. */
export function readFull(file: BankFile): SnippetSet {
  return { ...file.records, dim: file.dim, snippets: file.rows(0, file.size) };
}

/** All of a low-rank bank. */
export function readLowRank(file: BankFile): LowRankSet {
  const { storage, loss } = file, shared = file.readShared();
  const coefficients = file.coefficients(0, file.size);
  return { ...file.records, ...shared, coefficients, storage, loss };
}
