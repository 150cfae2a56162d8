import assert from "node:assert/strict";
import { parseConfig } from "../../train/config.ts";
import { encodePng } from "../../train/datasets/png.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { loadImages, openImages } from "../../train/load_data.ts";

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

Deno.test("openImages() gives the images of loadImages(), those of a folder from their files", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (let i = 0; i < 6; i++) {
      await Deno.mkdir(`${folder}/${i % 2}`, { recursive: true });
      const data = Uint8Array.from({ length: 192 }, (_, k) => (k * k + 31 * i) % 256);
      const png = encodePng({ width: 8, height: 8, channels: 3, data });
      await Deno.writeFile(`${folder}/${i % 2}/${i}.png`, png);
    }
    const options = { seed: 3, note: (line: string) => assert.fail(line) };
    for (const heldOut of [0, 2]) {
      const { data } = parseConfig("", {
        overrides: [
          ...["data.kind=folder", `data.path=${JSON.stringify(folder)}`],
          ...["data.imageSize=8", `data.heldOut=${heldOut}`],
        ],
      });
      const loaded = await loadImages(data, options), opened = await openImages(data, options);
      assert.deepEqual(opened.places, loaded.places);
      for (const part of ["train", "heldOut"] as const) {
        const { size, names, labels, classes, read } = opened[part] ?? {};
        const expected = loaded[part];
        assert.deepEqual([size, names, classes], [
          ...[expected?.size, expected?.names, expected?.classes],
        ]);
        assert.deepEqual(labels && Array.from(labels), expected && [...expected.labels]);
        const indices = Uint32Array.from({ length: size ?? 0 }, (_, i) => size! - 1 - i);
        assert.deepEqual(await read?.(indices), expected?.read(indices));
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
