/**
 * Safetensors files: a JSON header, then the tensors' bytes, little-endian, without gaps.
 *
 * Files are untrusted: the whole header is checked before any tensor is read, and a tensor is read
 * from the file only when asked for.
 *
 * @module
 */

import { type ByteSource, fileError, memoryByteSource, openByteSource } from "./byte_source.ts";
import { CheckpointError } from "./errors.ts";
import { isRecord } from "./json.ts";
import {
  byteLength,
  checkMetadata,
  DTYPES,
  isDType,
  isSize,
  MAX_HEADER_BYTES,
  quote,
  type SafetensorsEntry,
  show,
} from "./safetensors_format.ts";
import { readNumbers, STORED_BYTES } from "./stored_numbers.ts";

function tensorError(path: string, key: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot read tensor ${quote(key)} of file ${quote(path)}: ${state}`, {
    path,
    key,
  });
}

/**
 * Returns the first key that an object of the text holds twice, or undefined. `JSON.parse` keeps the
 * last of them silently; `text` has already passed it, so quotes and brackets are known to match.
 */
function findDuplicateKey(text: string): string | undefined {
  const objects: (Set<string> | null)[] = [];
  for (let position = 0; position < text.length; position++) {
    const character = text[position];
    if (character === "{") objects.push(new Set());
    else if (character === "[") objects.push(null);
    else if (character === "}" || character === "]") objects.pop();
    else if (character === '"') {
      const start = position++;
      while (text[position] !== '"') position += text[position] === "\\" ? 2 : 1;
      let next = position + 1;
      while (" \t\n\r".includes(text[next] ?? "x")) next++;
      if (text[next] !== ":") continue;
      const key: string = JSON.parse(text.slice(start, position + 1));
      const keys = objects.at(-1) as Set<string>;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

interface Header {
  fields: Record<string, unknown>;
  /** Bytes from the start of the file to the first tensor. */
  dataStart: number;
}

function readHeader(source: ByteSource, path: string): Header {
  const prefix = new Uint8Array(8);
  if (source.read(prefix, 0) < 8) {
    throw fileError(path, `it has ${source.size} bytes, expected 8 for the length of the header`);
  }
  const wide = new DataView(prefix.buffer).getBigUint64(0, true);
  if (wide > BigInt(MAX_HEADER_BYTES)) {
    throw fileError(
      path,
      `it is no safetensors file: its header has ${wide} bytes, expected at most ${MAX_HEADER_BYTES}`,
    );
  }
  const length = Number(wide);
  if (length > source.size - 8) {
    throw fileError(
      path,
      `it is cut short or no safetensors file: its header has ${length} bytes, expected at most the ` +
        `${source.size - 8} that follow`,
    );
  }
  const bytes = new Uint8Array(length);
  if (source.read(bytes, 8) < length) throw fileError(path, "it became shorter while it was read");
  let text: string;
  let fields: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    fields = JSON.parse(text);
  } catch (error) {
    throw fileError(path, "its header is not JSON in UTF-8, expected a JSON object", error);
  }
  if (!isRecord(fields) || !text.startsWith("{")) {
    throw fileError(path, `its header is ${show(fields)}, expected a JSON object`);
  }
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) {
    throw tensorError(path, duplicate, "the header has that key twice, expected once");
  }
  return { fields, dataStart: 8 + length };
}

function readEntry(
  value: unknown,
  place: { path: string; key: string; dataStart: number; dataBytes: number },
): SafetensorsEntry {
  const { path, key, dataStart, dataBytes } = place;
  if (!isRecord(value)) {
    throw tensorError(path, key, `its entry is ${show(value)}, expected an object`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDType(dtype)) {
    throw tensorError(
      path,
      key,
      `its dtype is ${show(dtype)}, expected one of ${DTYPES.join(", ")}`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw tensorError(path, key, `its shape is ${show(shape)}, expected sizes of at least 0`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw tensorError(path, key, `its offsets are ${show(offsets)}, expected a first and an end`);
  }
  const [first, end] = offsets as [number, number];
  if (first > end) {
    throw tensorError(path, key, `its offsets are ${show(offsets)}, expected them in order`);
  }
  if (end > dataBytes) {
    throw tensorError(
      path,
      key,
      `it ends at byte ${end} of ${dataBytes} bytes of data: the file is cut short, expected all of it`,
    );
  }
  const bytes = byteLength(dtype, shape);
  if (bytes !== end - first) {
    throw tensorError(
      path,
      key,
      `its shape ${show(shape)} of ${dtype} takes ${bytes} bytes, expected the ${end - first} ` +
        "between its offsets",
    );
  }
  return { dtype, shape, offset: dataStart + first, bytes };
}

/** Throws unless the tensors cover the data from its start to the end of the file, once. */
function checkCoverage(
  entries: ReadonlyMap<string, SafetensorsEntry>,
  place: { path: string; dataStart: number; size: number },
): void {
  const { path, dataStart, size } = place;
  const sorted = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let position = dataStart;
  for (const [key, { offset, bytes }] of sorted) {
    if (offset !== position) {
      const relation = offset < position ? "overlaps" : "leaves a gap after";
      throw tensorError(
        path,
        key,
        `it starts at byte ${offset - dataStart} of the data and ${relation} the tensor before, ` +
          `expected a start at byte ${position - dataStart}`,
      );
    }
    position += bytes;
  }
  if (position !== size) {
    throw fileError(
      path,
      `${size - position} bytes follow the last tensor, expected the end of the file`,
    );
  }
}

/**
 * A safetensors file open for reading.
 *
 * Opening reads and checks the header only: lengths, JSON, duplicate keys, types, shapes, and that
 * the tensors cover the data exactly once. Numbers are stored little-endian, as on every machine
 * that runs Deno.
 *
 * @example
 * ```ts
 * import { SafetensorsFile } from "@gmem/gmem/kernels";
 *
 * const header = new TextEncoder().encode(
 *   '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
 * );
 * const bytes = new Uint8Array(8 + header.length + 8);
 * bytes[0] = header.length;
 * bytes.set(header, 8);
 * using file = SafetensorsFile.from(bytes);
 * console.log(file.readFloat32("x")); // Float32Array(2) [ 0, 0 ]
 * ```
 */
export class SafetensorsFile implements Disposable {
  /** The file's path, or the name given to {@linkcode SafetensorsFile.from}. */
  readonly path: string;
  /** The free text stored with the tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  #source: ByteSource | undefined;
  #entries: Map<string, SafetensorsEntry> = new Map();

  private constructor(source: ByteSource, path: string) {
    this.path = path;
    this.#source = source;
    const { fields, dataStart } = readHeader(source, path);
    const metadata = Object.hasOwn(fields, "__metadata__") ? fields["__metadata__"] : {};
    this.metadata = checkMetadata(metadata, { path, verb: "read" });
    const dataBytes = source.size - dataStart;
    for (const [key, value] of Object.entries(fields)) {
      if (key === "__metadata__") continue;
      this.#entries.set(key, readEntry(value, { path, key, dataStart, dataBytes }));
    }
    checkCoverage(this.#entries, { path, dataStart, size: source.size });
  }

  /**
   * Opens the file at `path`.
   *
   * Throws a {@linkcode CheckpointError} when it cannot be opened or its header is not sound.
   */
  static open(path: string): SafetensorsFile {
    using opened = new DisposableStack();
    const file = new SafetensorsFile(opened.use(openByteSource(path)), path);
    opened.move();
    return file;
  }

  /**
   * Reads a file that is already in memory; `name` stands for its path in errors. The bytes are not
   * copied and must not change.
   *
   * Throws a {@linkcode CheckpointError} when its header is not sound.
   */
  static from(bytes: Uint8Array, name: string = "memory"): SafetensorsFile {
    return new SafetensorsFile(memoryByteSource(bytes), name);
  }

  /** Returns the names of the tensors in the order of the header. */
  keys(): string[] {
    return [...this.#entries.keys()];
  }

  /** Tells whether the file holds a tensor of that name. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /**
   * Returns type, shape and place of a tensor.
   *
   * Throws a {@linkcode CheckpointError} when there is none of that name.
   */
  entry(key: string): SafetensorsEntry {
    const { shape, ...rest } = this.#entry(key);
    return { ...rest, shape: [...shape] };
  }

  /**
   * Returns the elements of a tensor of any type, row-major, each rounded to f32.
   *
   * Throws a {@linkcode CheckpointError} when there is none of that name or the file cannot be read.
   */
  readFloat32(key: string): Float32Array {
    return this.#read(key, { first: 0, out: new Float32Array(this.#count(key)) });
  }

  /**
   * Returns the elements of a tensor of any type, row-major, in float64; only I64 may round.
   *
   * Throws a {@linkcode CheckpointError} when there is none of that name or the file cannot be read.
   */
  readFloat64(key: string): Float64Array {
    return this.#read(key, { first: 0, out: new Float64Array(this.#count(key)) });
  }

  /**
   * Returns the elements of a tensor of integers or booleans, row-major, each exact.
   *
   * Throws a {@linkcode CheckpointError} when there is none of that name, when its type is a floating
   * one, when an I64 lies beyond ±(2^53 − 1), or when the file cannot be read.
   */
  readIntegers(key: string): Float64Array {
    const { dtype } = this.#entry(key);
    if (dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16") {
      throw tensorError(this.path, key, `its dtype is ${dtype}, expected integers`);
    }
    const values = this.readFloat64(key);
    // Rounding to float64 never moves a number across the limit, so the check can come after it.
    const wrong = dtype === "I64" ? values.findIndex((value) => !Number.isSafeInteger(value)) : -1;
    if (wrong !== -1) {
      throw tensorError(
        this.path,
        key,
        `its element ${wrong} is about ${values[wrong]}, expected at most 2^53 - 1 in magnitude`,
      );
    }
    return values;
  }

  /**
   * Returns the stored bytes of a tensor.
   *
   * Throws a {@linkcode CheckpointError} when there is none of that name or the file cannot be read.
   */
  readBytes(key: string): Uint8Array {
    const { offset, bytes } = this.#entry(key);
    const out = new Uint8Array(bytes);
    this.#readBytes(key, out, offset);
    return out;
  }

  /**
   * Returns `count` elements of a tensor of any type from `firstElement` on, in row-major order, each
   * rounded to f32: for tensors too large to be in memory at once.
   *
   * Throws a RangeError when the range leaves the tensor, and a {@linkcode CheckpointError} when
   * there is none of that name or the file cannot be read.
   */
  readRange(key: string, firstElement: number, count: number): Float32Array {
    this.#checkRange(key, firstElement, count);
    return this.#read(key, { first: firstElement, out: new Float32Array(count) });
  }

  /**
   * As {@linkcode SafetensorsFile.readRange}, to fill `out` in place of a new array: for rows from all
   * over a file that are put together.
   *
   * Throws as it does.
   */
  readRangeInto(key: string, firstElement: number, out: Float32Array): void {
    this.#checkRange(key, firstElement, out.length);
    this.#read(key, { first: firstElement, out });
  }

  /** Closes the file; reading afterwards throws an Error. */
  [Symbol.dispose](): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }

  #entry(key: string): SafetensorsEntry {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      throw tensorError(
        this.path,
        key,
        `the file has ${this.#entries.size} tensors and none of that name`,
      );
    }
    return entry;
  }

  #checkRange(key: string, firstElement: number, count: number): void {
    const size = this.#count(key);
    if (isSize(firstElement) && isSize(count) && firstElement + count <= size) return;
    throw new RangeError(
      `Cannot read tensor ${quote(key)} of file ${quote(this.path)}: the range is ` +
        `${firstElement} … ${firstElement + count}, expected integers within 0 … ${size}`,
    );
  }

  #count(key: string): number {
    const { dtype, bytes } = this.#entry(key);
    return bytes / STORED_BYTES[dtype];
  }

  #readBytes(key: string, target: Uint8Array, position: number): void {
    if (this.#source === undefined) {
      throw new ReferenceError(
        `Cannot read tensor ${quote(key)} of file ${quote(this.path)}: the file is closed, ` +
          "expected an open one",
      );
    }
    if (this.#source.read(target, position) < target.length) {
      throw tensorError(this.path, key, "the file became shorter since it was opened");
    }
  }

  #read<T extends Float32Array | Float64Array>(key: string, part: { first: number; out: T }): T {
    const { dtype, offset } = this.#entry(key);
    return readNumbers(dtype, {
      start: offset + part.first * STORED_BYTES[dtype],
      out: part.out,
      read: (target, position) => this.#readBytes(key, target, position),
    });
  }
}
