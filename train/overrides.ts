/**
 * Settings of a configuration as `--set` takes them: `key=value` with the full name of a key.
 *
 * @module
 */

import { isRecord } from "../kernels/core/json.ts";
import { parseYaml } from "./yaml.ts";

/** Settings, as `--set` takes them, of a configuration whose data are the images of a folder. */
export function folderOverrides(data: string | undefined): string[] {
  return data === undefined ? [] : ["data.kind=folder", `data.path=${JSON.stringify(data)}`];
}

/**
 * The key's path and the text of an override.
 *
 * @throws {SyntaxError} when there is no key or no value.
 */
export function splitOverride(override: string): { path: string[]; text: string } {
  const equals = override.indexOf("=");
  if (equals < 1) {
    const missing = equals < 0 ? "no value" : "no key";
    throw new SyntaxError(`Cannot read setting ${override}: ${missing}, expected KEY=VALUE`);
  }
  return {
    path: override.slice(0, equals).trim().split("."),
    text: override.slice(equals + 1).trim(),
  };
}

/**
 * The value that stands behind `key=`. Where a key takes text, YAML reads null and what is in quotes alone.
 *
 * @throws {SyntaxError} with `name` when the text is not YAML.
 */
export function overrideValue(
  text: string,
  { isText, name }: { isText: boolean; name: string },
): unknown {
  if (text === "") return null;
  return isText && !/^(?:null|~)$|^["']/.test(text) ? text : parseYaml(text, { name });
}

/**
 * A copy of `container` with `value` at `path`; what lies on the way is copied, never changed. Something
 * there that is no mapping stays, for the schema to refuse.
 */
export function withValue(container: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const mapping = container ?? {};
  if (!isRecord(mapping)) return container;
  const child = Object.hasOwn(mapping, key) ? mapping[key] : undefined;
  return { ...mapping, [key]: withValue(child, rest, value) };
}
