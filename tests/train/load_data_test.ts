import assert from "node:assert/strict";
import { parseConfig } from "../../train/config.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { loadImages } from "../../train/load_data.ts";

Deno.test("loadImages() says which of all images those to train on are", async () => {
  const all = await loadEmoji({ imageSize: 8 });
  const options = { seed: 3, note: (line: string) => assert.fail(line) };
  for (const heldOut of [0, 700]) {
    const { data } = parseConfig(`data: { imageSize: 8, heldOut: ${heldOut} }`);
    const { train, places } = await loadImages(data, options);
    assert.deepEqual([places.of, places.indices.length], [all.size, all.size - heldOut]);
    assert.deepEqual(
      train.read(Uint32Array.of(5, 600)),
      all.read(Uint32Array.of(places.indices[5]!, places.indices[600]!)),
    );
    assert.deepEqual(train.names, Array.from(places.indices, (index) => all.names[index]!));
  }
});
