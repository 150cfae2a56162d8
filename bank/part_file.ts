/**
 * What a build that is under way has made of its images, from which it goes on after it was killed.
 *
 * @module
 */

import { tryLock, writeAll } from "../kernels/core/atomic_file.ts";
import { CheckpointError, messageOf } from "../kernels/core/errors.ts";
import { sha256Hex } from "../kernels/core/sha256.ts";
import type { ImageSource } from "./image_source.ts";

/** What every part file begins with, and no file of another kind. */
const MAGIC = new TextEncoder().encode("gmempart");

/** Bytes of the SHA-256 of the key, which follows. */
const KEY_BYTES = 32;

/** Bytes before the rows. */
const HEAD_BYTES = MAGIC.length + KEY_BYTES;

/** Numbers after those of a row: the mark of what the row was made of. */
const MARK_NUMBERS = 1;

/** What a {@linkcode PartFile} holds. */
export interface PartOptions {
  /** All that decides what the rows will be; a file of another key is begun anew. */
  readonly key: string;
  /** Numbers in a row. */
  readonly dim: number;
}

/**
 * Rows of f32 that are appended to a file as they are made, each with a mark of 32 bits by which its
 * source is known again. The file begins with the bytes `gmempart` and the SHA-256 of its key; a row that was
 * cut off by a kill is dropped when the file is opened again.
 */
export class PartFile implements Disposable {
  /** The file's path. */
  readonly path: string;
  readonly #dim: number;
  /** Numbers of a row and its mark. */
  readonly #stride: number;
  #file: Deno.FsFile | undefined;
  #rows: number;

  private constructor(path: string, part: { file: Deno.FsFile; dim: number; rows: number }) {
    this.path = path;
    this.#file = part.file;
    this.#dim = part.dim;
    this.#stride = part.dim + MARK_NUMBERS;
    this.#rows = part.rows;
  }

  /**
   * Opens the file at `path` to append to it; makes it where there is none of this key. It is locked as long
   * as it is open, where the disk has locks.
   *
   * Throws a {@linkcode CheckpointError} if another has it open, if the file there is of another kind, or if the disk
   * refuses.
   */
  static open(path: string, options: PartOptions): PartFile {
    const { key, dim } = options, rowBytes = 4 * (dim + MARK_NUMBERS);
    const head = Uint8Array.of(...MAGIC, ...Uint8Array.fromHex(sha256Hex(key)));
    return attempt(path, () => {
      using opened = new DisposableStack();
      const file = opened.use(Deno.openSync(path, { read: true, write: true, create: true }));
      if (tryLock(file) === "taken") {
        throw new Error("another build appends to it, expected that it ends first");
      }
      const found = readHead(file);
      if (!MAGIC.subarray(0, found.length).every((byte, i) => byte === found[i])) {
        throw new Error(
          "it is no file of rows that a build keeps, expected none of that name; move it away, or " +
            "remove it if a build of an older version left it",
        );
      }
      const known = found.length === HEAD_BYTES && head.every((byte, i) => byte === found[i]);
      const bytes = known ? file.statSync().size - HEAD_BYTES : 0;
      const rows = Math.floor(bytes / rowBytes);
      if (!known) {
        file.truncateSync(0);
        writeAll(file, head, 0);
      }
      file.truncateSync(HEAD_BYTES + rows * rowBytes);
      opened.move();
      return new PartFile(path, { file, dim, rows });
    });
  }

