/**
 * The files that commands read after long work: looked for before it.
 *
 * @module
 */

import { existsSync } from "node:fs";

/**
 * Checks that files are there, each by the option or key that names it; those left out do not count.
 *
 * @throws {Deno.errors.NotFound} that names the first which is not, and a TypeError for one that is a folder.
 *
 * @example
 * ```ts ignore
 * requireFiles({ "--init": options.init, "bank.path": config.bank.path });
 * ```
 */
export function requireFiles(files: Readonly<Record<string, string | null | undefined>>): void {
  for (const [name, path] of Object.entries(files)) {
    if (path === null || path === undefined) continue;
    if (!existsSync(path)) {
      throw new Deno.errors.NotFound(
        `Cannot read ${path}: there is no such file, expected one for ${name}`,
      );
    }
    if (Deno.statSync(path).isDirectory) {
      throw new TypeError(`Cannot read ${path}: it is a folder, expected a file for ${name}`);
    }
  }
}
