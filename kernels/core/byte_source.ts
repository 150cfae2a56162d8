/**
 * Random access to the bytes of a file or of memory, for the readers of checkpoint files.
 *
 * @module
 */

import { CheckpointError, messageOf } from "./errors.ts";

/** Bytes that can be read from any position; the file, if there is one, is closed with them. */
export interface ByteSource extends Disposable {
  /** Count of bytes when the source was opened. */
  readonly size: number;
  /** Fills as much of `target` as there is from `position` on and returns the count of bytes. */
  read(target: Uint8Array, position: number): number;
}

/** The error for a file that cannot be read as a whole. */
export function fileError(path: string, state: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`Cannot read file ${JSON.stringify(path)}: ${state}`, { path, cause });
}

/**
 * Opens a regular file.
 *
 * Throws a {@linkcode CheckpointError} for everything else and for a file that cannot be opened.
 */
export function openByteSource(path: string): ByteSource {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    throw fileError(path, isMissing ? "there is no such file" : messageOf(error), error);
  }
  using opened = new DisposableStack();
  const { isFile, isDirectory, size } = opened.use(file).statSync();
  if (!isFile) {
    const kind = isDirectory ? "a folder" : "no regular file";
    throw fileError(path, `it is ${kind}, expected a file`);
  }
  opened.move();
  return {
    size,
    read(target: Uint8Array, position: number): number {
      file.seekSync(position, Deno.SeekMode.Start);
      let filled = 0;
      while (filled < target.length) {
        const count = file.readSync(target.subarray(filled));
        if (count === null || count === 0) break;
        filled += count;
      }
      return filled;
    },
    [Symbol.dispose]: () => file.close(),
  };
}

/** Reads from `bytes`, which are not copied and must not change. */
export function memoryByteSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read(target: Uint8Array, position: number): number {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    [Symbol.dispose]: () => {},
  };
}
