/**
 * Variants of kernels that were measured to be the fastest on an adapter, by op and sizes.
 *
 * Nothing here reads a file: a program parses one with {@linkcode parseTuning} and hands the result
 * to {@linkcode Device.open}.
 *
 * @module
 */

import { messageOf } from "./errors.ts";
import { isRecord } from "./json.ts";

/** The ops that have several kernels to choose from, by the names under which one can be forced. */
export const OPS_WITH_VARIANTS = [
  "adamw",
  "attention",
  "cast",
  "columnSum",
  "combine",
  "gate",
  "gelu",
  "geluMlp",
  "globalNorm",
  "layerNorm",
  "matmul",
  "qkNorm",
  "reconstruct",
  "rope",
  "rowSquares",
  "silu",
  "swiglu",
] as const;

/** One of {@linkcode OPS_WITH_VARIANTS}. */
export type OpWithVariants = typeof OPS_WITH_VARIANTS[number];

/** Names of variants by op. */
export type ForcedVariants = Readonly<Partial<Record<OpWithVariants, string>>>;

/** Names of variants by op and, within an op, by the {@linkcode shapeKey} of its sizes. */
export type TuningTable = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What was measured, by one version of this library. */
export interface Tuning {
  /** The version, whose kernels were timed. */
  readonly version: string;
  /** A table for each adapter, by the `label` of its profile. */
  readonly adapters: Readonly<Record<string, TuningTable>>;
}

/** The sizes on which the choice of a variant depends. */
export type VariantShape = Readonly<Record<string, number>>;

/** What an op says when it asks for a variant. */
export interface VariantQuestion<V extends string = string> {
  /** The op's table of its variants, by their names. */
  readonly among: Readonly<Record<V, unknown>>;
  /** The sizes, where the choice depends on them. */
  readonly shape?: VariantShape | undefined;
  /** Whether a variant can compute these sizes on this adapter. Default: every one can. */
  readonly supports?: ((variant: V) => boolean) | undefined;
  /** The one variant that can compute these sizes, where no other can. */
  readonly only?: V | undefined;
}

/** A question that an op asked, for a tuner that wants to know a model's real sizes. */
export interface AskedVariant {
  /** The op. */
  readonly op: OpWithVariants;
  /** The sizes. */
  readonly shape: VariantShape;
  /** What the op runs where nothing was measured. */
  readonly picked: string;
}

/**
 * The sizes as one line, in the order in which they are given.
 *
 * @example
 * ```ts
 * import { shapeKey } from "@gmem/gmem/kernels";
 *
 * console.log(shapeKey({ M: 2048, N: 768, K: 256 })); // M=2048 N=768 K=256
 * ```
 */
export function shapeKey(shape: VariantShape): string {
  let key = "";
  for (const name in shape) key += `${key === "" ? "" : " "}${name}=${shape[name]}`;
  return key;
}

/**
 * Reads what {@linkcode Tuning} is as JSON.
 *
 * Throws `SyntaxError` when the text is no JSON or has another form, and `RangeError` when another
 * version than `version` made it: its measurements say nothing about these kernels.
 *
 * @example
 * ```ts
 * import { parseTuning } from "@gmem/gmem/kernels";
 *
 * const table = '{ "matmul": { "M=64 N=64 K=64": "tiled" } }';
 * const text = `{ "version": "0.1.0", "adapters": { "A GPU": ${table} } }`;
 * const { adapters } = parseTuning(text, { version: "0.1.0" });
 * console.log(adapters["A GPU"]); // { matmul: { "M=64 N=64 K=64": "tiled" } }
 * ```
 */
export function parseTuning(text: string, { version }: { version: string }): Tuning {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`Cannot read the tuning: ${messageOf(error)}`);
  }
  const { version: madeBy, adapters: tables } = isRecord(value) ? value : {};
  if (typeof madeBy !== "string" || !isRecord(tables)) {
    throw new SyntaxError("Cannot read the tuning: expected an object of version and adapters");
  }
  if (madeBy !== version) {
    throw new RangeError(
      `Cannot use the tuning: version ${JSON.stringify(madeBy)} made it, expected ${version}`,
    );
  }
  const adapters: Record<string, TuningTable> = {};
  for (const [label, table] of Object.entries(tables)) {
    adapters[label] = readTable(label, table);
  }
  return { version, adapters };
}

function readTable(label: string, table: unknown): TuningTable {
  const valid = isRecord(table) &&
    Object.values(table).every((variants) =>
      isRecord(variants) && Object.values(variants).every((name) => typeof name === "string")
    );
  if (!valid) {
    throw new SyntaxError(
      `Cannot read the tuning of ${JSON.stringify(label)}: ` +
        "expected names of variants by op and sizes",
    );
  }
  return table as TuningTable;
}
