/**
 * Text encoders by what a command or a mapper says of them. Only programs import this: it reaches the
 * library that runs ONNX networks, which the library's entry points must not.
 *
 * @module
 */

import { existsSync } from "node:fs";
import type { EncoderDescription } from "./encoder.ts";
import { HashedNgrams } from "./hashed_ngrams.ts";
import type { TextPooling } from "./preprocessing.ts";
import type { TextVectorEncoder } from "./text_encoder.ts";

/** What {@linkcode openTextEncoder} opens. */
export interface OpenTextOptions {
  /** The ONNX network, beside its `tokenizer.json`; without it the encoder is `hashed_ngrams`. */
  readonly onnx?: string | undefined;
  /** Its output; the first by default. */
  readonly output?: string | undefined;
  /** What makes one vector of those of all tokens; `cls` by default. */
  readonly pooling?: TextPooling | undefined;
  /** What runs the network; see `ProviderOptions`. */
  readonly providers?: readonly string[] | undefined;
}

/**
 * Opens a text encoder.
 *
 * Throws what `OnnxTextEncoder.open` throws.
 */
export async function openTextEncoder(options: OpenTextOptions = {}): Promise<TextVectorEncoder> {
  const { onnx, ...taken } = options;
  if (onnx === undefined) return new HashedNgrams();
  // Imported here alone, so that the built-in encoder needs no native library.
  const { OnnxTextEncoder } = await import("./onnx_text.ts");
  return await OnnxTextEncoder.open(onnx, taken);
}

/**
 * Opens the text encoder of a description; the network of an ONNX one is where it was, or at `onnx`.
 * Whether it still is the same is for whoever compares descriptions.
 *
 * Throws a TypeError if no text encoder is described so, or one that is no network where `onnx` names one, a NotFound
 * error if the network is no longer where it was, and what {@linkcode openTextEncoder} throws.
 */
export async function textEncoderOf(
  description: EncoderDescription,
  options: Pick<OpenTextOptions, "onnx" | "providers"> = {},
): Promise<TextVectorEncoder> {
  const { kind, source, settings: { output, pooling } } = description;
  if (kind === "hashed_ngrams") {
    if (options.onnx === undefined) return await openTextEncoder();
    throw new TypeError(
      `Cannot encode texts with ${options.onnx}: the encoder is ${kind}, expected no network`,
    );
  }
  if (kind !== "onnx_text" || source === undefined) {
    throw new TypeError(
      `Cannot encode texts: the encoder is ${kind}, expected hashed_ngrams or onnx_text`,
    );
  }
  if (options.onnx === undefined && !existsSync(source)) {
    throw new Deno.errors.NotFound(
      `Cannot encode texts: the encoder was read from ${source}, which is not there, expected the same ` +
        "network by --onnx FILE",
    );
  }
  return await openTextEncoder({
    ...options,
    onnx: options.onnx ?? source,
    ...(typeof output === "string" && { output }),
    ...((pooling === "cls" || pooling === "mean") && { pooling }),
  });
}
