/**
 * Arrays of NumPy (`.npy`): read in pieces, written in pieces.
 *
 * The format is a magic number, a version, the length of a header that is a Python dict, and the
 * numbers, row-major.
 *
 * @module
 */

import { AtomicFile } from "../kernels/core/atomic_file.ts";
import { type ByteSource, memoryByteSource, openByteSource } from "../kernels/core/byte_source.ts";
import { CheckpointError } from "../kernels/core/errors.ts";
import { readNumbers, STORED_BYTES, type StoredType } from "../kernels/core/stored_numbers.ts";
import { elementsOf } from "../kernels/core/tensor.ts";

const MAGIC = "\x93NUMPY";

/** Headers hold a type and a shape; one that is longer is not worth the memory. */
const MOST_HEADER_BYTES = 2 ** 16;

/** The header ends at a whole block of this many bytes, so that the numbers are aligned. */
const BLOCK = 64;

/** NumPy's words for types, without the mark of the byte order. */
const TYPES: Readonly<Record<string, StoredType>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  i8: "I64",
  i4: "I32",
  i2: "I16",
  u4: "U32",
  u1: "U8",
  i1: "I8",
  b1: "BOOL",
};

/**
 * An array in a `.npy` file, open for reading.
 *
 * @example
 * ```ts ignore
 * using file = NpyFile.open("features.npy");
 * console.log(file.shape); // [1000, 768]
 * const first = file.rows(0, 10); // Float32Array [10 · 768]
 * ```
 */
export class NpyFile implements Disposable {
  /** The file's path. */
  readonly path: string;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  readonly #type: StoredType;
  readonly #bigEndian: boolean;
  readonly #start: number;
  #source: ByteSource | undefined;

  private constructor(source: ByteSource, path: string) {
    this.path = path;
    this.#source = source;
    const { header, start } = readHeader(source, path);
    this.#start = start;
    const word = /'descr':\s*'([<>|=])(\w+)'/.exec(header);
    const type = TYPES[word?.[2] ?? ""];
    if (word === null || type === undefined) {
      throw fileError(path, `its header is ${header.trim().slice(0, 100)}, expected plain numbers`);
    }
    this.#type = type;
    this.#bigEndian = word[1] === ">";
    if (!/'fortran_order':\s*False/.test(header)) {
      throw fileError(path, "its order is that of Fortran, expected numpy.ascontiguousarray");
    }
    const shape = /'shape':\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
    if (shape === undefined) throw fileError(path, "its header has no shape, expected one");
    this.shape = shape.split(",").map((size) => size.replace("L", "").trim())
      .filter((size) => size !== "").map(Number);
    const bytes = this.shape.reduce((product, size) => product * size, STORED_BYTES[type]);
    if (!Number.isSafeInteger(bytes) || source.size !== start + bytes) {
      throw fileError(
        path,
        `it has ${source.size} bytes, expected ${start + bytes} for [${this.shape.join(", ")}]`,
      );
    }
  }

  /**
   * Opens the array at `path`.
   *
   * Throws a {@linkcode CheckpointError} if it is not an array of plain numbers, row-major and whole.
   */
  static open(path: string): NpyFile {
    using opened = new DisposableStack();
    const file = new NpyFile(opened.use(openByteSource(path)), path);
    opened.move();
    return file;
  }

  /**
   * Reads an array that is already in memory; `name` stands for its path in errors. The bytes are not
   * copied and must not change.
   *
   * Throws what {@linkcode NpyFile.open} throws.
   */
  static from(bytes: Uint8Array, name: string): NpyFile {
    return NpyFile.over(memoryByteSource(bytes), name);
  }

  /**
   * Reads an array out of any bytes, such as a part of an archive, which are closed with it; `name`
   * stands for its path in errors.
   *
   * Throws what {@linkcode NpyFile.open} throws.
   */
  static over(source: ByteSource, name: string): NpyFile {
    return new NpyFile(source, name);
  }

  /**
   * Reads `count` rows, of the product of all sizes but the first, from the one of index `first` on.
   *
   * Throws a RangeError if the array does not have them.
   */
  rows(first: number, count: number): Float32Array {
    return this.#read(first, { count, make: (length) => new Float32Array(length) });
  }

