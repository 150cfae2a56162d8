/**
 * `.npz` archives of one array of bytes, of any size.
 *
 * The format is PKWARE's APPNOTE 6.3; section numbers below are its own. Sizes and places stand in zip64
 * fields (4.5.3), which have room for more than 4 GiB, in small archives as well.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { npyHeader } from "../bank/npy.ts";
import { AtomicFile } from "../kernels/core/atomic_file.ts";
import { messageOf } from "../kernels/core/errors.ts";
import { elementsOf } from "../kernels/core/tensor.ts";
import {
  DIRECTORY_END,
  DIRECTORY_END_64,
  DIRECTORY_HEADER,
  DIRECTORY_LOCATOR_64,
  LOCAL_HEADER,
} from "../kernels/core/zip_directory.ts";

/** The entry of an archive that has one, stored without compression. */
export interface ArchiveEntry {
  /** Its name. */
  readonly name: string;
  /** Bytes of its content. */
  readonly bytes: number;
  /** CRC-32 of its content. */
  readonly checksum: number;
}

/** A number, and the bytes that it takes. */
type Field = readonly [value: number, bytes: 2 | 4 | 8];

/** Version 4.5 of the format, the first with zip64. */
const VERSION: Field = [45, 2];

/** Stands in a field whose number is in the zip64 field. */
const WIDE_NUMBER: Field = [0xffffffff, 4], WIDE_COUNT: Field = [0xffff, 2];

const ZERO: Field = [0, 2];

/** 2 January 1980. Every archive gets this date, so that equal arrays give equal files. */
const DATE: Field = [(1 << 5) | 2, 2];

/** What stands before the content of the entry: its local header (4.3.7). */
export function archiveHead(entry: ArchiveEntry): Uint8Array {
  const { name, bytes } = entry;
  return Uint8Array.of(
    ...fields([LOCAL_HEADER, 4], ...entryFields(entry), [20, 2]),
    ...new TextEncoder().encode(name),
    ...fields([1, 2], [16, 2], [bytes, 8], [bytes, 8]),
  );
}

/** What stands behind the content of the entry: the directory and its ends (4.3.12 to 4.3.16). */
export function archiveTail(entry: ArchiveEntry): Uint8Array {
  const { name, bytes } = entry;
  const directory = Uint8Array.of(
    ...fields([DIRECTORY_HEADER, 4], VERSION, ...entryFields(entry), [28, 2]),
    // Comment, disk and attributes.
    ...fields(ZERO, ZERO, ZERO, [0, 4], WIDE_NUMBER),
    ...new TextEncoder().encode(name),
    ...fields([1, 2], [24, 2], [bytes, 8], [bytes, 8], [0, 8]),
  );
  const start = archiveHead(entry).length + bytes, end = start + directory.length;
  return Uint8Array.of(
    ...directory,
    ...fields([DIRECTORY_END_64, 4], [44, 8], VERSION, VERSION, [0, 4], [0, 4]),
    ...fields([1, 8], [1, 8], [directory.length, 8], [start, 8]),
    ...fields([DIRECTORY_LOCATOR_64, 4], [0, 4], [end, 8], [1, 4]),
    ...fields([DIRECTORY_END, 4], ZERO, ZERO, WIDE_COUNT, WIDE_COUNT, WIDE_NUMBER, WIDE_NUMBER),
    ...fields(ZERO),
  );
}

/** What the local header and that of the directory have in common. */
function entryFields({ name, checksum }: ArchiveEntry): Field[] {
  const flags = ZERO, method = ZERO, time = ZERO;
  const sizes = [WIDE_NUMBER, WIDE_NUMBER];
  const nameBytes = new TextEncoder().encode(name).length;
  return [VERSION, flags, method, time, DATE, [checksum, 4], ...sizes, [nameBytes, 2]];
}

/** Numbers one after the other, little-endian. */
function fields(...numbers: readonly Field[]): Uint8Array {
  const out = new Uint8Array(numbers.reduce((sum, [, bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let position = 0;
  for (const [value, bytes] of numbers) {
    if (bytes === 2) view.setUint16(position, value, true);
    else if (bytes === 4) view.setUint32(position, value, true);
    else view.setBigUint64(position, BigInt(value), true);
    position += bytes;
  }
  return out;
}

/**
 * Writes an array of bytes as the only one of a `.npz` archive, without compression, piece by piece:
 * what `numpy.savez` makes. The file takes its name when it is complete.
 *
 * Throws a TypeError if the pieces have more or fewer bytes than the shape, and an Error that names the file
 * if the disk refuses.
 */
export class ByteArchiveWriter implements Disposable {
  readonly #shape: readonly number[];
  readonly #path: string;
  #entry: ArchiveEntry;
  readonly #file: AtomicFile;
  #left: number;

  /** Begins the file; `key` names the array. */
  constructor(
    path: string,
    options: { readonly key: string; readonly shape: readonly number[] },
  ) {
    const { key, shape } = options;
    const header = npyHeader("|u1", shape);
    this.#path = path;
    this.#shape = shape;
    this.#left = elementsOf(shape);
    this.#entry = { name: `${key}.npy`, bytes: header.length + this.#left, checksum: 0 };
    this.#file = this.#attempt(() => new AtomicFile(path));
    this.#attempt(() => this.#file.write(archiveHead(this.#entry)));
    this.#writeContent(header);
  }

  /** Writes the next bytes of the array. */
  append(bytes: Uint8Array): void {
    this.#left -= bytes.length;
    this.#writeContent(bytes);
  }

  /** Completes the file. */
  commit(): void {
    if (this.#left !== 0) {
      throw new TypeError(
        `Cannot write ${JSON.stringify(this.#path)}: ` +
          `the pieces differ by ${this.#left} bytes from [${this.#shape.join(", ")}]`,
      );
    }
    this.#attempt(() => {
      this.#file.write(archiveTail(this.#entry));
      // The same head as before, but for the checksum.
      this.#file.write(archiveHead(this.#entry), 0);
      this.#file.commit();
    });
  }

  /** Removes a file that was not completed. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #writeContent(bytes: Uint8Array): void {
    this.#entry = { ...this.#entry, checksum: crc32(bytes, this.#entry.checksum) };
    this.#attempt(() => this.#file.write(bytes));
  }

  #attempt<T>(write: () => T): T {
    try {
      return write();
    } catch (cause) {
      throw new Error(`Cannot write ${JSON.stringify(this.#path)}: ${messageOf(cause)}`, { cause });
    }
  }
}
