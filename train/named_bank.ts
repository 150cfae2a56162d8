/**
 * Whether a bank means to a model what the one that it was trained with means.
 *
 * @module
 */

import type { EncoderRecords } from "../bank/bank.ts";
import { encoderDifference } from "../bank/encoders/encoder.ts";
import { BankFile } from "../bank/file.ts";
import { bankPathOf, type CheckpointConfig } from "./trained.ts";

/**
 * Checks that the encoder of a model's own bank made the snippets of the one that was named in its place,
 * `bank`, if one was. With `anyEncoder` it tells `note` what is not as it should be.
 *
 * Throws a TypeError if another encoder made them, or if that is not known, and a CheckpointError if the
 * model's own bank cannot be read.
 */
export function checkNamedBank(
  trained: Pick<CheckpointConfig, "checkpoint" | "config"> & {
    readonly bank: EncoderRecords | undefined;
  },
  options: {
    readonly bank: string | undefined;
    readonly anyEncoder: boolean;
    readonly note: (line: string) => void;
  },
): void {
  const { bank, anyEncoder, note } = options, ownPath = bankPathOf(trained);
  const problem = bank === undefined ? undefined : encoderProblem(trained.bank!, ownPath);
  if (problem === undefined) return;
  if (anyEncoder) return note(`${problem}; the samples may follow nothing`);
  throw new TypeError(
    `Cannot guide ${trained.checkpoint} by ${bank}: ${problem}. Encode its images as the run did by ` +
      `bank build --like ${ownPath}, or take it as it is by --any-encoder`,
  );
}

/** Says why a bank may not mean to a model what the one it was trained with means. */
function encoderProblem(bank: EncoderRecords, ownPath: string): string | undefined {
  using own = BankFile.openIfThere(ownPath);
  if (bank.encoder === undefined) return "the bank does not name its encoder";
  if (own === undefined) return `the run's own bank ${ownPath} is not there`;
  if (own.encoder === undefined) return `the run's own bank ${ownPath} does not name its encoder`;
  const difference = encoderDifference(bank.encoder, own.encoder);
  return difference && `another encoder made its snippets, ${difference}`;
}
