/**
 * Files that are there whole or not at all.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { messageOf } from "./errors.ts";

/** What a file is called that is not complete. */
const PARTIAL = /^(.+)\.gmem-[0-9a-f]{8}\.partial$/s;

/**
 * A file that takes its name, and the place of an older one, when it is complete; where a link has that name,
 * the link stays and the file takes the place that it leads to. Until then its bytes are in a file beside it
 * whose name ends in `.partial` and is this writer's alone, so that two processes may write the same file at
 * once. Whatever ends the writing but a kill removes that file; what a kill leaves, the next writer of the
 * same file removes, where the disk has locks.
 *
 * Throws what the disk throws; a failed write or commit closes the file.
 *
 * @example
 * ```ts
 * const path = await Deno.makeTempFile();
 * using file = new AtomicFile(path);
 * file.write(Uint8Array.of(1, 2));
 * file.write(Uint8Array.of(3));
 * console.log(Deno.readFileSync(path)); // Uint8Array(0) []
 * file.commit();
 * console.log(Deno.readFileSync(path)); // Uint8Array(3) [ 1, 2, 3 ]
 * await Deno.remove(path);
 * ```
 */
export class AtomicFile implements Disposable {
  /** The path that the finished file gets. */
  readonly path: string;
  /** Where it goes: the path itself, or what the link there leads to. */
  readonly #place: string;
  readonly #partial: string;
  #file: Deno.FsFile | undefined;

  /** Makes the file beside `path`, or beside what the link there leads to. */
  constructor(path: string) {
    this.path = path;
    this.#place = endOfLinks(path);
    this.#partial = `${this.#place}.gmem-${crypto.randomUUID().slice(0, 8)}.partial`;
    removeAbandoned(dirname(this.#place), basename(this.#place));
    this.#file = Deno.openSync(this.#partial, { write: true, createNew: true });
    tryLock(this.#file);
  }

  /** Writes all the bytes of `data`: from `position` on, or after those written last. */
  write(data: ArrayBufferView, position?: number): void {
    this.#attempt((file) => writeAll(file, data, position));
  }

  /** Waits until the bytes are on the disk and gives the file its name. */
  commit(): void {
    this.#attempt((file) => {
      file.syncSync();
      // While it is locked: another writer must not take it for abandoned.
      Deno.renameSync(this.#partial, this.#place);
      file.close();
      this.#file = undefined;
    });
  }

  /** Removes the file unless it was committed. */
  [Symbol.dispose](): void {
    if (this.#file !== undefined) this.#discard();
  }

  #attempt(act: (file: Deno.FsFile) => void): void {
    if (this.#file === undefined) {
      throw new ReferenceError(
        `Cannot write file ${JSON.stringify(this.path)}: ` +
          "the writer is closed, expected an open one",
      );
    }
    try {
      act(this.#file);
    } catch (error) {
      this.#discard();
      throw error;
    }
  }

  #discard(): void {
    this.#file?.close();
    this.#file = undefined;
    try {
      Deno.removeSync(this.#partial);
    } catch {
      // What brought us here is the error to report; the name says that the file is partial.
    }
  }
}

/**
 * Where the file of a path is or will be: what the link there leads to, and the links after it, whether or not
 * there is a file at their end; the path itself where no link is.
 *
 * Throws what the system says of links that lead round in a circle.
 */
export function endOfLinks(path: string): string {
  if (!isLink(path)) return path;
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return endOfLinks(resolve(Deno.realPathSync(dirname(path)), Deno.readLinkSync(path)));
  }
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}

/**
 * Removes what killed writers left in a folder, of one of its files or of all: partial files that nobody has
 * locked. Where the disk has no locks they stay.
 */
export function removeAbandoned(folder: string, file?: string): void {
  try {
    for (const { name } of Deno.readDirSync(folder)) {
      const of = PARTIAL.exec(name)?.[1];
      if (of === undefined || of !== (file ?? of)) continue;
      const path = join(folder, name);
      using left = Deno.openSync(path, { write: true });
      // Between its making and its lock a file is empty.
      if (left.statSync().size > 0 && tryLock(left) === undefined) Deno.removeSync(path);
    }
  } catch {
    // It is of use to nobody, and harms nobody.
  }
}

/**
 * Locks an open file until it is closed, and gives nothing; or why it could not: another has it ("taken"), or what
 * the system says where the disk has no locks, as with some network file systems.
 */
export function tryLock(file: Deno.FsFile): string | undefined {
  try {
    return file.tryLockSync(true) ? undefined : "taken";
  } catch (error) {
    return messageOf(error);
  }
}

/** Writes a file of its own, whole or not at all; throws as {@linkcode AtomicFile} does. */
export function writeAtomically(path: string, content: string | Uint8Array): void {
  using file = new AtomicFile(path);
  file.write(typeof content === "string" ? new TextEncoder().encode(content) : content);
  file.commit();
}

/**
 * Writes all the bytes of `data` to an open file, of which the system may take a part at a time: from
 * `position` on, or where the file stands.
 *
 * Throws an Error when the disk takes no more, and what it throws itself.
 */
export function writeAll(file: Deno.FsFile, data: ArrayBufferView, position?: number): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (position !== undefined) file.seekSync(position, Deno.SeekMode.Start);
  for (let written = 0; written < bytes.length;) {
    const count = file.writeSync(bytes.subarray(written));
    if (count === 0) throw new Error(`the disk took ${written} bytes of ${bytes.length}`);
    written += count;
  }
}
