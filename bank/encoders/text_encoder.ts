/**
 * What turns texts into vectors, for a mapper to make snippets of.
 *
 * @module
 */

import type { EncoderDescription } from "./encoder.ts";

/** Turns texts into vectors. */
export interface TextVectorEncoder extends Disposable {
  /** Length e of a vector. */
  readonly dim: number;
  /** What tells this encoder from every other one. */
  readonly description: EncoderDescription;
  /**
   * Encodes n texts to vectors [n, e].
   *
   * Throws a RangeError that names the text if the encoder finds nothing in one.
   */
  encode(texts: readonly string[]): Promise<Float32Array>;
}
