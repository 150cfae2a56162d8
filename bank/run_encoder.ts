/**
 * Whether a bank means to a model what the one that it was trained with means.
 *
 * @module
 */

import type { EncoderRecords } from "./bank.ts";
import { encoderDifference } from "./encoders/encoder.ts";
import { BankFile } from "./file.ts";

/** A bank that is to guide a model in place of its own. */
export interface GuidingBank {
  /** The bank. */
  readonly bank: EncoderRecords;
  /** Its file. */
  readonly path: string;
  /** The file of the bank that the model was trained with. */
  readonly ownPath: string;
  /** The model's checkpoint. */
  readonly checkpoint: string;
  /** Take a bank of another encoder, or of one that is not known. */
  readonly anyEncoder: boolean;
  /** Told what is not as it should be where `anyEncoder` takes it. */
  readonly note: (line: string) => void;
}

/**
 * Checks that the encoder of a model's own bank made the snippets of another one.
 *
 * Throws a TypeError if it did not, or if that is not known, and a CheckpointError if the model's own
 * bank cannot be read.
 */
export function checkRunEncoder(options: GuidingBank): void {
  const { bank, path, ownPath, checkpoint, anyEncoder, note } = options;
  const problem = encoderProblem(bank, ownPath);
  if (problem === undefined) return;
  if (anyEncoder) return note(`${problem}; the samples may follow nothing`);
  throw new TypeError(
    `Cannot guide ${checkpoint} by ${path}: ${problem}. Encode its images as the run did by ` +
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
