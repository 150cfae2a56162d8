/**
 * Paths as someone typed them: `deno task` runs commands in the clone, wherever it was called.
 *
 * @module
 */

import { join, relative, resolve } from "node:path";

/**
 * The path that is meant: `~/` is the home folder, which shells leave as it is after `=`, and all else is
 * relative to the folder in which the task was called, of which `deno task` tells by `INIT_CWD`.
 */
export function typedPath(path: string): string {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  if (home !== undefined && /^~(?:[\\/]|$)/.test(path)) return join(home, path.slice(1));
  const folder = callingFolder();
  return folder === undefined ? path : resolve(folder, path);
}

/** A path of the clone as one may type it in the folder in which the task was called. */
export function clonePath(path: string): string {
  return callingFolder() === undefined ? path : resolve(path);
}

/** The folder in which the task was called; undefined where that is the one in which it runs. */
function callingFolder(): string | undefined {
  const folder = Deno.env.get("INIT_CWD");
  return folder === undefined || relative(folder, Deno.cwd()) === "" ? undefined : folder;
}
