/**
 * JSON of unknown content.
 *
 * @module
 */

/** The value of a JSON text; undefined where it is none, for a check that says what was expected. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The texts that a JSON list holds; undefined where it is no list of texts. */
export function parseTexts(text: string): string[] | undefined {
  const values = parseJson(text);
  return isTexts(values) ? values : undefined;
}

/** Whether a value is a list of texts. */
export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}

/** Whether a value is an object and no array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
