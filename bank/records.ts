/**
 * What a bank keeps beside its snippets, checked once and in one form.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { AddedRecord, BankRecords, ImageRecords } from "./bank.ts";
import type { EncoderDescription, EncoderWeight } from "./encoders/encoder.ts";

/** A record that does not fit the snippets. */
export interface RecordProblem {
  /** Which record: `names`, `labels`, `classes`, `texts`, `frequencies` or `encoder`. */
  readonly key: string;
  /** State and expectation, for the second half of an error message. */
  readonly state: string;
}

/** The records of a bank without the rest of it. */
export function recordsOf(bank: BankRecords): BankRecords {
  const { encoder, encoderWeights, imageSize, names, labels, classes, texts, frequencies } = bank;
  return { encoder, encoderWeights, imageSize, names, labels, classes, texts, frequencies };
}

/** What is known of images; labels without classes to name them mean nothing and are left out. */
export function recordsOfImages(images: ImageRecords): ImageRecords {
  const { names, labels, classes = [], texts } = images;
  return { names, texts, classes, labels: classes.length > 0 ? labels : undefined };
}

/** Finds the first record that does not fit N snippets of length d. */
export function findRecordProblem(
  records: BankRecords,
  bank: { readonly size: number; readonly dim: number },
): RecordProblem | undefined {
  const { names, labels, classes = [], texts, frequencies, encoder } = records;
  const { size, dim } = bank;
  for (const [key, values] of Object.entries({ names, labels, texts, frequencies })) {
    if (values !== undefined && values.length !== size) {
      return { key, state: `there are ${values.length} ${key} for ${counted(size, "snippet")}` };
    }
  }
  for (let i = 0; labels !== undefined && i < labels.length; i++) {
    if (isLabel(labels[i]!, classes)) continue;
    return { key: "labels", state: `label ${i} is ${labels[i]}, ${expectedLabel(classes)}` };
  }
  const frequency = frequencies && findFrequencyProblem(frequencies);
  if (frequency !== undefined) return { key: "frequencies", state: frequency };
  if (encoder !== undefined && encoder.dim !== dim) {
    return {
      key: "encoder",
      state: `its encoder makes snippets of length ${encoder.dim}, expected ${dim}`,
    };
  }
  return undefined;
}

/** Finds what keeps frequencies from being shares of a whole, for the second half of an error message. */
export function findFrequencyProblem(frequencies: ArrayLike<number>): string | undefined {
  let total = 0;
  for (let i = 0; i < frequencies.length; i++) {
    const frequency = frequencies[i]!;
    if (!(frequency >= 0 && frequency < Infinity)) {
      return `frequency ${i} is ${frequency}, expected 0 or a positive number`;
    }
    total += frequency;
  }
  return total > 0 ? undefined : "all frequencies are 0, expected one above 0";
}

/** The records of a bank in memory, which can grow with it. */
export class RecordStore {
  /** The encoder that made the snippets. */
  readonly encoder: EncoderDescription | undefined;
  /** What it was fitted to. */
  readonly encoderWeights: ReadonlyMap<string, EncoderWeight>;
  /** Side in pixels of the images that it was given. */
  readonly imageSize: number | undefined;
  /** Names of the classes. */
  readonly classes: readonly string[];
  /** Names of the images. */
  readonly names: string[] | undefined;
  /** A text for each image. */
  readonly texts: string[] | undefined;
  /** Class of each image, −1 for one without. */
  labels: Int32Array | undefined;
  /** How often retrieval by noise chooses each snippet. */
  frequencies: Float32Array | undefined;

  /**
   * Copies the records of N snippets of length d.
   *
   * Throws a TypeError if they do not fit.
   */
  constructor(records: BankRecords, bank: { readonly size: number; readonly dim: number }) {
    const problem = findRecordProblem(records, bank);
    if (problem !== undefined) throw new TypeError(`Cannot make a bank: ${problem.state}`);
    this.encoder = records.encoder;
    this.encoderWeights = records.encoderWeights ?? new Map();
    this.imageSize = records.imageSize;
    this.classes = records.classes ?? [];
    this.names = records.names?.slice();
    this.texts = records.texts?.slice();
    this.labels = records.labels && Int32Array.from(records.labels);
    this.frequencies = records.frequencies && Float32Array.from(records.frequencies);
  }

  /**
   * Checks what is known of a snippet before it is added.
   *
   * Throws a RangeError if its label is not one of the classes.
   */
  checkAdded(record: AddedRecord): void {
    const { label = -1 } = record;
    if (!isLabel(label, this.classes)) {
      throw new RangeError(
        `Cannot add a snippet of label ${label}: ${expectedLabel(this.classes)}`,
      );
    }
  }

  /**
   * Adds what is known of the next snippet, of index N. A first label leaves all others at −1, none;
   * a name or a text is kept where the other snippets have one, and so is a frequency: that of one image.
   */
  add(index: number, record: AddedRecord): void {
    const { name = `added ${index}`, label = -1, text = "" } = record;
    this.names?.push(name);
    this.texts?.push(text);
    if (this.frequencies !== undefined) this.frequencies = withOneMore(this.frequencies, 1);
    if (this.labels === undefined && label === -1) return;
    this.labels = withOneMore(this.labels ?? new Int32Array(index).fill(-1), label);
  }
}

/**
 * Values and one more, in the memory that they begin where it has room, or else in a copy with room for a quarter
 * more, so that many can be added one by one.
 */
function withOneMore(values: Int32Array, value: number): Int32Array;
function withOneMore(values: Float32Array, value: number): Float32Array;
function withOneMore(values: Int32Array | Float32Array, value: number): Int32Array | Float32Array {
  const { length, buffer, BYTES_PER_ELEMENT: bytes } = values;
  const hasRoom = buffer.byteLength >= bytes * (length + 1);
  const room = hasRoom ? buffer : new ArrayBuffer(bytes * (length + 16 + Math.floor(length / 4)));
  const grown = values instanceof Int32Array
    ? new Int32Array(room, 0, length + 1)
    : new Float32Array(room, 0, length + 1);
  if (!hasRoom) grown.set(values);
  grown[length] = value;
  return grown;
}

function isLabel(label: number, classes: readonly string[]): boolean {
  const end = classes.length > 0 ? classes.length : 2 ** 31;
  return Number.isInteger(label) && label >= -1 && label < end;
}

function expectedLabel(classes: readonly string[]): string {
  return classes.length > 0
    ? `expected one of ${classes.length} classes, or -1 for none`
    : "expected a whole number, or -1 for none";
}
