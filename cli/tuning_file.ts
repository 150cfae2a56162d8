/**
 * Where measured kernel variants are kept between runs: the one file that knows the user's cache
 * folder.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { writeAtomically } from "../kernels/core/atomic_file.ts";
import { messageOf } from "../kernels/core/errors.ts";
import { parseTuning, type Tuning, type TuningTable } from "../kernels/core/tuning.ts";
import { VERSION } from "./version.ts";

/** Reads an environment variable. */
export type ReadVariable = (name: string) => string | undefined;

/**
 * The file in the user's cache folder: `$XDG_CACHE_HOME/gmem/tuning.json`, else
 * `~/.cache/gmem/tuning.json`; `%LOCALAPPDATA%\gmem\tuning.json` on Windows. Undefined where none of
 * these variables is set.
 */
export function tuningPath(
  variable: ReadVariable = (name) => Deno.env.get(name),
  os: string = Deno.build.os,
): string | undefined {
  const home = variable("HOME");
  const cache = os === "windows"
    ? variable("LOCALAPPDATA")
    : variable("XDG_CACHE_HOME") || (home && join(home, ".cache"));
  return cache ? join(cache, "gmem", "tuning.json") : undefined;
}

/**
 * What was measured on this machine by this version, for `Device.open`. There is none without a file
 * at `path`; one that cannot be used counts as none, and `note` is told why.
 */
export function readTuning(
  options: { path?: string | undefined; note: (line: string) => void },
): Tuning | undefined {
  const { path = tuningPath(), note } = options;
  if (path === undefined) return undefined;
  try {
    return parseTuning(Deno.readTextFileSync(path), { version: VERSION });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      note(`ignored ${path}: ${messageOf(error)}; deno task tune writes it anew`);
    }
    return undefined;
  }
}

/**
 * Adds the table of an adapter to the file, in place of the entries that it had for the same sizes.
 * A file that cannot be used is replaced, and `note` is told.
 */
export function writeTuning(
  table: TuningTable,
  { path, label, note }: { path: string; label: string; note: (line: string) => void },
): void {
  const adapters = readTuning({ path, note })?.adapters ?? {};
  const old = adapters[label] ?? {};
  const merged = { ...old };
  for (const [op, variants] of Object.entries(table)) merged[op] = { ...old[op], ...variants };
  const tuning: Tuning = { version: VERSION, adapters: { ...adapters, [label]: merged } };
  Deno.mkdirSync(dirname(path), { recursive: true });
  // Another command may read the file at any moment: it finds the old one or the new one whole.
  writeAtomically(path, `${JSON.stringify(tuning, null, 2)}\n`);
}
