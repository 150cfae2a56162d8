/**
 * YAML in and out: the one file that knows the YAML library.
 *
 * @module
 */

import { dump, load, YAMLException } from "js-yaml";

/**
 * Reads one YAML document; an empty text is an empty mapping. Errors call it by its name.
 *
 * @throws {SyntaxError} with line and column when the text is not YAML, or a key stands twice.
 *
 * @example
 * ```ts
 * console.log(parseYaml("steps: 100", { name: "a.yaml" })); // { steps: 100 }
 * ```
 */
export function parseYaml(text: string, { name }: { name: string }): unknown {
  // The library refuses a document without content; a file of comments alone means "all defaults".
  if (text.split("\n").every((line) => /^\s*(#|$)/.test(line))) return {};
  try {
    return load(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { mark, reason } = error;
    const place = mark === undefined ? "" : `line ${mark.line + 1}, column ${mark.column + 1}: `;
    throw new SyntaxError(`Cannot read ${name}: ${place}${reason}`, { cause: error });
  }
}

/**
 * Writes a plain value as YAML that {@linkcode parseYaml} reads back equal.
 *
 * @example
 * ```ts
 * console.log(stringifyYaml({ steps: 100 })); // steps: 100
 * ```
 */
export function stringifyYaml(value: unknown): string {
  return dump(value, { lineWidth: 100 });
}
