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

/** Texts that are one string of JSON at a time. */
const TEXTS_AT_ONCE = 4096;

/** Bytes of JSON that are one string at a time: strings end at half a GiB. */
const BYTES_AT_ONCE = 2 ** 26;

const COMMA = 0x2c, OPEN = 0x5b, CLOSE = 0x5d, QUOTE = 0x22, BACKSLASH = 0x5c;

/** A JSON list of texts in UTF-8, which may be longer than a string can be. */
export function encodeTexts(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder(), pieces: Uint8Array[] = [];
  for (let first = 0; first < texts.length; first += TEXTS_AT_ONCE) {
    const listed = JSON.stringify(texts.slice(first, first + TEXTS_AT_ONCE));
    pieces.push(encoder.encode(`${first === 0 ? "" : ","}${listed.slice(1, -1)}`));
  }
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 2));
  bytes[0] = OPEN;
  let end = 1;
  for (const piece of pieces) {
    bytes.set(piece, end);
    end += piece.length;
  }
  bytes[end] = CLOSE;
  return bytes;
}

/**
 * The texts that a JSON list in UTF-8 holds, which may be longer than a string can be; undefined where it is no list
 * of texts. Throws `TypeError` where it is not UTF-8.
 */
export function decodeTexts(
  bytes: Uint8Array,
  atOnce: number = BYTES_AT_ONCE,
): string[] | undefined {
  const decoder = new TextDecoder("utf-8", { fatal: true }), texts: string[] = [];
  for (let start = 0; start < bytes.length || start === 0;) {
    const end = endOfTexts(bytes, { start, atOnce });
    const listed = decoder.decode(bytes.subarray(start, end));
    const some = parseTexts(`${start === 0 ? "" : "["}${listed}${end < bytes.length ? "]" : ""}`);
    if (some === undefined) return undefined;
    for (const text of some) texts.push(text);
    start = end + 1;
  }
  return texts;
}

/** The comma behind the first `atOnce` bytes of a list, or of its rest from `start` on; the end where there is none. */
function endOfTexts(
  bytes: Uint8Array,
  { start, atOnce }: { readonly start: number; readonly atOnce: number },
): number {
  if (bytes.length - start <= atOnce) return bytes.length;
  for (let at = bytes.indexOf(QUOTE, start); at >= 0; at = bytes.indexOf(QUOTE, at)) {
    do at = bytes.indexOf(QUOTE, at + 1); while (at >= 0 && isEscaped(bytes, at));
    const comma = at < 0 ? -1 : bytes.indexOf(COMMA, at);
    if (comma < 0) break;
    if (comma >= start + atOnce) return comma;
    at = comma;
  }
  return bytes.length;
}

/** Whether the character at a place in a JSON text has an odd number of backslashes before it. */
function isEscaped(bytes: Uint8Array, at: number): boolean {
  let before = at;
  while (bytes[before - 1] === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

/** Whether a value is a list of texts. */
export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}

/** Whether a value is an object and no array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
