import assert from "node:assert/strict";
import { resolveConfig } from "../../train/config.ts";
import { sideForBank } from "../../train/encode_files.ts";

Deno.test("images for a run's bank are read at the side of those that made it", () => {
  const encoder = { preprocessing: { size: 224, crop: 0.875 } };
  const side = (run: Record<string, unknown>) => sideForBank(resolveConfig(run), encoder);
  const data = { imageSize: 32 };
  assert.equal(side({ data }), 32);
  assert.equal(side({ data, bank: { path: "bank.safetensors" } }), 256);
  assert.equal(side({ data: { kind: "latents", path: "latents" } }), 256);
});