  /** Number of rows that are there. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds rows [n, dim] with their marks [n].
   *
   * Throws a {@linkcode CheckpointError} if the disk refuses.
   */
  append(rows: Float32Array, marks: Uint32Array): void {
    const dim = this.#dim, stride = this.#stride, count = marks.length;
    const words = new Float32Array(count * stride), bits = new Uint32Array(words.buffer);
    for (let row = 0; row < count; row++) {
      words.set(rows.subarray(row * dim, (row + 1) * dim), row * stride);
      bits[row * stride + dim] = marks[row]!;
    }
    attempt(this.path, () => writeAll(this.#open, words, HEAD_BYTES + this.#rows * 4 * stride));
    this.#rows += count;
  }

  /**
   * Reads `count` rows [count, dim] from the one of index `first` on.
   *
   * Throws a {@linkcode CheckpointError} if they are not there or the disk refuses.
   */
  read(first: number, count: number): Float32Array {
    const dim = this.#dim, stride = this.#stride;
    const words = this.#read(first, count), rows = new Float32Array(count * dim);
    for (let row = 0; row < count; row++) {
      rows.set(words.subarray(row * stride, row * stride + dim), row * dim);
    }
    return rows;
  }

  /**
   * Reads the mark of a row.
   *
   * Throws a {@linkcode CheckpointError} if the row is not there or the disk refuses.
   */
  mark(row: number): number {
    return new Uint32Array(this.#read(row, 1).buffer)[this.#dim]!;
  }

  /** Closes and removes the file. */
  remove(): void {
    this[Symbol.dispose]();
    attempt(this.path, () => Deno.removeSync(this.path));
  }

  /** Closes the file; it stays on the disk. */
  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #read(first: number, count: number): Float32Array<ArrayBuffer> {
    const words = new Float32Array(count * this.#stride);
    const bytes = new Uint8Array(words.buffer);
    attempt(this.path, () => {
      this.#open.seekSync(HEAD_BYTES + first * 4 * this.#stride, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        const read = this.#open.readSync(bytes.subarray(done));
        if (read === null) throw new Error("it became shorter");
        done += read;
      }
    });
    return words;
  }

  get #open(): Deno.FsFile {
    if (this.#file === undefined) throw new Error("it is closed");
    return this.#file;
  }
}

/** The bytes that stand where the head of a part file does; fewer of a shorter file. */
function readHead(file: Deno.FsFile): Uint8Array {
  const head = new Uint8Array(HEAD_BYTES);
  return head.subarray(0, file.readSync(head) ?? 0);
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new CheckpointError(
      `Cannot keep rows in ${JSON.stringify(path)}: ${messageOf(cause)}`,
      { path, cause },
    );
  }
}

/** Values of an image that its hash reads at most: every image stays a few microseconds. */
const HASHED_VALUES = 4096;

/**
 * Marks of images [n]: FNV-1a over the bits of their pixels [n, C, H, W], evenly spread over each image.
 */
export function hashImages(pixels: Float32Array, count: number): Uint32Array {
  const bits = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length);
  const length = pixels.length / count, stride = Math.ceil(length / HASHED_VALUES);
  return Uint32Array.from({ length: count }, (_, image) => {
    let hash = 0x811c9dc5;
    for (let i = image * length; i < (image + 1) * length; i += stride) {
      const word = bits[i]!;
      // Pixels that are multiples of a power of two have zeros at one end; both ends are to count.
      hash = Math.imul(hash ^ (word & 0xffff), 0x01000193);
      hash = Math.imul(hash ^ (word >>> 16), 0x01000193);
    }
    return hash >>> 0;
  });
}

/** What the rows of a part file were made of. */
export interface PartImages {
  /** The images. */
  readonly images: ImageSource;
  /** Index of that of the first row. Default 0. */
  readonly first?: number;
  /** The file that the rows are for, as the error names it. */
  readonly path: string;
}

/**
 * Checks that the images of the first and of the last row still have the pixels that they had, by their
 * marks.
 *
 * Throws a {@linkcode CheckpointError} that names one that has changed, and what reading them throws.
 */
export async function requireUnchanged(part: PartFile, options: PartImages): Promise<void> {
  if (part.rows === 0) return;
  const { images, first = 0, path } = options;
  for (const row of new Set([0, part.rows - 1])) {
    const index = first + row;
    const [mark] = hashImages(await images.read(Uint32Array.of(index)), 1);
    if (mark === part.mark(row)) continue;
    const name = images.names?.[index];
    const called = name === undefined ? "" : ` ${JSON.stringify(name)}`;
    throw new CheckpointError(
      `Cannot go on with the build of ${JSON.stringify(path)}: image ${index}${called} has ` +
        "changed since it was encoded, expected the same pixels; remove " +
        `${JSON.stringify(part.path)} to begin anew`,
      { path: part.path },
    );
  }
}
