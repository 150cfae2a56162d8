/** Latent shards of random numbers, written as the official code lays them out. */

import { join } from "node:path";
import type { SafetensorsDType } from "../../kernels/core/safetensors_format.ts";
import { type SafetensorsTensor, writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { testNumbers } from "../_check_op.ts";

/** Sizes of the latents that {@linkcode writeShards} makes: channels, and side. */
export const CHANNELS = 2, SIDE = 4;
/** Sizes of their patch tokens, one for each patch of 2. */
export const TOKENS = 4, TOKEN_WIDTH = 6;
/** Length of their CLS tokens. */
export const DIM = 8;

/** Classes of their labels. */
export const CLASSES = 3;

/** Numbers in a row of each tensor. */
const ROWS: Readonly<Record<string, readonly number[]>> = {
  latents: [CHANNELS, SIDE, SIDE],
  latents_flip: [CHANNELS, SIDE, SIDE],
  representations: [TOKENS, TOKEN_WIDTH],
  representations_flip: [TOKENS, TOKEN_WIDTH],
  cls_tokens: [DIM],
  cls_tokens_flip: [DIM],
};

/** Tensors of one shard by their names. */
export type ShardTensors = Map<string, SafetensorsTensor>;

/** How {@linkcode writeShards} writes. */
export interface ShardOptions {
  /** Images in each shard. */
  readonly counts: readonly number[];
  /** Type of all but the labels. Default F32. */
  readonly dtype?: "F32" | "F16" | "BF16";
  /** Changes the tensors of a shard before they are written. */
  readonly change?: (tensors: ShardTensors, shard: number) => void;
  /** Metadata of every shard. Default none. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes shards into a folder, and returns what their tensors hold of all images, rounded as they are
 * stored; labels count 0, 1, 2, 0, ….
 */
export function writeShards(directory: string, options: ShardOptions): Map<string, Float32Array> {
  const { counts, dtype = "F32", change, metadata = {} } = options;
  const next = testNumbers(11), written = new Map<string, number[]>();
  let first = 0;
  for (const [shard, count] of counts.entries()) {
    const tensors: ShardTensors = new Map();
    for (const [name, row] of Object.entries(ROWS)) {
      const length = row.reduce((product, size) => product * size, count);
      // Channels of different mean and spread, as a tokenizer has them.
      const plane = SIDE ** 2;
      const values = Float32Array.from({ length }, (_, i) => {
        const channel = name.startsWith("latents") ? Math.floor(i / plane) % CHANNELS : 0;
        return (1 + channel) * next() + 3 * channel;
      });
      const { data, kept } = stored(values, dtype);
      tensors.set(name, { dtype, shape: [count, ...row], data });
      written.set(name, [...written.get(name) ?? [], ...kept]);
    }
    const labels = BigInt64Array.from({ length: count }, (_, i) => BigInt((first + i) % CLASSES));
    tensors.set("labels", { dtype: "I64", shape: [count], data: labels });
    change?.(tensors, shard);
    const name = `latents_rank00_shard${String(shard).padStart(3, "0")}.safetensors`;
    writeSafetensors(join(directory, name), tensors, { metadata });
    first += count;
  }
  return new Map([...written].map(([name, values]) => [name, Float32Array.from(values)]));
}

/** Numbers in the bytes of a type, and what they are worth there. */
function stored(
  values: Float32Array<ArrayBuffer>,
  dtype: SafetensorsDType,
): { data: ArrayBufferView; kept: Float32Array } {
  if (dtype === "F16") {
    const data = Float16Array.from(values);
    return { data, kept: Float32Array.from(data) };
  }
  if (dtype === "BF16") {
    const words = new Uint32Array(values.buffer);
    const kept = new Float32Array(words.map((word) => word & 0xffff0000).buffer);
    return { data: Uint16Array.from(words, (word) => word >>> 16), kept };
  }
  return { data: values, kept: values };
}

/** The rows of the given indices of a tensor that {@linkcode writeShards} wrote. */
export function rowsOf(values: Float32Array, indices: readonly number[], count: number): number[] {
  const length = values.length / count;
  return indices.flatMap((index) => [...values.subarray(index * length, (index + 1) * length)]);
}