  /** As {@linkcode rows}, with all the digits of numbers that have more than f32. */
  doubles(first: number, count: number): Float64Array {
    return this.#read(first, { count, make: (length) => new Float64Array(length) });
  }

  #read<T extends Float32Array | Float64Array>(
    first: number,
    options: { readonly count: number; readonly make: (length: number) => T },
  ): T {
    const { count, make } = options;
    const [size = 0, ...rest] = this.shape;
    const width = elementsOf(rest);
    if (!(first >= 0 && count >= 0 && first + count <= size)) {
      throw new RangeError(
        `Cannot read rows ${first} to ${first + count} of ${JSON.stringify(this.path)}: ` +
          `expected at most ${size}`,
      );
    }
    return readNumbers(this.#type, {
      start: this.#start + first * width * STORED_BYTES[this.#type],
      out: make(count * width),
      read: (target, position) => {
        if (this.#source === undefined) {
          throw new ReferenceError(`Cannot read ${JSON.stringify(this.path)}: it is closed`);
        }
        if (this.#source.read(target, position) < target.length) {
          throw fileError(this.path, "it became shorter since it was opened");
        }
      },
      bigEndian: this.#bigEndian,
    });
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#source?.[Symbol.dispose]();
    this.#source = undefined;
  }
}

/**
 * Writes an array of f32 to a `.npy` file, piece by piece: `shape` says how many numbers the pieces
 * have in all. The file takes its name when it is complete.
 *
 * Throws a TypeError if the pieces have more or fewer numbers, and what the disk throws.
 */
export async function writeNpy(
  path: string,
  array: {
    readonly shape: readonly number[];
    readonly pieces: Iterable<Float32Array> | AsyncIterable<Float32Array>;
  },
): Promise<void> {
  const { shape, pieces } = array;
  let left = elementsOf(shape);
  using file = new AtomicFile(path);
  file.write(npyHeader("<f4", shape));
  for await (const piece of pieces) {
    left -= piece.length;
    file.write(piece);
  }
  if (left !== 0) {
    throw new TypeError(
      `Cannot write ${JSON.stringify(path)}: the pieces differ by ${left} numbers from ` +
        `[${shape.join(", ")}]`,
    );
  }
  file.commit();
}

/** What stands before the numbers of a `.npy` file: `type` is f32 or bytes, in NumPy's words. */
export function npyHeader(type: "<f4" | "|u1", shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dict = `{'descr': '${type}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const before = MAGIC.length + 4;
  const length = Math.ceil((before + dict.length + 1) / BLOCK) * BLOCK - before;
  const header = new Uint8Array(before + length).fill(" ".charCodeAt(0));
  header.set([...MAGIC].map((letter) => letter.charCodeAt(0)));
  header.set([1, 0, length & 255, length >> 8], MAGIC.length);
  header.set(new TextEncoder().encode(dict), before);
  header[before + length - 1] = "\n".charCodeAt(0);
  return header;
}

function readHeader(source: ByteSource, path: string): { header: string; start: number } {
  const head = new Uint8Array(12);
  const read = source.read(head, 0);
  const magic = String.fromCharCode(...head.subarray(0, MAGIC.length));
  const version = head[MAGIC.length]!;
  if (read < head.length || magic !== MAGIC || version < 1 || version > 3) {
    throw fileError(path, "it does not begin as one, expected a file of numpy.save");
  }
  const view = new DataView(head.buffer);
  const [length, before] = version === 1
    ? [view.getUint16(8, true), 10]
    : [view.getUint32(8, true), 12];
  const most = Math.min(MOST_HEADER_BYTES, source.size - before);
  if (length > most) {
    throw fileError(
      path,
      `it is cut short or no array: its header has ${length} bytes, expected at most ${most}`,
    );
  }
  const header = new Uint8Array(length);
  source.read(header, before);
  return { header: new TextDecoder().decode(header), start: before + length };
}

function fileError(path: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot read array ${JSON.stringify(path)}: ${state}`, { path });
}
