import assert from "node:assert/strict";
import { sideForBank } from "../../train/encode_files.ts";

Deno.test("images that a bank is asked about are read at the side of its own", () => {
  const encoder = { preprocessing: { size: 224, crop: 0.875 } };
  assert.equal(sideForBank({ imageSize: 32 }, encoder), 32);
  assert.equal(sideForBank({}, encoder), 256);
});
