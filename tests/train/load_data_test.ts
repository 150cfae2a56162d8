import assert from "node:assert/strict";
import { parseConfig } from "../../train/config.ts";
import { encodePng } from "../../train/datasets/png.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { loadImages, loadImagesOf } from "../../train/load_data.ts";

Deno.test("loadImages() says which of all images those to train on are", async () => {
  const all = await loadEmoji({ imageSize: 8 });
  const options = { seed: 3, note: (line: string) => assert.fail(line) };
  // A number of images, or a share of 1,906: 190.6 of them.
  for (const [heldOut, count] of [[0, 0], [700, 700], [0.1, 191]] as const) {
    const { data } = parseConfig(`data: { imageSize: 8, heldOut: ${heldOut} }`);
    const { train, places } = await loadImages(data, options);
    assert.deepEqual([places.of, places.indices.length], [all.size, all.size - count]);
    assert.deepEqual(
      await train.read(Uint32Array.of(5, 600)),
      all.read(Uint32Array.of(places.indices[5]!, places.indices[600]!)),
    );
    assert.deepEqual(train.names, Array.from(places.indices, (index) => all.names[index]!));
  }
});

Deno.test("loadImages() refuses a size that the data do not have before it reads them", async () => {
  const options = { seed: 3, note: (line: string) => assert.fail(line) };
  const cases = [
    [
      "cifar10",
      "path: nowhere, imageSize: 16",
      /imageSize is 16 and data\.channels 3, expected 32 and 3, as/,
    ],
    [
      "mnist",
      "path: nowhere, imageSize: 28",
      /imageSize is 28 and data\.channels 3, expected 28 or 32 and 1/,
    ],
    [
      "folder",
      "path: nowhere, channels: 1",
      /imageSize is 32 and data\.channels 1, expected 32 and 3, as/,
    ],
    [
      "emoji",
      "imageSize: 24",
      /imageSize is 24 and data\.channels 3, expected 32 or 16 or 8 and 3/,
    ],
  ] as const;
  for (const [kind, size, message] of cases) {
    const { data } = parseConfig(`data: { kind: ${kind}, ${size} }`);
    await assert.rejects(loadImages(data, options), { name: "SettingError", message });
  }
});

Deno.test("loadImages() refuses to hold out all images", async () => {
  const options = { seed: 3, note: (line: string) => assert.fail(line) };
  for (const heldOut of [1906, 5000, 0.9999]) {
    const { data } = parseConfig(`data: { imageSize: 8, heldOut: ${heldOut} }`);
    await assert.rejects(loadImages(data, options), {
      name: "SettingError",
      message:
        `Cannot hold out data.heldOut ${heldOut} of 1906 images: expected some left to train on`,
    });
  }
});

Deno.test("loadImages() leaves a folder above data.memoryLimit in its files, and reads the same", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (let i = 0; i < 6; i++) {
      await Deno.mkdir(`${folder}/${i % 2}`, { recursive: true });
      const data = Uint8Array.from({ length: 192 }, (_, k) => (k * k + 31 * i) % 256);
      const png = encodePng({ width: 8, height: 8, channels: 3, data });
      await Deno.writeFile(`${folder}/${i % 2}/${i}.png`, png);
    }
    const bytes = 6 * 3 * 8 ** 2;
    const load = async (heldOut: number, memory: number) => {
      const { data } = parseConfig("", {
        overrides: [
          ...["data.kind=folder", `data.path=${JSON.stringify(folder)}`, "data.imageSize=8"],
          ...[`data.heldOut=${heldOut}`, `data.memoryLimit=${memory / 2 ** 30}`],
        ],
      });
      const notes: string[] = [], progress: number[][] = [];
      const loaded = await loadImages(data, {
        seed: 3,
        note: (line) => notes.push(line),
        onProgress: (...state) => progress.push(state),
      });
      assert.deepEqual(progress.at(-1), [6, 6]);
      return { ...loaded, notes };
    };
    for (const heldOut of [0, 2]) {
      const loaded = await load(heldOut, bytes), opened = await load(heldOut, bytes - 1);
      assert.deepEqual(opened.places, loaded.places);
      assert.deepEqual(loaded.notes, []);
      assert.match(opened.notes.join(), /stay in their files, for data\.memoryLimit is 0\.0/);
      for (const part of ["train", "heldOut"] as const) {
        const [own, expected] = [opened[part], loaded[part]];
        if (!own || !expected) {
          assert.deepEqual([own, expected, heldOut], [undefined, undefined, 0]);
          continue;
        }
        for (
          const key of ["size", "imageSize", "channels", "names", "classes", "labels"] as const
        ) {
          assert.deepEqual(own[key], expected[key]);
        }
        const indices = Uint32Array.from({ length: own.size }, (_, i) => own.size - 1 - i);
        const pixels = expected.read(indices), read = own.read(indices);
        assert.ok(pixels instanceof Float32Array && read instanceof Promise);
        assert.deepEqual(await read, pixels);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("loadImagesOf() decodes of a folder no more than the images that are read", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "gmem_images_of_" });
  try {
    for (const shade of [0, 255]) {
      const png = { width: 1, height: 1, channels: 1, data: Uint8Array.of(shade) } as const;
      Deno.writeFileSync(`${folder}/${shade}.png`, encodePng(png));
    }
    Deno.writeTextFileSync(`${folder}/torn.png`, "not an image");
    const config = parseConfig(
      `data: { kind: folder, path: ${folder}, imageSize: 8, heldOut: 1 }`,
    );
    const { data } = config, note = (line: string) => assert.fail(line);
    const wrong = { name: "Error", message: /torn\.png/ };
    await assert.rejects(loadImages(data, { seed: 0, note }), wrong);
    const images = await loadImagesOf({ names: ["255.png"] }, { config, note });
    assert.deepEqual([images.names, images.size], [["0.png", "255.png", "torn.png"], 3]);
    assert.deepEqual(
      await images.read(Uint32Array.of(1, 0)),
      new Float32Array(2 * 3 * 64).fill(1, 0, 192).fill(-1, 192),
    );
    assert.deepEqual(await images.read(Uint32Array.of()), new Float32Array());
    await assert.rejects(async () => await images.read(Uint32Array.of(2)), wrong);
    // Without names the places of the images count, which those have that can be decoded.
    await assert.rejects(loadImagesOf({}, { config, note }), wrong);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
