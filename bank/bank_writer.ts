/**
 * Writes banks as safetensors files, whose layout `file.ts` describes.
 *
 * @module
 */

import { CheckpointError } from "../kernels/core/errors.ts";
import { encodeTexts } from "../kernels/core/json.ts";
import {
  type SafetensorsDeclaration,
  type SafetensorsTensor,
  SafetensorsWriter,
} from "../kernels/core/safetensors_writer.ts";
import type { BankRecords, SnippetSet } from "./bank.ts";
import {
  CoefficientFormat,
  type CoefficientStorage,
  raiseColumnMaxima,
} from "./coefficient_format.ts";
import {
  BANK_FORMAT,
  BANK_VERSION,
  type CompressionLoss,
  ENCODER_PREFIX,
  SCALES_KEY,
} from "./file.ts";
import type { Shard } from "./image_source.ts";
import { findSnippetProblem } from "./normalize.ts";
import { findRecordProblem } from "./records.ts";
import type { LowRankFactors, SharedFactors } from "./svd.ts";

/** A low-rank bank in memory. */
export interface LowRankSet extends BankRecords, LowRankFactors {
  /** How a file stores the coefficients: as they are by default, or rounded to fewer bytes. */
  readonly storage?: CoefficientStorage | undefined;
  /** What was lost, where it was measured. */
  readonly loss?: CompressionLoss | undefined;
}

/** A full bank that is written piece by piece. */
export interface BankDeclaration extends BankRecords {
  /** Number of snippets N. */
  readonly size: number;
  /** Length d of a snippet. */
  readonly dim: number;
  /** Which part of the images they are, of a bank that is to be merged with the others. */
  readonly shard?: Shard | undefined;
}

/**
 * Writes a full bank piece by piece, for snippets that are not in memory at once. The file takes its
 * name in {@linkcode BankWriter.commit}; without it, nothing is left of it.
 *
 * @example
 * ```ts ignore
 * using writer = new BankWriter("bank.safetensors", { size: 1_281_167, dim: 768 });
 * for await (const rows of batches) writer.append(rows);
 * writer.commit();
 * ```
 */
export class BankWriter implements Disposable {
  readonly #writer: SafetensorsWriter;
  readonly #dim: number;
  #written = 0;

  /**
   * Begins a file with everything but the snippets.
   *
   * Throws a {@linkcode CheckpointError} if there is no snippet, if the records do not fit the size, or if the
   * disk refuses.
   */
  constructor(path: string, bank: BankDeclaration) {
    const { size, dim } = bank;
    const records = storedRecords(path, bank);
    this.#dim = dim;
    this.#writer = beginFile(path, {
      ...records,
      rows: ["snippets", { dtype: "F32", shape: [size, dim] }],
    });
  }

  /**
   * Adds the next snippets [n, d].
   *
   * Throws a RangeError that names the snippet if one is not finite or not of norm 1, and a
   * {@linkcode CheckpointError} for more snippets than were declared or when the disk refuses.
   */
  append(rows: Float32Array): void {
    const dim = this.#dim;
    const problem = findSnippetProblem(rows, { dim, firstIndex: this.#written });
    if (problem !== undefined) throw new RangeError(`Cannot write a bank: ${problem}`);
    this.#writer.append("snippets", rows);
    this.#written += rows.length / dim;
  }

  /**
   * Gives the file its name, replacing any file there.
   *
   * Throws a {@linkcode CheckpointError} if snippets are missing or the disk refuses.
   */
  commit(): void {
    this.#writer.commit();
  }

  /** Removes the unfinished file unless it was committed. */
  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
  }
}

/**
 * Writes a full bank, all or nothing.
 *
 * Throws a RangeError that names the snippet if one is not of norm 1, and a
 * {@linkcode CheckpointError} if the records do not fit or the disk refuses.
 */
export function writeBank(path: string, bank: SnippetSet): void {
  const size = bank.snippets.length / bank.dim;
  using writer = new BankWriter(path, { ...bank, size });
  writer.append(bank.snippets);
  writer.commit();
}

/** A low-rank bank that is written piece by piece. */
export interface LowRankDeclaration
  extends Omit<BankDeclaration, "dim">, Pick<LowRankSet, "storage" | "loss"> {
  /** Mean, basis and singular values. */
  readonly shared: SharedFactors;
  /** Largest magnitude of each column of C [r]; `int8` needs it, and takes 1/127 of it for a step. */
  readonly columnMaxima?: Float64Array;
}

/**
 * Writes a low-rank bank piece by piece, for coefficients that are not in memory at once. The file
 * takes its name in {@linkcode LowRankWriter.commit}; without it, nothing is left of it.
 *
 * @example
 * ```ts ignore
 * const { shared, project } = await fitFactors(file, { rank: 64 });
 * using writer = new LowRankWriter("low.safetensors", { size: file.size, shared, storage: "f16" });
 * for await (const { rows } of readRows(file)) writer.append(project(rows));
 * writer.commit();
 * ```
 */
export class LowRankWriter implements Disposable {
  readonly #writer: SafetensorsWriter;
  readonly #format: CoefficientFormat;

