/**
 * The files that commands write: checked before the long work, and named where the disk refuses.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "node:path";
import { endOfLinks, writeAtomically } from "../kernels/core/atomic_file.ts";
import { CHECKPOINT_NAME, RUN_BANK } from "../train/run_files.ts";
import { UsageError } from "./arguments.ts";

/** What is known of a file to write. */
export interface OutputOptions {
  /** Files that the command reads and must not write over; those left out do not count. */
  readonly inputs?: readonly (string | undefined)[];
  /** Other files that the command writes, there or not yet; those left out do not count. */
  readonly others?: readonly (string | undefined)[];
  /** Endings of the names that say what is written; any name by default. */
  readonly endings?: readonly string[];
  /** The option that names the file; `--out` by default. */
  readonly option?: string;
}

/**
 * Checks that a command may write a file, and makes the folders on the way to it, or to what a link there leads to.
 *
 * @throws {UsageError} when the name has another ending, or when the file is one that the command
 * reads, another one that it writes, or a run's own bank: its snippets are those of the images that the run goes
 * on with.
 * @throws {TypeError} when it is a folder, a device or a pipe, and an Error when its folder cannot be made or
 * takes no file.
 *
 * @example
 * ```ts ignore
 * await prepareOutput(options.out, { inputs: [options.bank], endings: [".png"] });
 * ```
 */
export async function prepareOutput(path: string, options: OutputOptions = {}): Promise<void> {
  const { inputs = [], others = [], endings, option = "--out" } = options;
  const found = statusOf(path);
  if (found?.isDirectory) {
    throw new TypeError(`Cannot write ${path}: it is a folder, expected a file for ${option}`);
  }
  // The finished file would take the place of a device or a pipe.
  if (found !== undefined && !found.isFile) {
    throw new TypeError(
      `Cannot write ${path}: it is a device or a pipe, expected a file for ${option}`,
    );
  }
  if (endings !== undefined && !endings.some((ending) => path.endsWith(ending))) {
    throw new UsageError(
      `Cannot write ${path}: expected a name in ${endings.join(" or ")} for ${option}`,
    );
  }
  const place = await writing(path, () => placeOf(path));
  if (others.some((other) => other !== undefined && placeOf(other) === place)) {
    throw new UsageError(
      `Cannot write ${path}: this command writes another file there, expected another name for ${option}`,
    );
  }
  if (found !== undefined) {
    const isInput = inputs.some((input) =>
      input !== undefined && statusOf(input) !== undefined && placeOf(input) === place
    );
    if (isInput) {
      throw new UsageError(
        `Cannot write over ${path}: this command reads it, expected another file for ${option}`,
      );
    }
    if (basename(place) === RUN_BANK && hasCheckpoints(dirname(place))) {
      throw new UsageError(
        `Cannot write over ${path}: it is the bank of a run, which must stay as it is for ` +
          `train --resume and sample, expected another file for ${option}`,
      );
    }
  }
  // Some files have a place by default, whose option one need not know.
  await writing(path, () => makeFolder(dirname(endOfLinks(path))), {
    expected: `another place for ${option}`,
  });
}

/**
 * Checks that a command may fill a folder, and makes it.
 *
 * @throws {UsageError} when there is something in it already, which would be mixed with what is written.
 * @throws {TypeError} when it is a file.
 * @throws {Error} when it cannot be made or takes no file.
 *
 * @example
 * ```ts ignore
 * await prepareOutputFolder("samples");
 * ```
 */
export async function prepareOutputFolder(path: string): Promise<void> {
  const found = statusOf(path);
  if (found !== undefined && !found.isDirectory) {
    throw new TypeError(`Cannot write into ${path}: it is a file, expected a folder for --out`);
  }
  if (found !== undefined && [...Deno.readDirSync(path)].length > 0) {
    throw new UsageError(
      `Cannot write into ${path}: there are files in it, expected a new or empty folder for --out`,
    );
  }
  await writing(path, () => makeFolder(path), { expected: "another place for --out" });
}

/** Makes a folder, and a file in it for a moment. */
async function makeFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
  await Deno.remove(await Deno.makeTempFile({ dir: path, prefix: ".gmem_" }));
}

/**
 * Writes bytes or text to a file, whole or not at all.
 *
 * @throws {Error} that names the file when the system refuses, such as on a full disk.
 */
export async function writeOutput(path: string, content: Uint8Array | string): Promise<void> {
  await writing(path, () => writeAtomically(path, content));
}

/**
 * Runs what writes a file piece by piece, or makes a folder, and gives what it gives. An error may say what is
 * expected.
 *
 * @throws {Error} that names the file when the system refuses, such as on a full disk.
 */
export async function writing<T>(
  path: string,
  write: () => T | Promise<T>,
  { expected }: { readonly expected?: string } = {},
): Promise<T> {
  try {
    return await write();
  } catch (error) {
    // Not every error of the system has a code or the file's name; every one has its number.
    if (!(error instanceof Error && /\(os error \d+\)/.test(error.message))) throw error;
    const file = fileOnTheWay(path);
    const state = file === undefined ? error.message : `${file} is a file`;
    const wanted = file === undefined ? expected : "a folder";
    throw new Error(
      `Cannot write ${path}: ${state}${wanted === undefined ? "" : `, expected ${wanted}`}`,
      { cause: error },
    );
  }
}

/** What stands where a folder on the way to a file would, and is none; undefined where nothing does. */
function fileOnTheWay(path: string): string | undefined {
  const folder = dirname(path), found = statusOf(folder);
  if (found !== undefined) return found.isDirectory ? undefined : folder;
  return folder === path ? undefined : fileOnTheWay(folder);
}

/** The one name of the file that a path is or will be, by whatever folders and links it is reached. */
function placeOf(path: string): string {
  if (statusOf(path) !== undefined) return Deno.realPathSync(path);
  const end = resolve(endOfLinks(path)), folder = dirname(end);
  return folder === end ? end : join(placeOf(folder), basename(end));
}

/** What stands at a path, or undefined. */
function statusOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

function hasCheckpoints(directory: string): boolean {
  return Deno.readDirSync(directory).some(({ name, isDirectory }) =>
    isDirectory && CHECKPOINT_NAME.test(name)
  );
}
