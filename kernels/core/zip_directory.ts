/**
 * The central directory of a zip archive as PyTorch and NumPy write them, zip64 included. Contents that are
 * stored without compression stay in the file; compressed ones are unpacked in memory.
 *
 * The format is PKWARE's APPNOTE 6.3; section numbers below are its own.
 *
 * @module
 */

import { crc32, inflateRawSync } from "node:zlib";
import { type ByteSource, fileError, memoryByteSource } from "./byte_source.ts";
import { messageOf } from "./errors.ts";

/** Where the bytes of a stored entry lie. */
export interface ZipEntry {
  /** Bytes from the start of the file to the first byte of the content. */
  readonly offset: number;
  /** Bytes of the content. */
  readonly bytes: number;
}

/** Against directories made to exhaust memory; a checkpoint has some thousand entries. */
const MAX_DIRECTORY_BYTES = 1 << 26;

/** The largest content that is unpacked in memory. */
const MAX_UNPACKED_BYTES = 2 ** 31;

/** Ways in which contents lie in the file (4.4.5). */
const STORED = 0, DEFLATED = 8;

/** Bytes of a content that are checked at a time. */
const CHECKED_BYTES = 1 << 20;

/** What a local header begins with (4.3.7). */
export const LOCAL_HEADER = 0x04034b50;
/** What a header of the directory begins with (4.3.12). */
export const DIRECTORY_HEADER = 0x02014b50;
/** What the end of the directory begins with (4.3.16). */
export const DIRECTORY_END = 0x06054b50;
/** What the zip64 end of the directory begins with (4.3.14). */
export const DIRECTORY_END_64 = 0x06064b50;
/** What the place of that end begins with (4.3.15). */
export const DIRECTORY_LOCATOR_64 = 0x07064b50;

interface Record {
  name: string;
  method: number;
  headerOffset: number;
  bytes: number;
  packedBytes: number;
  checksum: number;
}

/** Finds entries by name in a zip archive; names and places are checked, contents where that is asked for. */
export class ZipDirectory {
  #source: ByteSource;
  #path: string;
  #records: Map<string, Record> = new Map();

