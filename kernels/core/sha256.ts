/**
 * Digests by which contents are told apart.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** SHA-256, in hexadecimal digits, of texts (UTF-8) and bytes, one after the other. */
export function sha256Hex(...parts: readonly (string | Uint8Array | Float32Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
