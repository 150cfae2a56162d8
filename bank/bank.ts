/**
 * What a memory bank is: N unit-norm snippets of length d, one for each image, retrieved by index.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { EncoderDescription, EncoderWeight } from "./encoders/encoder.ts";
import { findSnippetProblem } from "./normalize.ts";

/** What is known of the images behind the snippets. Everything may be left out. */
export interface ImageRecords {
  /** Names of the images [N]. */
  readonly names?: readonly string[] | undefined;
  /** Class of each image [N]: an index into {@linkcode classes}, −1 for an image without. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Names of the classes. */
  readonly classes?: readonly string[] | undefined;
  /** A text for each image [N]. */
  readonly texts?: readonly string[] | undefined;
  /**
   * How often retrieval by noise is to choose each snippet [N], in any unit; equally often without it.
   * The first GMem release keeps the number of training images behind a snippet.
   */
  readonly frequencies?: ArrayLike<number> | undefined;
}

/** What made the snippets, as far as it is known. */
export interface EncoderRecords {
  /** The encoder that made the snippets; a new image needs the same one. */
  readonly encoder?: EncoderDescription | undefined;
  /** What that encoder was fitted to, by name; empty for an encoder that is a file of its own. */
  readonly encoderWeights?: ReadonlyMap<string, EncoderWeight> | undefined;
  /** Side in pixels of the images that it was given, before it resized them; undefined if not known. */
  readonly imageSize?: number | undefined;
}

/** What a bank keeps beside its snippets. */
export interface BankRecords extends ImageRecords, EncoderRecords {}

/** Snippets in memory, with what belongs to them. */
export interface SnippetSet extends BankRecords {
  /** Length d of a snippet. */
  readonly dim: number;
  /** Snippets [N, d], each of norm 1. */
  readonly snippets: Float32Array;
}

/** Snippets that follow each other in a bank. */
export interface SnippetRange {
  /** Index of the first. */
  readonly first: number;
  /** The snippets [count, d]. */
  readonly rows: Tensor;
}

/**
 * A memory bank M of N snippets (GMem, section 4.1), on the GPU.
 *
 * @example
 * ```ts
 * import { type Bank, Device, FullBank } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank: Bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1) });
 * using condition = bank.gather([1, 1, 0]); // for SiT.forward
 * console.log(condition.shape, await bank.snippet(1)); // [ 3, 2 ] Float32Array(2) [ 0, 1 ]
 * ```
 */
export interface Bank extends Disposable {
  /** Number of snippets N. */
  readonly size: number;
  /** Length d of a snippet. */
  readonly dim: number;
  /** Rank r of a low-rank bank; undefined for a full one. */
  readonly rank: number | undefined;
  /** The encoder that made the snippets, or undefined if it is not known. */
  readonly encoder: EncoderDescription | undefined;
  /** What that encoder was fitted to, by name. */
  readonly encoderWeights: ReadonlyMap<string, EncoderWeight>;
  /** Side in pixels of the images that the encoder was given, or undefined if it is not known. */
  readonly imageSize: number | undefined;
  /** Names of the images [N], or undefined. */
  readonly names: readonly string[] | undefined;
  /** Class of each image [N], −1 for an image without, or undefined. */
  readonly labels: Int32Array | undefined;
  /** Names of the classes; empty if there are none. */
  readonly classes: readonly string[];
  /** A text for each image [N], or undefined. */
  readonly texts: readonly string[] | undefined;
  /** How often retrieval by noise chooses each snippet [N], or undefined for equally often. */
  readonly frequencies: Float32Array | undefined;
  /**
   * Returns the snippets [B, d] of norm 1 with the given indices [B], in the caller's scope.
   *
   * Indices on the CPU are checked; a RangeError names the first that the bank does not have, and
   * the size of the bank. A tensor of u32 indices, made by a caller who knows the size, is not
   * read back and not checked: an index past the end means the last snippet.
   */
  gather(indices: Uint32Array | readonly number[] | Tensor): Tensor;
  /**
   * Yields all snippets in order as tensors [count, d] of norm 1, about `most` of them at a time, for
   * work on the whole bank within bounded memory. The caller disposes each.
   */
  ranges(most: number): Generator<SnippetRange>;
  /**
   * Returns one snippet [d]. Waits for the GPU.
   *
   * Throws a RangeError if the index is not a whole number from 0 to N − 1.
   */
  snippet(index: number): Promise<Float32Array>;
}

