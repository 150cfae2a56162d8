/**
 * The number formats of checkpoint files and their conversion to floats of JavaScript.
 *
 * @module
 */

/** Format of a stored number, in the words of safetensors; BOOL is a byte. */
export type StoredType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "U32"
  | "U8"
  | "I8"
  | "BOOL";

/** Bytes of one number of each format. */
export const STORED_BYTES: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  U32: 4,
  U8: 1,
  I8: 1,
  BOOL: 1,
};

/** What {@linkcode readNumbers} reads. */
export interface ReadNumbersOptions<T extends Float32Array | Float64Array> {
  /** Position of the first number, passed on to `read`. */
  readonly start: number;
  /** Receives the numbers; its length says how many. */
  readonly out: T;
  /** Fills all of `target` with the bytes from `position` on, or throws. */
  read(target: Uint8Array, position: number): void;
  /** Whether the bytes are most significant first. */
  readonly bigEndian?: boolean | undefined;
}

/** Numbers converted at a time: what a read costs in memory above its result. */
const CHUNK_NUMBERS = 1 << 18;

function reverseEach(bytes: Uint8Array, itemBytes: number): void {
  for (let start = 0; start < bytes.length; start += itemBytes) {
    bytes.subarray(start, start + itemBytes).reverse();
  }
}

/** Views `bytes`, which start their own buffer, as numbers; the machine is little-endian. */
function decode(
  type: StoredType,
  bytes: Uint8Array<ArrayBuffer>,
): ArrayLike<number> | BigInt64Array {
  const { buffer, length } = bytes;
  const count = length / STORED_BYTES[type];
  switch (type) {
    case "F64":
      return new Float64Array(buffer, 0, count);
    case "F32":
      return new Float32Array(buffer, 0, count);
    case "F16":
      return new Float16Array(buffer, 0, count);
    case "BF16": {
      // The upper half of an f32.
      const halves = new Uint16Array(buffer, 0, count), words = new Uint32Array(count);
      // A loop: `Uint32Array.from` with a function takes twenty times as long.
      for (let index = 0; index < count; index++) words[index] = halves[index]! << 16;
      return new Float32Array(words.buffer);
    }
    case "I64":
      return new BigInt64Array(buffer, 0, count);
    case "I32":
      return new Int32Array(buffer, 0, count);
    case "I16":
      return new Int16Array(buffer, 0, count);
    case "U32":
      return new Uint32Array(buffer, 0, count);
    case "U8":
      return bytes;
    case "I8":
      return new Int8Array(buffer, 0, count);
    case "BOOL":
      return bytes.map((byte) => byte === 0 ? 0 : 1);
  }
}

/**
 * Fills `out` with numbers of any format, rounded to what `out` holds, and returns it.
 *
 * Numbers that are stored as `out` holds them are read in place; others pass through a buffer of
 * fixed size.
 */
export function readNumbers<T extends Float32Array | Float64Array>(
  type: StoredType,
  options: ReadNumbersOptions<T>,
): T {
  const { start, out, read, bigEndian = false } = options;
  const itemBytes = STORED_BYTES[type];
  const held = out instanceof Float32Array ? "F32" : "F64";
  if (type === held) {
    const target = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
    read(target, start);
    if (bigEndian) reverseEach(target, itemBytes);
    return out;
  }
  const scratch = new Uint8Array(Math.min(CHUNK_NUMBERS, out.length) * itemBytes);
  for (let done = 0; done < out.length; done += CHUNK_NUMBERS) {
    const count = Math.min(CHUNK_NUMBERS, out.length - done);
    const chunk = scratch.subarray(0, count * itemBytes);
    read(chunk, start + done * itemBytes);
    if (bigEndian) reverseEach(chunk, itemBytes);
    const values = decode(type, chunk);
    if (values instanceof BigInt64Array) {
      for (let index = 0; index < count; index++) out[done + index] = Number(values[index]);
    } else out.set(values, done);
  }
  return out;
}
