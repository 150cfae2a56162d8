/**
 * Configurations from files.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { messageOf } from "../kernels/core/errors.ts";
import { type Config, parseConfig } from "./config.ts";

/** The configuration of commands that need one and were told none. */
export const DEFAULT_CONFIG = "configs/emoji_tiny.yaml";

/**
 * Reads the configuration in a file, or that of settings alone where none is named.
 *
 * @throws {Deno.errors.NotFound} that lists the configurations there when the file does not exist.
 * @throws {Error} when there is something that cannot be read, such as a folder.
 * @throws {SyntaxError} when the text is not YAML, or with every unknown key and wrong value.
 */
export async function loadConfig(
  path: string | undefined,
  options: { overrides: readonly string[] },
): Promise<Config> {
  if (path === undefined) return parseConfig("", options);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) {
      throw new Error(
        `Cannot read configuration ${path}: ${messageOf(cause)}, expected a YAML file`,
        { cause },
      );
    }
    const others = new Set([...configsIn(dirname(path)), ...configsIn("configs")]);
    const such = others.size > 0 ? `one such as ${[...others].join(", ")}` : "a YAML file";
    throw new Deno.errors.NotFound(
      `Cannot read configuration ${path}: there is no such file, expected ${such}`,
      { cause },
    );
  }
  return parseConfig(text, { name: path, overrides: options.overrides });
}

function configsIn(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)]
      .filter(({ name }) => /\.ya?ml$/.test(name))
      .map(({ name }) => join(directory, name))
      .sort();
  } catch {
    return [];
  }
}
