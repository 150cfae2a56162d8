/**
 * Text that may be JSON.
 *
 * @module
 */

/** What a text is in JSON; undefined where it is none, for a check that says what was expected. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
