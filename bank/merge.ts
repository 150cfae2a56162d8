/**
 * Several banks put together in one, such as the shards of a build.
 *
 * @module
 */

import type { BankRecords } from "./bank.ts";
import { encoderDifference } from "./encoders/encoder.ts";
import { type BankFile, BankWriter } from "./file.ts";
import { readRows } from "./svd.ts";

/** Options of {@linkcode mergeBanks}. */
export interface MergeOptions {
  /** The bank file to write. */
  readonly path: string;
  /** Called with the number of snippets written. */
  readonly onProgress?: (done: number) => void;
}

/**
 * Writes a full bank of the snippets of several banks, in the order given, 4,096 at a time. Low-rank
 * banks are reconstructed. Classes of equal names become one; a snippet whose bank has no labels gets
 * none, and names and texts are kept where every bank has them.
 *
 * Throws a TypeError if there are no banks, or if the lengths or the encoders differ, and a
 * CheckpointError if one cannot be read or the disk refuses.
 */
export async function mergeBanks(
  banks: readonly BankFile[],
  options: MergeOptions,
): Promise<void> {
  const { path, onProgress } = options;
  const [first, ...others] = banks;
  if (first === undefined) throw new TypeError("Cannot merge banks: there are none");
  for (const bank of others) checkPair(bank, first);
  const { dim } = first;
  const size = banks.reduce((sum, bank) => sum + bank.size, 0);
  using writer = new BankWriter(path, { ...mergeRecords(banks), size, dim });
  let done = 0;
  for (const bank of banks) {
    for await (const { rows } of readRows(bank)) {
      writer.append(rows);
      onProgress?.(done += rows.length / dim);
    }
  }
  writer.commit();
}

function checkPair(bank: BankFile, first: BankFile): void {
  const banks = `Cannot merge bank ${JSON.stringify(bank.path)} with ${JSON.stringify(first.path)}`;
  if (bank.dim !== first.dim) {
    throw new TypeError(`${banks}: its snippets have length ${bank.dim}, expected ${first.dim}`);
  }
  if (bank.encoder === undefined && first.encoder === undefined) return;
  const difference = bank.encoder === undefined || first.encoder === undefined
    ? "only one of them names its encoder"
    : encoderDifference(bank.encoder, first.encoder);
  if (difference !== undefined) {
    throw new TypeError(`${banks}: their encoders differ, ${difference}`);
  }
}

function mergeRecords(banks: readonly BankFile[]): BankRecords {
  const { encoder, encoderWeights } = banks[0]!;
  const classes = [...new Set(banks.flatMap((bank) => bank.classes))];
  const place = new Map(classes.map((name, label) => [name, label]));
  const labels = banks.flatMap((bank) =>
    Array.from({ length: bank.size }, (_, i) => {
      const label = bank.labels?.[i] ?? -1;
      // Labels without names mean the same in every bank, or nothing.
      return label < 0 || classes.length === 0 ? label : place.get(bank.classes[label]!) ?? -1;
    })
  );
  const allOf = (key: "names" | "texts") =>
    banks.every((bank) => bank[key] !== undefined)
      ? banks.flatMap((bank) => bank[key]!)
      : undefined;
  const frequencies = banks.every((bank) => bank.frequencies !== undefined)
    ? banks.flatMap((bank) => [...bank.frequencies!])
    : undefined;
  return {
    encoder,
    encoderWeights,
    classes,
    frequencies,
    labels: banks.some((bank) => bank.labels !== undefined) ? labels : undefined,
    names: allOf("names"),
    texts: allOf("texts"),
  };
}
