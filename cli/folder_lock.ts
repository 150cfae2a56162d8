/**
 * A folder that one process at a time writes to.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { tryLock } from "../kernels/core/atomic_file.ts";
import { UsageError } from "./arguments.ts";
import { writing } from "./output_file.ts";

/** What {@linkcode lockFolder} says. */
export interface FolderLockOptions {
  /** What is expected where another process has the folder. */
  readonly expected: string;
  /** Gets a line where the disk has no locks, as some network file systems. */
  readonly note: (line: string) => void;
}

const LOCK = ".lock";

/**
 * Makes a folder where there is none and takes it for this process, until the result is disposed or the
 * process ends, however it ends: the lock is the system's, on a file in the folder that goes with it. A
 * folder that was made for the lock and is still empty goes too.
 *
 * @throws {UsageError} when another process has the folder.
 * @throws {Error} when the folder cannot be made or written to.
 *
 * @example
 * ```ts ignore
 * using lock = await lockFolder("runs/emoji", { expected: "another folder", note: console.error });
 * ```
 */
export async function lockFolder(
  directory: string,
  { expected, note }: FolderLockOptions,
): Promise<Disposable> {
  const path = join(directory, LOCK), isNew = !existsSync(directory);
  let file: Deno.FsFile, problem: string | undefined;
  for (;;) {
    file = await openLock(path);
    problem = tryLock(file);
    // Whoever had it before may have removed the file after it was opened here.
    if (problem !== undefined || isAt(file, path)) break;
    file.close();
  }
  if (problem === "taken") {
    file.close();
    throw new UsageError(
      `Cannot write to folder ${directory}: another process writes there, expected ${expected}`,
    );
  }
  if (problem !== undefined) {
    note(
      `note    nothing keeps other processes from ${directory}: it cannot be locked, ${problem}`,
    );
  }
  return {
    [Symbol.dispose]: () => {
      // While the lock is held: a file that another process has locked stays.
      removeIfPossible(path);
      file.close();
      if (isNew) removeIfPossible(directory);
    },
  };
}

async function openLock(path: string): Promise<Deno.FsFile> {
  return await writing(path, async () => {
    await Deno.mkdir(dirname(path), { recursive: true });
    return await Deno.open(path, { write: true, create: true });
  });
}

/** Whether a path leads to an open file still. */
function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    return Deno.statSync(path).ino === file.statSync().ino;
  } catch {
    return false;
  }
}

/** Removes a file or an empty folder. */
function removeIfPossible(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It is of use to nobody, and harms nobody.
  }
}
