/**
 * What an encoder is: it turns images into snippets, and describes itself so that a bank can refuse
 * the snippets of another one.
 *
 * @module
 */

import { z } from "zod";
import { parseJson } from "../../kernels/core/json.ts";

/** A value that JSON can hold. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Named values that JSON can hold. */
export type JsonRecord = Readonly<Record<string, JsonValue>>;

/**
 * What tells an encoder from every other one. It is stored with the bank, and an image may be
 * encoded for a bank only by an encoder whose description is equal.
 */
export interface EncoderDescription {
  /** Name of the method, such as `pixel_pca`. */
  readonly kind: string;
  /** Length d of a snippet. */
  readonly dim: number;
  /** SHA-256 of the weights in hexadecimal digits: two fits of one method are two encoders. */
  readonly fingerprint: string;
  /** What is done to an image before the weights see it: size, channels, interpolation, and so on. */
  readonly preprocessing: JsonRecord;
  /** Everything else that changes the result, by the method's own names. */
  readonly settings: JsonRecord;
  /** Where the encoder's own file was when it made the bank; no part of what tells encoders apart. */
  readonly source?: string | undefined;
}

/** An array that an encoder was fitted to, and that is stored with the bank. */
export interface EncoderWeight {
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Elements, row-major. */
  readonly values: Float32Array;
}

/** Sizes of a batch of images. */
export interface ImageBatchShape {
  /** Number of images n. */
  readonly count: number;
  /** Channels C. */
  readonly channels: number;
  /** Height H in pixels. */
  readonly height: number;
  /** Width W in pixels. */
  readonly width: number;
  /** Index of the first image among all that are encoded, for error messages. Default 0. */
  readonly firstIndex?: number | undefined;
}

/** Turns images into snippets. */
export interface Encoder extends Disposable {
  /** Length d of a snippet. */
  readonly dim: number;
  /** What tells this encoder from every other one. */
  readonly description: EncoderDescription;
  /** What it was fitted to, by name; empty for an encoder that is a file of its own. */
  readonly weights: ReadonlyMap<string, EncoderWeight>;
  /**
   * Encodes `images` [n, C, H, W] with values in [−1, 1] to snippets [n, d] of norm 1.
   *
   * Throws a TypeError if the images do not have the given shape or not the encoder's channels, and
   * a RangeError that names the image if one has no direction: its features are all zero.
   */
  encode(images: Float32Array, shape: ImageBatchShape): Promise<Float32Array>;
}

const jsonRecordSchema = z.record(z.string(), z.json());

const descriptionSchema: z.ZodType<EncoderDescription> = z.strictObject({
  kind: z.string(),
  dim: z.int().min(1),
  fingerprint: z.string(),
  preprocessing: jsonRecordSchema,
  settings: jsonRecordSchema,
  source: z.string().optional(),
});

/**
 * Reads a description from JSON.
 *
 * Throws a SyntaxError if it is not JSON or not a description.
 */
export function parseEncoderDescription(text: string): EncoderDescription {
  const result = descriptionSchema.safeParse(parseJson(text));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const place = issue.path.length === 0 ? "it" : issue.path.join(".");
  throw new SyntaxError(`Cannot read the description of an encoder: ${place}: ${issue.message}`);
}

/**
 * Says how an encoder differs from the one that is expected, such as
 * `preprocessing.size is 32, expected 16`; undefined if they are the same.
 */
export function encoderDifference(
  encoder: EncoderDescription,
  expected: EncoderDescription,
): string | undefined {
  const found = flatten(identityOf(encoder)), wanted = flatten(identityOf(expected));
  for (const key of new Set([...wanted.keys(), ...found.keys()])) {
    const value = found.get(key) ?? "not there", want = wanted.get(key) ?? "not there";
    if (value !== want) return `${key} is ${value}, expected ${want}`;
  }
  return undefined;
}

/**
 * Checks that an encoder is the one that made a bank's snippets.
 *
 * Throws a TypeError that names the first difference, or says that the bank names no encoder.
 */
export function requireEncoder(
  encoder: EncoderDescription,
  bank: { readonly encoder: EncoderDescription | undefined },
): void {
  if (bank.encoder === undefined) {
    throw new TypeError(
      `Cannot encode for the bank with ${encoder.kind}: the bank does not name its encoder, ` +
        "expected one built with its encoder",
    );
  }
  const difference = encoderDifference(encoder, bank.encoder);
  if (difference !== undefined) {
    throw new TypeError(
      `Cannot encode for the bank with ${encoder.kind}: another encoder made it, ${difference}`,
    );
  }
}

/** What tells an encoder from others: its description without `source`. */
export function identityOf<Description extends Pick<EncoderDescription, "source">>(
  description: Description,
): Omit<Description, "source"> {
  const { source: _, ...identity } = description;
  return identity;
}

/** The leaves of a description, by their path. */
function flatten(value: object, path = ""): Map<string, string> {
  const leaves = new Map<string, string>();
  for (const [key, child] of Object.entries(value)) {
    if (typeof child === "object" && child !== null) {
      for (const [name, leaf] of flatten(child, `${path}${key}.`)) leaves.set(name, leaf);
    } else {
      leaves.set(path + key, JSON.stringify(child));
    }
  }
  return leaves;
}
