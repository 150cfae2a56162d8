/**
 * What reading and writing of safetensors files share: types, limits, and checks of what a header says.
 *
 * @module
 */

import { CheckpointError } from "./errors.ts";
import { isRecord } from "./json.ts";
import { STORED_BYTES, type StoredType } from "./stored_numbers.ts";

/** Type of a tensor's elements in a safetensors file. */
export type SafetensorsDType = Exclude<StoredType, "I16">;

/** What the header says of one tensor. */
export interface SafetensorsEntry {
  /** Type of the elements. */
  dtype: SafetensorsDType;
  /** Sizes, outermost first; empty for a scalar. */
  shape: number[];
  /** Bytes from the start of the file to the first element. */
  offset: number;
  /** Bytes of the whole tensor. */
  bytes: number;
}

/** The types, larger ones first. */
export const DTYPES: readonly SafetensorsDType[] = [
  "F64",
  "I64",
  "F32",
  "I32",
  "U32",
  "F16",
  "BF16",
  "U8",
  "I8",
  "BOOL",
];

/** The limit that the format's own reader has, against headers made to exhaust memory. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Whether a value is one of {@linkcode DTYPES}. */
export function isDType(value: unknown): value is SafetensorsDType {
  return (DTYPES as readonly unknown[]).includes(value);
}

/** Whether a value is a whole number of at least 0. */
export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A name or a path as an error message shows it. */
export function quote(key: string): string {
  const text = JSON.stringify(key);
  return text.length <= 200 ? text : `${text.slice(0, 200)}…"`;
}

/** A value of the header as an error message shows it. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}

/** Returns a frozen copy of the metadata; the first word of an error's message is `verb`. */
export function checkMetadata(
  value: unknown,
  place: { path: string; verb: "read" | "write" },
): Readonly<Record<string, string>> {
  const { path, verb } = place;
  const start = `Cannot ${verb} metadata of file ${quote(path)}`;
  if (!isRecord(value)) {
    throw new CheckpointError(`${start}: it is ${show(value)}, expected an object of strings`, {
      path,
    });
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new CheckpointError(
        `${start}: ${quote(key)} is ${show(text)}, expected a string`,
        { path, key },
      );
    }
  }
  return Object.freeze({ ...value as Record<string, string> });
}

/**
 * Bytes of a tensor. A product above 2^53 is inexact but stays above every file size; zeros are
 * looked for first, as infinity times zero is not a number.
 */
export function byteLength(dtype: SafetensorsDType, shape: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((product, size) => product * size, STORED_BYTES[dtype]);
}
