import assert from "node:assert/strict";
import { buildBank, encodeImages } from "../../bank/build.ts";
import { BankFile } from "../../bank/file.ts";
import { inDirectory, pixelEncoder, randomImages, sourceOf } from "./_images.ts";

const SIZES = { channels: 1, imageSize: 2 };

Deno.test("buildBank() writes the snippets of encodeImages() in the order of the images", async () => {
  // More than one batch of 256.
  const pixels = randomImages(300, SIZES);
  const names = Array.from({ length: 300 }, (_, i) => `image ${i}`);
  const images = sourceOf(pixels, {
    ...SIZES,
    names,
    labels: Uint32Array.from(names, (_, i) => i % 2),
    classes: ["even", "odd"],
    texts: names.toReversed(),
  });
  const encoder = pixelEncoder(4), done: number[] = [];
  const onProgress = (count: number) => done.push(count);
  const set = await encodeImages({ images, encoder, onProgress });
  assert.deepEqual(done, [256, 300]);
  assert.deepEqual(
    set.snippets.subarray(4 * 299),
    await encoder.encode(pixels.subarray(4 * 299), { count: 1, channels: 1, height: 2, width: 2 }),
  );
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    await buildBank({ images, encoder, path });
    using file = BankFile.open(path);
    assert.deepEqual(file.rows(0, 300), set.snippets);
    assert.deepEqual(file.names, names);
    assert.deepEqual([...file.labels!].slice(0, 3), [0, 1, 0]);
    assert.deepEqual(file.classes, ["even", "odd"]);
    assert.deepEqual(file.texts, names.toReversed());
    assert.deepEqual(file.encoder, encoder.description);
  });
});

Deno.test("buildBank() keeps no labels without classes to name them", async () => {
  const images = sourceOf(randomImages(2, SIZES), { ...SIZES, labels: new Uint32Array(2) });
  const { labels } = await encodeImages({ images, encoder: pixelEncoder(4) });
  assert.equal(labels, undefined);
});

Deno.test("buildBank() names the image without direction and leaves the old file", async () => {
  const pixels = randomImages(300, SIZES);
  pixels.fill(0, 4 * 270, 4 * 271);
  const images = sourceOf(pixels, SIZES);
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    await Deno.writeTextFile(path, "old");
    await assert.rejects(buildBank({ images, encoder: pixelEncoder(4), path }), {
      name: "RangeError",
      message: /snippet 270/,
    });
    assert.equal(await Deno.readTextFile(path), "old");
    assert.deepEqual((await Array.fromAsync(Deno.readDir(directory))).length, 1);
  });
});