  /**
   * Begins a file with everything but the coefficients.
   *
   * Throws a TypeError for `int8` without the maxima of the r columns, and a
   * {@linkcode CheckpointError} if the records do not fit the size, or if the disk refuses.
   */
  constructor(path: string, bank: LowRankDeclaration) {
    const { size, shared: { mean, basis, singularValues }, storage = "f32", loss } = bank;
    const dim = mean.length, rank = singularValues.length;
    this.#format = new CoefficientFormat(storage, { rank, columnMaxima: bank.columnMaxima });
    const records = storedRecords(path, { ...bank, dim });
    const tensors: [string, SafetensorsTensor][] = [
      ["basis", { dtype: "F32", shape: [dim, rank], data: basis }],
      ["singular_values", { dtype: "F32", shape: [rank], data: singularValues }],
      ["mean", { dtype: "F32", shape: [dim], data: mean }],
      ...records.tensors,
    ];
    if (storage === "int8") {
      tensors.push([SCALES_KEY, { dtype: "F32", shape: [rank], data: this.#format.steps }]);
    }
    const dtype = ({ f32: "F32", f16: "F16", int8: "I8" } as const)[storage];
    const { metadata } = records;
    this.#writer = beginFile(path, {
      rows: ["coefficients", { dtype, shape: [size, rank] }],
      tensors,
      metadata: loss === undefined ? metadata : { ...metadata, loss: JSON.stringify(loss) },
    });
  }

  /**
   * Adds the coefficients [n, r] of the next snippets.
   *
   * Throws a RangeError if `f16` cannot hold one, and a {@linkcode CheckpointError} for more snippets
   * than were declared or when the disk refuses.
   */
  append(coefficients: Float32Array): void {
    this.#writer.append("coefficients", this.#format.stored(coefficients));
  }

  /**
   * Gives the file its name, replacing any file there.
   *
   * Throws a {@linkcode CheckpointError} if coefficients are missing or the disk refuses.
   */
  commit(): void {
    this.#writer.commit();
  }

  /** Removes the unfinished file unless it was committed. */
  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
  }
}

/**
 * Writes a low-rank bank, all or nothing.
 *
 * Throws a RangeError if `f16` cannot hold a coefficient, and a {@linkcode CheckpointError} if the records
 * do not fit or the disk refuses.
 */
export function writeLowRankBank(path: string, bank: LowRankSet): void {
  const { coefficients, ...shared } = bank, rank = bank.singularValues.length;
  const size = coefficients.length / rank, columnMaxima = new Float64Array(rank);
  raiseColumnMaxima(columnMaxima, coefficients);
  using writer = new LowRankWriter(path, { ...bank, size, shared, columnMaxima });
  writer.append(coefficients);
  writer.commit();
}

/** The tensors and the metadata that hold a bank's records. */
function storedRecords(
  path: string,
  bank: BankDeclaration,
): { tensors: [string, SafetensorsTensor][]; metadata: Record<string, string> } {
  const { size } = bank;
  const problem = Number.isInteger(size) && size > 0
    ? findRecordProblem(bank, bank)
    : { key: "size", state: `its size is ${size}, expected a whole number of snippets from 1` };
  if (problem !== undefined) {
    throw new CheckpointError(`Cannot write bank ${JSON.stringify(path)}: ${problem.state}`, {
      path,
      key: problem.key,
    });
  }
  const { encoder, encoderWeights = new Map(), names, labels, classes = [], texts } = bank;
  const { frequencies, shard, imageSize } = bank;
  const tensors: [string, SafetensorsTensor][] = [];
  if (labels !== undefined) {
    const data = Int32Array.from(labels);
    tensors.push(["labels", { dtype: "I32", shape: [data.length], data }]);
  }
  if (frequencies !== undefined) {
    const data = Float32Array.from(frequencies);
    tensors.push(["frequencies", { dtype: "F32", shape: [data.length], data }]);
  }
  for (const [key, values] of Object.entries({ names, texts })) {
    if (values === undefined) continue;
    const data = encodeTexts(values);
    tensors.push([key, { dtype: "U8", shape: [data.length], data }]);
  }
  for (const [name, { shape, values }] of encoderWeights) {
    tensors.push([ENCODER_PREFIX + name, { dtype: "F32", shape, data: values }]);
  }
  const metadata: Record<string, string> = { format: BANK_FORMAT, version: BANK_VERSION };
  if (encoder !== undefined) metadata["encoder"] = JSON.stringify(encoder);
  if (imageSize !== undefined) metadata["image_size"] = String(imageSize);
  if (classes.length > 0) metadata["classes"] = JSON.stringify(classes);
  if (shard !== undefined) metadata["shard"] = `${shard.number}/${shard.count}`;
  return { tensors, metadata };
}

/** Begins a file with everything but the rows, which are only declared. */
function beginFile(
  path: string,
  parts: {
    readonly rows: readonly [string, SafetensorsDeclaration];
    readonly tensors: readonly (readonly [string, SafetensorsTensor])[];
    readonly metadata: Readonly<Record<string, string>>;
  },
): SafetensorsWriter {
  const { rows, tensors, metadata } = parts;
  using begun = new DisposableStack();
  const writer = begun.use(new SafetensorsWriter(path, [rows, ...tensors], { metadata }));
  for (const [key, { data }] of tensors) writer.append(key, data);
  begun.move();
  return writer;
}
