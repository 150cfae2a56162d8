import assert from "node:assert/strict";
import { sha256Hex } from "../../../kernels/core/sha256.ts";

Deno.test("sha256Hex() hashes texts and views, one after the other, as WebCrypto does", async () => {
  const floats = Float32Array.of(1, -2, 0.5, 3).subarray(1, 3);
  const joined = await new Blob(["grün", new Float32Array(floats), Uint8Array.of(7)]).arrayBuffer();
  const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", joined)).toHex();
  assert.equal(sha256Hex("grün", floats, Uint8Array.of(7)), expected);
});
