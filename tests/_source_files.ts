/** The project's own TypeScript files, for tests on the source itself. */

import { readdirSync, readFileSync } from "node:fs";

const ROOT = new URL("../", import.meta.url);
const NOT_OURS = /^(?:\.|node_modules$|runs$|coverage$)/;

/** Paths of all TypeScript files relative to the project's root, sorted. */
export function sourceFiles(folder = ""): string[] {
  return readdirSync(new URL(folder, ROOT), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.test(entry.name)) return [];
    const path = folder + entry.name;
    if (entry.isDirectory()) return sourceFiles(`${path}/`);
    return entry.name.endsWith(".ts") ? [path] : [];
  }).sort();
}

/** The text of a file given by its path relative to the project's root. */
export function sourceText(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}
