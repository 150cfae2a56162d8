/**
 * What is found in a directory that a user names.
 *
 * @module
 */

import { sep } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../kernels/core/errors.ts";

/** How {@linkcode readDirectory} reports a directory that is not there. */
export interface ReadDirectoryOptions {
  /** The start of the error: "Cannot load MNIST". */
  readonly problem: string;
  /** What the directory should hold. */
  readonly expected: string;
}

/** The last slash of a path; a backslash is one on Windows, and elsewhere a letter like any other. */
const LAST_SLASH = sep === "\\" ? /[/\\]$/ : /\/$/;

/** Returns the path of a directory that is given as a path or as a file URL, without a last slash. */
export function directoryPath(directory: string | URL): string {
  const path = directory instanceof URL ? fileURLToPath(directory) : directory;
  return path.length > 1 ? path.replace(LAST_SLASH, "") : path;
}

/**
 * Reads the entries of a directory.
 *
 * Throws an Error that says what is expected if there is no such directory, or it cannot be read.
 */
export async function readDirectory(
  path: string,
  options: ReadDirectoryOptions,
): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (cause) {
    const { problem, expected } = options;
    throw new Error(`${problem}: ${directoryProblem(path, cause)}, expected ${expected}`, {
      cause,
    });
  }
}

/** Why a directory could not be read, by the error of the system. */
export function directoryProblem(path: string, cause: unknown): string {
  if (cause instanceof Deno.errors.NotFound) return `${path} does not exist`;
  if (cause instanceof Deno.errors.NotADirectory) return `${path} is a file`;
  return messageOf(cause);
}