/** Per-image data of a snippet that is added to a bank. */
export interface AddedRecord {
  /** Name of the snippet, by default `added N` with its index; kept where the others have names. */
  readonly name?: string | undefined;
  /** Its class; −1, none, by default. Where it is the first, the others have none. */
  readonly label?: number | undefined;
  /** Its text, empty by default; kept where the others have texts. */
  readonly text?: string | undefined;
}

/** Which two snippets to mix, and how much of the first. */
export interface SnippetMix {
  /** Index of the first snippet. */
  readonly first: number;
  /** Index of the second snippet. */
  readonly second: number;
  /** Share of the first snippet, 0 to 1; the second has the rest. Equation 11 calls it α. */
  readonly firstShare: number;
}

/** A bank that takes new snippets without training (GMem, section 4.4). */
export interface ExtensibleBank extends Bank {
  /**
   * Adds external knowledge: the snippet [d] of a new image, made by the bank's encoder. Returns its
   * index.
   *
   * Throws a RangeError unless the snippet has d finite values and norm 1.
   */
  addExternal(snippet: Float32Array, record?: AddedRecord): number;
  /**
   * Adds internal knowledge: the mix of two snippets of the bank (GMem, equation 11). Returns its
   * index. Waits for the GPU.
   *
   * Throws a RangeError if the bank does not have an index or the share is not from 0 to 1.
   */
  addInternal(mix: SnippetMix, record?: AddedRecord): Promise<number>;
  /**
   * Writes the bank to a safetensors file, all or nothing. Waits for the GPU.
   *
   * Throws a CheckpointError if the disk refuses; a file that was there stays as it was.
   */
  save(path: string): Promise<void>;
}

/**
 * Whether the snippets of a bank are what its encoder gives for images of a side in pixels: not if it was
 * given larger or smaller ones, if that is not known, or if the bank keeps the snippets in part.
 */
export function encodesWhole(
  bank: { readonly rank: number | undefined; readonly imageSize: number | undefined },
  imageSize: number,
): boolean {
  return bank.rank === undefined && bank.imageSize === imageSize;
}

/** What a snippet is called: its image's name, where that is known. */
export function titleOf({ names }: ImageRecords, index: number): string {
  return names?.[index] || `snippet ${index}`;
}

/** What the image of a snippet shows: its text, or what it is called where there is none. */
export function captionOf(records: ImageRecords, index: number): string {
  return records.texts?.[index] || titleOf(records, index);
}

/**
 * Checks indices against a bank's size and returns them as u32.
 *
 * Throws a RangeError that names the first wrong one and the size.
 */
export function checkIndices(indices: ArrayLike<number>, size: number): Uint32Array {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (!Number.isInteger(index) || index < 0 || index >= size) {
      throw new RangeError(
        `Cannot retrieve snippet ${index}: the bank has ${counted(size, "snippet")}, ` +
          `expected a whole number from 0 to ${size - 1}`,
      );
    }
  }
  return Uint32Array.from(indices);
}

/**
 * Checks a mix against a bank's size.
 *
 * Throws a RangeError if the bank does not have an index or the share is not from 0 to 1.
 */
export function checkMix(mix: SnippetMix, size: number): void {
  checkIndices([mix.first, mix.second], size);
  if (!(mix.firstShare >= 0 && mix.firstShare <= 1)) {
    throw new RangeError(
      `Cannot mix snippets: firstShare is ${mix.firstShare}, expected a number from 0 to 1`,
    );
  }
}

/**
 * Checks a snippet that is to be added to a bank.
 *
 * Throws a RangeError unless it has `dim` finite values and norm 1.
 */
export function checkAddedSnippet(snippet: Float32Array, dim: number): void {
  if (snippet.length !== dim) {
    throw new RangeError(
      `Cannot add a snippet of length ${snippet.length}: expected ${dim}, as the bank's have`,
    );
  }
  const problem = findSnippetProblem(snippet, { dim });
  if (problem !== undefined) {
    throw new RangeError(`Cannot add to the bank: ${problem}`);
  }
}