  /**
   * Reads the directory of `source`.
   *
   * Throws a CheckpointError, which names `path`, when it is damaged, split, encrypted or ambiguous.
   */
  constructor(source: ByteSource, path: string) {
    this.#source = source;
    this.#path = path;
    const { offset, bytes, count } = this.#findDirectory();
    if (bytes > MAX_DIRECTORY_BYTES) {
      throw this.#error(
        `its directory has ${bytes} bytes, expected at most ${MAX_DIRECTORY_BYTES}`,
      );
    }
    const view = this.#view(offset, bytes);
    let position = 0;
    while (position < bytes) {
      if (bytes - position < 46 || view.getUint32(position, true) !== DIRECTORY_HEADER) {
        throw this.#error(`its directory is damaged at byte ${offset + position}`);
      }
      const length = 46 + view.getUint16(position + 28, true) +
        view.getUint16(position + 30, true) + view.getUint16(position + 32, true);
      if (length > bytes - position) {
        throw this.#error(`its directory is damaged at byte ${offset + position}`);
      }
      const record = this.#readRecord(new DataView(view.buffer, position, length));
      if (this.#records.has(record.name)) {
        throw this.#error(`its entry ${JSON.stringify(record.name)} is there twice, expected once`);
      }
      this.#records.set(record.name, record);
      position += length;
    }
    if (this.#records.size !== count) {
      throw this.#error(`its directory has ${this.#records.size} entries, expected ${count}`);
    }
  }

  /** Returns the names of all entries, in the order of the directory. */
  names(): string[] {
    return [...this.#records.keys()];
  }

  /**
   * Returns the place of an entry, or undefined when there is none of that name.
   *
   * Throws a CheckpointError when the entry is compressed or leaves the file.
   */
  find(name: string): ZipEntry | undefined {
    const record = this.#records.get(name);
    if (record === undefined) return undefined;
    if (record.method !== STORED) {
      throw this.#error(
        `its entry ${JSON.stringify(name)} is compressed, expected it stored without compression`,
      );
    }
    return { offset: this.#offsetOf(record), bytes: record.bytes };
  }

  /**
   * Reads the content of an entry into memory, unpacked where it is compressed, and checks it as
   * {@linkcode ZipDirectory.requireSound} does.
   *
   * Throws a CheckpointError when there is none of that name, or it is damaged or has more than 2 GiB.
   */
  unpack(name: string): Uint8Array {
    const record = this.#records.get(name), entry = `its entry ${JSON.stringify(name)}`;
    if (record === undefined) throw this.#error(`${entry} is not there, expected one`);
    const { method, bytes, packedBytes } = record;
    if (bytes > MAX_UNPACKED_BYTES) {
      throw this.#error(`${entry} has ${bytes} bytes, expected at most ${MAX_UNPACKED_BYTES}`);
    }
    if (method !== STORED && method !== DEFLATED) {
      throw this.#error(`${entry} is compressed by method ${method}, expected deflate`);
    }
    // First, since it sees to it that the bytes are there.
    const offset = this.#offsetOf(record);
    let content: Uint8Array = new Uint8Array(packedBytes);
    this.#source.read(content, offset);
    if (method === DEFLATED) {
      try {
        content = inflateRawSync(content, { maxOutputLength: Math.max(1, bytes) });
      } catch (cause) {
        throw fileError(this.#path, `${entry} cannot be unpacked, ${messageOf(cause)}`, cause);
      }
    }
    this.requireSound(name, memoryByteSource(content));
    return content;
  }

  /**
   * Checks the content of the entry `name`, unpacked where it is compressed, by the CRC-32 in the directory.
   *
   * Throws a CheckpointError when it is damaged.
   */
  requireSound(name: string, content: ByteSource): void {
    const expected = this.#records.get(name)?.checksum;
    const piece = new Uint8Array(CHECKED_BYTES);
    let found = 0;
    for (let position = 0; position < content.size; position += CHECKED_BYTES) {
      found = crc32(piece.subarray(0, content.read(piece, position)), found);
    }
    if (found === expected) return;
    throw this.#error(
      `its entry ${JSON.stringify(name)} is damaged: ` +
        `its checksum is ${found}, expected ${expected}`,
    );
  }

  /** Where the content of an entry begins, which ends within the file. */
  #offsetOf({ name, headerOffset, packedBytes }: Record): number {
    const entry = `its entry ${JSON.stringify(name)}`, header = this.#view(headerOffset, 30);
    if (header.getUint32(0, true) !== LOCAL_HEADER) {
      throw this.#error(`${entry} has no header at byte ${headerOffset}`);
    }
    // The name and the extra field may be longer here than in the directory: PyTorch pads the
    // extra field so that contents are aligned.
    const offset = headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    const end = offset + packedBytes, { size } = this.#source;
    if (end > size) throw this.#error(`${entry} ends at byte ${end}, expected at most ${size}`);
    return offset;
  }

  #error(state: string): Error {
    return fileError(this.#path, state);
  }

  #view(position: number, length: number): DataView<ArrayBuffer> {
    const bytes = new Uint8Array(position + length <= this.#source.size ? length : 0);
    if (bytes.length < length || this.#source.read(bytes, position) < length) {
      throw this.#error(
        `it ends at byte ${this.#source.size}, expected ${length} more from byte ${position} on`,
      );
    }
    return new DataView(bytes.buffer);
  }

  #number64(view: DataView, position: number): number {
    const value = view.getBigUint64(position, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw this.#error(`its directory has the number ${value}, expected one within the file`);
    }
    return Number(value);
  }

  /** Finds the end record (4.3.16), which closes the file up to a comment of 65535 bytes. */
  #findDirectory(): { offset: number; bytes: number; count: number } {
    const { size } = this.#source;
    const length = Math.min(size, 22 + 0xffff);
    const tail = this.#view(size - length, length);
    let end = length - 22;
    while (
      end >= 0 &&
      (tail.getUint32(end, true) !== DIRECTORY_END ||
        end + 22 + tail.getUint16(end + 20, true) !== length)
    ) end--;
    if (end < 0) {
      throw this.#error(
        "it has no zip directory at its end, expected a whole zip file, as PyTorch and NumPy write them",
      );
    }
    const start = size - length + end;
    let disk = tail.getUint16(end + 4, true);
    let count = tail.getUint16(end + 10, true);
    let bytes = tail.getUint32(end + 12, true);
    let offset = tail.getUint32(end + 16, true);
    let limit = start;
    if (count === 0xffff || bytes === 0xffffffff || offset === 0xffffffff) {
      // 4.3.15 and 4.3.14: the locator stands before the end record and points to the wide one.
      const locator = this.#view(Math.max(0, start - 20), 20);
      if (locator.getUint32(0, true) !== DIRECTORY_LOCATOR_64) {
        throw this.#error(`it has no zip64 locator at byte ${start - 20}, expected one`);
      }
      limit = this.#number64(locator, 8);
      const wide = this.#view(limit, 56);
      if (wide.getUint32(0, true) !== DIRECTORY_END_64) {
        throw this.#error(`it has no zip64 directory end at byte ${limit}, expected one`);
      }
      disk = wide.getUint32(16, true);
      count = this.#number64(wide, 32);
      bytes = this.#number64(wide, 40);
      offset = this.#number64(wide, 48);
    }
    if (disk !== 0) throw this.#error("it is one part of a split archive, expected the whole");
    if (offset + bytes > limit) {
      throw this.#error(
        `its directory ends at byte ${offset + bytes}, expected at most ${limit}`,
      );
    }
    return { offset, bytes, count };
  }

  /** Reads one directory header (4.3.12) with its zip64 field (4.5.3), which has what overflows. */
  #readRecord(view: DataView<ArrayBuffer>): Record {
    const nameBytes = view.getUint16(28, true);
    const extraBytes = view.getUint16(30, true);
    let name: string;
    try {
      name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        new Uint8Array(view.buffer, view.byteOffset + 46, nameBytes),
      );
    } catch {
      throw this.#error("an entry of its directory has no name in UTF-8, expected one");
    }
    if ((view.getUint16(8, true) & 1) !== 0) {
      throw this.#error(`its entry ${JSON.stringify(name)} is encrypted, expected plain bytes`);
    }
    const values = [24, 20, 42].map((position) => view.getUint32(position, true));
    let position = 46 + nameBytes;
    const end = position + extraBytes;
    while (position + 4 <= end) {
      const kind = view.getUint16(position, true);
      const fieldEnd = position + 4 + view.getUint16(position + 2, true);
      if (fieldEnd > end) break;
      let field = position + 4;
      for (let index = 0; kind === 1 && index < 3; index++) {
        if (values[index] !== 0xffffffff || field + 8 > fieldEnd) continue;
        values[index] = this.#number64(view, field);
        field += 8;
      }
      position = fieldEnd;
    }
    const [bytes, packedBytes, headerOffset] = values as [number, number, number];
    const method = view.getUint16(10, true), checksum = view.getUint32(16, true);
    if (method === STORED && bytes !== packedBytes) {
      throw this.#error(
        `its entry ${JSON.stringify(name)} takes ${packedBytes} bytes, expected ${bytes}`,
      );
    }
    return { name, method, headerOffset, bytes, packedBytes, checksum };
  }
}
