import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { permutation } from "../../kernels/core/random.ts";
import { parseConfig } from "../../train/config.ts";
import { loadCifar10 } from "../../train/datasets/cifar10.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { loadImageFolder, openImageFolder } from "../../train/datasets/image_folder.ts";
import { ImageSet, splitIndices } from "../../train/datasets/image_set.ts";
import { loadMnist } from "../../train/datasets/mnist.ts";
import { pictureScale, tileImages } from "../../train/datasets/picture.ts";
import { decodePng, encodePng, type RawImage } from "../../train/datasets/png.ts";
import { testNumbers } from "../_check_op.ts";
import { loadImages } from "../../train/load_data.ts";
import { canLink } from "../_system.ts";

/** Runs a test body with a fresh directory, removed afterwards. */
async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "gmem_datasets_" });
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Five 2x2 RGB images; every byte of image n is 50 n, its label is n mod 2. */
function fiveImages(): ImageSet {
  return new ImageSet({
    imageSize: 2,
    channels: 3,
    pixels: Uint8Array.from({ length: 60 }, (_, index) => 50 * Math.floor(index / 12)),
    names: ["a", "b", "c", "d", "e"],
    labels: Uint32Array.of(0, 1, 0, 1, 0),
    classes: ["even", "odd"],
    texts: ["A", "B", "C", "D", "E"],
  });
}

/** The RGB colour of a pixel of an image of a set. */
function pixelAt(set: ImageSet, options: { image: number; x: number; y: number }): number[] {
  const { image, x, y } = options;
  return Array.from({ length: set.channels }, (_, channel) => {
    const row = (image * set.channels + channel) * set.imageSize + y;
    return set.pixels[row * set.imageSize + x]!;
  });
}

/** Whether two colours are equal up to what a lossy format or a resize changes. */
function assertColour(actual: number[], expected: number[]): void {
  for (const [channel, value] of expected.entries()) {
    assert.ok(
      Math.abs(actual[channel]! - value) <= 8,
      `colour [${actual}], expected [${expected}] within 8`,
    );
  }
}

/** A PNG of one colour. */
function plainPng(colour: [number, number, number]): Uint8Array {
  const data = Uint8Array.from({ length: 6 * 6 * 3 }, (_, index) => colour[index % 3]!);
  return encodePng({ width: 6, height: 6, channels: 3, data });
}

/** An IDX file of unsigned bytes. */
function idxFile(shape: number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x0800 | shape.length);
  for (const [axis, size] of shape.entries()) view.setUint32(4 + 4 * axis, size);
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

Deno.test("ImageSet.read() returns floats in [-1, 1] in the order of the indices", () => {
  const set = new ImageSet({
    imageSize: 1,
    channels: 2,
    pixels: Uint8Array.of(0, 255, 51, 204),
    names: ["a", "b"],
  });
  const batch = set.read(Uint32Array.of(1, 0, 1));
  assert.deepEqual(
    [...batch],
    [51, 204, 0, 255, 51, 204].map((byte) => Math.fround(byte / 127.5 - 1)),
  );
  assert.deepEqual([...set.labels], [0, 0]);
  assert.deepEqual(set.classes, []);
  assert.equal(set.texts, undefined);
  assert.throws(() => set.read(Uint32Array.of(2)), RangeError);
});

Deno.test("ImageSet() names what is wrong with its arrays", () => {
  const right = { imageSize: 1, channels: 1, pixels: Uint8Array.of(1, 2), names: ["a", "b"] };
  assert.equal(new ImageSet(right).size, 2);
  const wrong: [Partial<ConstructorParameters<typeof ImageSet>[0]>, ErrorConstructor, RegExp][] = [
    [{ names: [], pixels: new Uint8Array(0) }, RangeError, /it has no images/],
    [{ imageSize: 1.5 }, RangeError, /imageSize is 1.5, expected a whole number from 1/],
    [{ channels: 0 }, RangeError, /channels is 0, expected a whole number from 1/],
    [{ pixels: Uint8Array.of(1) }, TypeError, /pixels has 1 bytes, expected 2 for \[2, 1, 1, 1\]/],
    [{ labels: Uint32Array.of(0) }, TypeError, /labels has 1 entries, expected 2/],
    [{ labels: Uint32Array.of(0, 1) }, RangeError, /image 1 has label 1, expected a label below 1/],
    [{ texts: ["x"] }, TypeError, /texts has 1 entries, expected 2/],
  ];
  for (const [change, type, message] of wrong) {
    assert.throws(() => new ImageSet({ ...right, ...change }), (error) => {
      assert.ok(error instanceof type, `${error} is not a ${type.name}`);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("ImageSet.subset() keeps what belongs to each image", () => {
  const set = fiveImages().subset(Uint32Array.of(3, 0));
  assert.deepEqual(set.names, ["d", "a"]);
  assert.deepEqual(set.texts, ["D", "A"]);
  assert.deepEqual([...set.labels], [1, 0]);
  assert.deepEqual(set.classes, ["even", "odd"]);
  assert.deepEqual(pixelAt(set, { image: 0, x: 1, y: 1 }), [150, 150, 150]);
  assert.throws(() => fiveImages().subset(Uint32Array.of(5)), RangeError);
  assert.throws(() => fiveImages().subset(new Uint32Array(0)), RangeError);
});

Deno.test("splitIndices() chooses by an order that no epoch of a run has", () => {
  const { train, heldOut } = splitIndices(100, { heldOut: 10, seed: 3 });
  assert.deepEqual(splitIndices(9, { heldOut: 3 }), splitIndices(9, { heldOut: 3, seed: 0 }));
  assert.deepEqual(heldOut, permutation(100, 3, 2 ** 32 - 1).slice(0, 10).sort());
  assert.deepEqual([...train, ...heldOut].sort((a, b) => a - b), [...Array(100).keys()]);
});

Deno.test("ImageSet.split() parts the set the same way for the same seed", () => {
  const { train, heldOut } = fiveImages().split({ heldOut: 2, seed: 1 });
  assert.equal(train.size, 3);
  assert.equal(heldOut.size, 2);
  assert.deepEqual([...train.names, ...heldOut.names].sort(), ["a", "b", "c", "d", "e"]);
  assert.deepEqual(train.names, train.names.toSorted());
  assert.deepEqual(fiveImages().split({ heldOut: 2, seed: 1 }).heldOut.names, heldOut.names);
  const choices = new Set(
    Array.from({ length: 20 }, (_, seed) => fiveImages().split({ heldOut: 2, seed }).heldOut.names)
      .map(String),
  );
  assert.ok(choices.size > 3, `20 seeds make ${choices.size} choices of the 10 there are`);
  for (const count of [1, 4]) {
    const parts = fiveImages().split({ heldOut: count, seed: 1 });
    assert.deepEqual([parts.train.size, parts.heldOut.size], [5 - count, count]);
  }
  for (const count of [0, 5, 1.5]) {
    assert.throws(() => fiveImages().split({ heldOut: count, seed: 1 }), RangeError);
  }
});

Deno.test("decodePng() returns what encodePng() wrote", () => {
  for (const channels of [1, 3, 4] as const) {
    const data = Uint8Array.from({ length: 5 * 3 * channels }, (_, index) => (index * 37) % 256);
    const image: RawImage = { width: 5, height: 3, channels, data };
    assert.deepEqual(decodePng(encodePng(image)), image);
  }
  const data = new Uint8Array(5);
  assert.throws(() => encodePng({ width: 2, height: 2, channels: 1, data }), TypeError);
  assert.throws(() => encodePng({ width: 0, height: 2, channels: 1, data }), RangeError);
});

Deno.test("decodePng() reads palettes, filters, grey with alpha and interlaced files", async () => {
  const width = 20, height = 10;
  const colours = Uint8Array.from(
    { length: width * height * 3 },
    (_, index) => [200, 30, 90][index % 3]! - (Math.floor(index / 3) % width < 10 ? 20 : 0),
  );
  const raw = { width, height, channels: 3 as const };
  for (const options of [{ palette: true }, { adaptiveFiltering: true }, { progressive: true }]) {
    const bytes = await sharp(colours, { raw }).png(options).toBuffer();
    assert.deepEqual(decodePng(bytes), { ...raw, data: colours }, JSON.stringify(options));
  }
  const greyAlpha = Uint8Array.of(10, 255, 20, 0, 30, 128);
  const bytes = await sharp(greyAlpha, { raw: { width: 3, height: 1, channels: 2 } })
    .toColourspace("b-w").png().toBuffer();
  assert.deepEqual(decodePng(bytes), {
    width: 3,
    height: 1,
    channels: 4,
    data: Uint8Array.of(10, 10, 10, 255, 20, 20, 20, 0, 30, 30, 30, 128),
  });
});

Deno.test("decodePng() refuses damaged, cut, huge and other than 8-bit files", async () => {
  const whole = plainPng([1, 2, 3]);
  assert.throws(() => decodePng(new Uint8Array(0)), SyntaxError);
  const text = new TextEncoder().encode("not a picture at all, but a text");
  assert.throws(() => decodePng(text), /^SyntaxError: Cannot decode PNG: wrong PNG signature/);
  for (let length = 8; length < whole.length; length++) {
    assert.throws(() => decodePng(whole.slice(0, length)), SyntaxError, `${length} bytes`);
  }
  const damaged = whole.slice();
  damaged[50]! ^= 1;
  assert.throws(() => decodePng(damaged), SyntaxError);
  const huge = whole.slice();
  new DataView(huge.buffer).setUint32(16, 0x7fffffff);
  assert.throws(() => decodePng(huge), RangeError);
  // Within the limit, but more than there can be in so few bytes: nothing of that size is to be made.
  new DataView(huge.buffer).setUint32(16, 2 ** 14);
  new DataView(huge.buffer).setUint32(20, 2 ** 14);
  assert.throws(() => decodePng(huge), /claims 16384x16384 pixels, more than \d+ bytes hold/);
  // One colour deflates best.
  const black = {
    width: 4096,
    height: 4096,
    channels: 3,
    data: new Uint8Array(3 * 4096 ** 2),
  } as const;
  assert.equal(decodePng(encodePng(black)).data.length, black.data.length);
  const deep = await sharp(Uint16Array.of(0, 65535), { raw: { width: 2, height: 1, channels: 1 } })
    .toColourspace("grey16").png().toBuffer();
  assert.throws(() => decodePng(deep), /16 bits per sample, expected 8/);
  // Two grey pixels of one bit each.
  const flat = Uint8Array.fromBase64(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABAQAAAADcWUInAAAACklEQVR4nGNwAAAAQgBBKTf07wAAAABJRU5ErkJggg==",
  );
  assert.throws(() => decodePng(flat), /1 bits per sample, expected 8/);
  // Four black pixels, and black to be seen through.
  const clear = Uint8Array.fromBase64(
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAABCAIAAAB2XpiaAAAABnRSTlMAAAAAAABupgeRAAAAC0lEQVR4nGNgQAIAAA0AATBGj/4AAAAASUVORK5CYII=",
  );
  assert.throws(
    () => decodePng(clear),
    /it makes one colour transparent, expected an alpha channel/,
  );
});

Deno.test("loadEmoji() returns every emoji with its class, name and text", async () => {
  const emoji = await loadEmoji({ imageSize: 32 });
  assert.equal(emoji.size, 1906);
  assert.equal(new Set(emoji.names).size, 1906);
  assert.equal(emoji.texts?.[emoji.names.indexOf("heart")], "heavy black heart");
  const counts = new Map<string, number>();
  for (const label of emoji.labels) {
    counts.set(emoji.classes[label]!, (counts.get(emoji.classes[label]!) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(counts), {
    "Smileys & Emotion": 169,
    "People & Body": 386,
    "Animals & Nature": 159,
    "Food & Drink": 131,
    "Travel & Places": 218,
    Activities: 85,
    Objects: 264,
    Symbols: 224,
    Flags: 270,
  });
  const fine = await loadEmoji({ imageSize: 8, classes: "subcategory" });
  assert.equal(fine.classes.length, 98);
  assert.equal(fine.classes[fine.labels[fine.names.indexOf("heart")]!], "heart");
});

Deno.test("loadEmoji() returns the colours of the artwork on white", async () => {
  const emoji = await loadEmoji({ imageSize: 32 });
  // Read from the source sheet: opaque centres, and an edge of the red circle that is
  // [204, 51, 51] with alpha 39, over white.
  const expected: [string, number, number, number[]][] = [
    ["red_circle", 16, 16, [244, 67, 54]],
    ["red_circle", 31, 16, [247, 224, 224]],
    ["red_circle", 0, 0, [255, 255, 255]],
    ["large_blue_square", 16, 16, [25, 118, 210]],
    ["large_green_square", 16, 16, [124, 179, 66]],
    ["large_green_square", 5, 2, [142, 191, 88]],
    ["de", 16, 16, [220, 0, 0]],
  ];
  for (const [name, x, y, colour] of expected) {
    assert.deepEqual(pixelAt(emoji, { image: emoji.names.indexOf(name), x, y }), colour, name);
  }
});

Deno.test("loadEmoji() averages squares of pixels for 16 and 8, and refuses other sizes", async () => {
  const full = await loadEmoji({ imageSize: 32 });
  for (const imageSize of [16, 8]) {
    const small = await loadEmoji({ imageSize });
    const factor = 32 / imageSize;
    for (const image of [0, 700, 1905]) {
      for (const [x, y] of [[0, 0], [3, 5], [7, 7]] as const) {
        const sums = [0, 0, 0];
        for (let dy = 0; dy < factor; dy++) {
          for (let dx = 0; dx < factor; dx++) {
            const colour = pixelAt(full, { image, x: x * factor + dx, y: y * factor + dy });
            for (const [channel, value] of colour.entries()) sums[channel]! += value;
          }
        }
        const average = sums.map((sum) => Math.round(sum / factor ** 2));
        assert.deepEqual(pixelAt(small, { image, x, y }), average);
      }
    }
  }
  for (const imageSize of [24, 64, 0]) {
    await assert.rejects(loadEmoji({ imageSize }), /expected one of 32, 16, 8$/);
  }
  await assert.rejects(loadEmoji({ imageSize: 8, classes: "categories" as "category" }), {
    name: "RangeError",
    message: "Cannot load emoji: classes is categories, did you mean category? Expected one of " +
      "category, subcategory",
  });
});

Deno.test("loadEmoji() fetches the files of a folder on a server", async () => {
  const local = new URL("../../examples/emoji/", import.meta.url);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith("/emoji/")) return new Response(null, { status: 404 });
      return new Response(await Deno.readFile(new URL(pathname.slice("/emoji/".length), local)));
    },
  );
  const address = `http://127.0.0.1:${server.addr.port}`;
  const remote = await loadEmoji({ imageSize: 8, directory: new URL("/emoji/", address) });
  const here = await loadEmoji({ imageSize: 8 });
  assert.deepEqual(remote.pixels, here.pixels);
  assert.deepEqual(remote.names, here.names);
  await assert.rejects(
    loadEmoji({ imageSize: 8, directory: new URL("/elsewhere/", address) }),
    /answers 404, expected the file/,
  );
});

Deno.test("loadEmoji() refuses a list that is longer than the sheet, or none", async () => {
  await inDirectory(async (path) => {
    const folder = pathToFileURL(`${path}/`);
    const entry = { name: "a", text: "b", category: "c", subcategory: "d" };
    const data = new Uint8Array(64 * 32 * 3);
    await Deno.writeFile(
      new URL("sheet.png", folder),
      encodePng({ width: 64, height: 32, channels: 3, data }),
    );
    await Deno.writeTextFile(new URL("emoji.json", folder), JSON.stringify([entry, entry]));
    assert.equal((await loadEmoji({ imageSize: 8, directory: folder })).size, 2);
    await Deno.writeTextFile(new URL("emoji.json", folder), JSON.stringify([entry, entry, entry]));
    await assert.rejects(loadEmoji({ imageSize: 8, directory: folder }), SyntaxError);
    const { text: _, ...short } = entry;
    for (const wrong of ["{", "{}", "null", "[null]", JSON.stringify([entry, short])]) {
      await Deno.writeTextFile(new URL("emoji.json", folder), wrong);
      await assert.rejects(loadEmoji({ imageSize: 8, directory: folder }), {
        name: "SyntaxError",
        message:
          /^Cannot load emoji: emoji.json is no JSON list of objects of name, .* expected one$/,
      });
    }
  });
});

Deno.test("loadMnist() reads raw and gzipped files, with and without padding", async () => {
  await inDirectory(async (path) => {
    const pixels = Uint8Array.from({ length: 3 * 784 }, (_, index) => 1 + index % 251);
    const images = idxFile([3, 28, 28], pixels);
    const labels = idxFile([3], Uint8Array.of(5, 0, 9));
    await Deno.writeFile(`${path}/train-images-idx3-ubyte.gz`, gzipSync(images));
    await Deno.writeFile(`${path}/train-labels-idx1-ubyte`, labels);
    await Deno.writeFile(`${path}/t10k-images.idx3-ubyte`, images);
    await Deno.writeFile(`${path}/t10k-labels.idx1-ubyte`, labels);

    const plain = await loadMnist(path, { imageSize: 28 });
    assert.deepEqual(plain.pixels, pixels);
    assert.deepEqual([...plain.labels], [5, 0, 9]);
    assert.deepEqual(plain.names, ["train/0", "train/1", "train/2"]);
    assert.equal(plain.classes[5], "5");

    const { data } = parseConfig("data: { kind: mnist, imageSize: 28, channels: 1 }", {
      overrides: [`data.path=${JSON.stringify(path)}`],
    });
    const { train } = await loadImages(data, { seed: 0, note: assert.fail });
    assert.deepEqual([train.size, train.imageSize], [3, 28]);

    const padded = await loadMnist(pathToFileURL(path), { split: "test" });
    assert.equal(padded.imageSize, 32);
    assert.equal(padded.names[2], "test/2");
    for (let image = 0; image < 3; image++) {
      for (let y = 0; y < 32; y++) {
        for (let x = 0; x < 32; x++) {
          const inside = x >= 2 && x < 30 && y >= 2 && y < 30;
          const expected = inside ? pixels[image * 784 + (y - 2) * 28 + x - 2]! : 0;
          assert.deepEqual(pixelAt(padded, { image, x, y }), [expected], `${image} ${x} ${y}`);
        }
      }
    }
  });
});

Deno.test("loadMnist() names what is wrong with a file", async () => {
  await inDirectory(async (path) => {
    const images = idxFile([2, 28, 28], new Uint8Array(2 * 784));
    const labels = idxFile([2], new Uint8Array(2));
    async function fails(
      change: { images?: Uint8Array; labels?: Uint8Array },
      message: RegExp,
    ): Promise<void> {
      await Deno.writeFile(`${path}/train-images-idx3-ubyte`, change.images ?? images);
      await Deno.writeFile(`${path}/train-labels-idx1-ubyte`, change.labels ?? labels);
      await assert.rejects(loadMnist(path), message);
    }
    await assert.rejects(loadMnist(`${path}/none`), /none does not exist, expected a directory/);
    await assert.rejects(loadMnist(path), /lacks train-images, expected train-images-idx3-ubyte/);
    await fails({ images: images.slice(0, -1) }, /has 1567 bytes of data, expected 1568/);
    await fails({ images: images.slice(0, 9) }, /has another header/);
    await fails({ images: new Uint8Array(0) }, /has another header/);
    await fails({ images: labels }, /has another header/);
    for (const [height, width] of [[4, 4], [28, 4], [4, 28]] as const) {
      const other = idxFile([2, height, width], new Uint8Array(2 * height * width));
      await fails({ images: other }, new RegExp(`images are ${height}x${width}, expected 28x28`));
    }
    await fails({ images: gzipSync(images).subarray(0, 20) }, /is damaged or unpacks to more/);
    await fails({ labels: idxFile([1], new Uint8Array(1)) }, /2 images and 1 labels/);
    await fails({ labels: idxFile([2], Uint8Array.of(3, 10)) }, /image 1 has label 10/);
    await assert.rejects(loadMnist(path, { imageSize: 30 as 28 }), RangeError);
    await assert.rejects(loadMnist(path, { split: "val" as "test" }), {
      name: "RangeError",
      message: "Cannot load MNIST: split is val, expected one of train, test",
    });
  });
});

Deno.test("loadCifar10() reads the batches in order", async () => {
  await inDirectory(async (path) => {
    for (const [file, first] of [["data_batch_2", 2], ["data_batch_1", 1], ["test_batch", 3]]) {
      const batch = new Uint8Array(2 * 3073).fill(10 * Number(first));
      batch[0] = Number(first);
      batch[3073] = 9;
      batch[3073 + 1 + 1024 + 33] = 77; // green of the second image at x 1, y 1
      await Deno.writeFile(`${path}/${file}.bin`, batch);
    }
    const train = await loadCifar10(path);
    assert.deepEqual(train.names, [
      "data_batch_1/0",
      "data_batch_1/1",
      "data_batch_2/0",
      "data_batch_2/1",
    ]);
    assert.deepEqual([...train.labels].map((label) => train.classes[label]), [
      "automobile",
      "truck",
      "bird",
      "truck",
    ]);
    assert.deepEqual(pixelAt(train, { image: 0, x: 1, y: 1 }), [10, 10, 10]);
    assert.deepEqual(pixelAt(train, { image: 3, x: 1, y: 1 }), [20, 77, 20]);
    assert.deepEqual(pixelAt(train, { image: 3, x: 31, y: 31 }), [20, 20, 20]);
    const { data } = parseConfig("data: { kind: cifar10 }", {
      overrides: [`data.path=${JSON.stringify(path)}`],
    });
    const loaded = await loadImages(data, { seed: 0, note: assert.fail });
    assert.deepEqual(loaded.train.read(Uint32Array.of(3)), train.read(Uint32Array.of(3)));
    const test = await loadCifar10(path, { split: "test" });
    assert.equal(test.size, 2);
    assert.equal(test.classes[test.labels[0]!], "cat");
  });
});

Deno.test("loadCifar10() names what is wrong with a file", async () => {
  await inDirectory(async (path) => {
    await assert.rejects(loadCifar10(`${path}/none`), /none does not exist/);
    await assert.rejects(loadCifar10(path), /expected data_batch_1.bin to data_batch_5.bin/);
    await assert.rejects(loadCifar10(path, { split: "val" as "test" }), {
      name: "RangeError",
      message: "Cannot load CIFAR-10: split is val, expected one of train, test",
    });
    await Deno.writeFile(`${path}/test_batch.bin`, new Uint8Array(3074));
    await assert.rejects(
      loadCifar10(path, { split: "test" }),
      /test_batch.bin has 3074 bytes, expected a multiple of 3073/,
    );
    await Deno.writeFile(`${path}/test_batch.bin`, new Uint8Array(2 * 3073).fill(10, 3073));
    await assert.rejects(
      loadCifar10(path, { split: "test" }),
      /record 1 of test_batch.bin has label 10, expected a label below 10/,
    );
  });
});

Deno.test("loadImageFolder() takes the classes from the first level of folders", async () => {
  if (!canLink()) return;
  await inDirectory(async (path) => {
    await Deno.mkdir(`${path}/blue/deep`, { recursive: true });
    await Deno.mkdir(`${path}/red`);
    await Deno.mkdir(`${path}/.cache`);
    await Deno.writeFile(`${path}/red/2.PNG`, plainPng([255, 0, 0]));
    await Deno.writeFile(`${path}/red/10.png`, plainPng([200, 0, 0]));
    await Deno.writeFile(`${path}/blue/deep/1.png`, plainPng([0, 0, 255]));
    await Deno.writeFile(`${path}/blue/._1.png`, Uint8Array.of(1));
    await Deno.writeFile(`${path}/.cache/1.png`, plainPng([0, 255, 0]));
    await Deno.writeTextFile(`${path}/read_me.txt`, "text");
    await Deno.symlink(`${path}/red`, `${path}/rouge`);
    const progress: number[][] = [];
    const { images, skipped } = await loadImageFolder(pathToFileURL(`${path}/`), {
      imageSize: 4,
      onProgress: (...state) => progress.push(state),
    });
    assert.deepEqual(skipped, []);
    assert.deepEqual(images.classes, ["blue", "red", "rouge"]);
    assert.deepEqual(images.names, [
      "blue/deep/1.png",
      "red/10.png",
      "red/2.PNG",
      "rouge/10.png",
      "rouge/2.PNG",
    ]);
    assert.deepEqual([...images.labels], [0, 1, 1, 2, 2]);
    assert.deepEqual(pixelAt(images, { image: 0, x: 3, y: 0 }), [0, 0, 255]);
    assert.deepEqual(pixelAt(images, { image: 1, x: 0, y: 3 }), [200, 0, 0]);
    assert.deepEqual(progress, [1, 2, 3, 4, 5].map((done) => [done, 5]));

    await Deno.writeFile(`${path}/loose.png`, plainPng([0, 0, 0]));
    await assert.rejects(
      loadImageFolder(path, { imageSize: 4 }),
      /1 lie in .* beside its class folders, loose.png first/,
    );
    await Deno.remove(`${path}/loose.png`);
    await Deno.symlink(path, `${path}/red/circle`);
    await assert.rejects(loadImageFolder(path, { imageSize: 4 }), /links to a folder above it/);
  });
});

Deno.test("loadImageFolder() calls the class of a folder without folders by the folder's name", async () => {
  await inDirectory(async (directory) => {
    // Windows takes a backslash for a slash.
    const name = Deno.build.os === "windows" ? "odd" : "odd\\";
    const path = `${directory}/${name}`;
    await Deno.mkdir(path);
    const data = new Uint8Array(3);
    await Deno.writeFile(`${path}/a.png`, encodePng({ width: 1, height: 1, channels: 3, data }));
    for (const same of [path, `${path}/`, `${path}/.`, `${path}/../${name}`]) {
      const { images } = await loadImageFolder(same, { imageSize: 1 });
      assert.deepEqual(images.classes, [name], same);
    }
  });
});

Deno.test("loadImageFolder() turns, flattens, crops and scales", async () => {
  await inDirectory(async (path) => {
    // Left half red, right half blue; with orientation 6 a viewer turns it clockwise: red above.
    const halves = Uint8Array.from(
      { length: 40 * 20 * 3 },
      (_, index) =>
        Math.floor(index / 3) % 40 < 20 ? [255, 0, 0][index % 3]! : [0, 0, 255][index % 3]!,
    );
    const wide = sharp(halves, { raw: { width: 40, height: 20, channels: 3 } });
    await Deno.writeFile(
      `${path}/turned.jpg`,
      await wide.clone().jpeg({ quality: 100, chromaSubsampling: "4:4:4" })
        .withMetadata({ orientation: 6 }).toBuffer(),
    );
    await Deno.writeFile(
      `${path}/wide.webp`,
      await wide.clone().webp({ lossless: true }).toBuffer(),
    );
    for (const format of ["avif", "gif", "tiff", "jpeg"] as const) {
      await Deno.writeFile(
        `${path}/wide.${format}`,
        await wide.clone().toFormat(format).toBuffer(),
      );
    }
    const clear = Uint8Array.from({ length: 8 * 8 * 4 }, (_, index) => [0, 0, 0, 0][index % 4]!);
    await Deno.writeFile(
      `${path}/clear.png`,
      encodePng({ width: 8, height: 8, channels: 4, data: clear }),
    );
    const grey = encodePng({ width: 2, height: 2, channels: 1, data: new Uint8Array(4).fill(90) });
    await Deno.writeFile(`${path}/grey.png`, grey);
    const deep = new Uint16Array(16).fill(0x8080);
    await Deno.writeFile(
      `${path}/deep.png`,
      await sharp(deep, { raw: { width: 4, height: 4, channels: 1 } }).toColourspace("grey16")
        .png().toBuffer(),
    );
    await Deno.writeFile(
      `${path}/print.jpg`,
      await sharp({ create: { width: 9, height: 9, channels: 3, background: "white" } })
        .toColourspace("cmyk").jpeg().toBuffer(),
    );
    const { images, skipped } = await loadImageFolder(path, { imageSize: 8 });
    assert.deepEqual(skipped, []);
    assert.equal(images.size, 10);
    assert.equal(images.classes.length, 1);
    function colour(name: string, x: number, y: number): number[] {
      return pixelAt(images, { image: images.names.indexOf(name), x, y });
    }
    for (const name of ["wide.webp", "wide.avif", "wide.gif", "wide.tiff", "wide.jpeg"]) {
      assertColour(colour(name, 0, 4), [255, 0, 0]);
      assertColour(colour(name, 7, 4), [0, 0, 255]);
    }
    assertColour(colour("turned.jpg", 0, 0), [255, 0, 0]);
    assertColour(colour("turned.jpg", 7, 0), [255, 0, 0]);
    assertColour(colour("turned.jpg", 0, 7), [0, 0, 255]);
    assert.deepEqual(colour("clear.png", 4, 4), [255, 255, 255]);
    assert.deepEqual(colour("grey.png", 4, 4), [90, 90, 90]);
    assertColour(colour("deep.png", 4, 4), [128, 128, 128]);
    assertColour(colour("print.jpg", 4, 4), [255, 255, 255]);
  });
});

Deno.test("loadImageFolder() enlarges as Pillow does, around the middles of pixels", async () => {
  await inDirectory(async (path) => {
    const write = async (name: string, size: [width: number, height: number], data: number[]) => {
      const [width, height] = size;
      const png = encodePng({ width, height, channels: 1, data: Uint8Array.from(data) });
      await Deno.writeFile(`${path}/${name}.png`, png);
    };
    const ramp = [0, 36, 73, 109, 146, 182, 219, 255], edge = [0, 0, 0, 0, 255, 255, 255, 255];
    const rows = (row: number[]) => Array(8).fill(row).flat();
    await write("edge", [8, 8], rows(edge));
    await write("ramp", [8, 8], rows(ramp));
    await write("tall", [8, 10], [...rows(ramp), ...ramp, ...ramp]);
    const next = testNumbers(5), noise = Array.from({ length: 49 }, () => 127.5 * (next() + 1));
    await write("noise", [7, 7], noise);
    await write("turned", [7, 7], noise.toReversed());
    const { images } = await loadImageFolder(path, { imageSize: 16 });
    const bytesOf = (name: string) => {
      const first = images.names.indexOf(`${name}.png`) * 3 * 256; // of the red ones
      return images.pixels.subarray(first, first + 256);
    };
    // What Pillow 13 makes of a row by Image.BICUBIC.
    const wide = [0, 6, 25, 45, 64, 82, 100, 118, 137, 155, 173, 191, 210, 230, 249, 255];
    for (const name of ["ramp", "tall"]) {
      for (const y of [0, 7, 15]) {
        assert.deepEqual([...bytesOf(name).subarray(16 * y, 16 * (y + 1))], wide, `${name} ${y}`);
      }
    }
    const sharp = [...Array(7).fill(0), 52, 203, ...Array(7).fill(255)];
    assert.deepEqual([...bytesOf("edge").subarray(48, 64)], sharp);
    // Turned upside down it is the same, up to the order of sums.
    const turned = bytesOf("turned").toReversed();
    for (const [i, byte] of bytesOf("noise").entries()) {
      assert.ok(Math.abs(byte - turned[i]!) <= 1, `${i}: ${byte} and ${turned[i]}`);
    }
  });
});

Deno.test("loadImageFolder() crops where ADM does", async () => {
  // What ADM's `center_crop_arr` makes with Pillow 13 of rows 0, 20, 40, … of so many pixels.
  const cases: [width: number, height: number, imageSize: number, row: number[], levels: number][] =
    [
      [10, 7, 7, [20, 40, 60, 80, 100, 120, 140], 0],
      [9, 5, 4, [28, 54, 80, 106], 1],
      // Scaled to a width of 10.5 and of 12.5, of which Python makes 10 and 12.
      [12, 8, 7, [26, 50, 74, 98, 122, 146, 170], 1],
      [10, 4, 5, [48, 65, 82, 98, 115], 1],
      // Halved to 5 × 4 first; there its blocks are of two or three pixels, a fifth of a pixel off the middle of ours.
      [11, 8, 4, [10, 50, 100, 150], 8],
    ];
  for (const [width, height, imageSize, row, levels] of cases) {
    await inDirectory(async (path) => {
      const across = Uint8Array.from({ length: width * height }, (_, i) => 20 * (i % width));
      const down = Uint8Array.from(across, (_, i) => 20 * Math.floor(i / height));
      const lying = { width, height }, standing = { width: height, height: width };
      for (const [name, size, data] of [["a", lying, across], ["b", standing, down]] as const) {
        await Deno.writeFile(`${path}/${name}.png`, encodePng({ ...size, channels: 1, data }));
      }
      // The second once more, stored as it lies when a viewer turns it.
      const stored = sharp(`${path}/b.png`).rotate(90);
      await Deno.writeFile(
        `${path}/c.png`,
        await stored.png().withMetadata({ orientation: 8 }).toBuffer(),
      );
      const { images } = await loadImageFolder(path, { imageSize });
      const read = (image: number, i: number) =>
        pixelAt(images, { image, ...(image === 0 ? { x: i, y: 1 } : { x: 1, y: i }) })[0]!;
      for (const image of [0, 1, 2]) {
        const found = row.map((_, i) => read(image, i));
        const off = Math.max(...found.map((value, i) => Math.abs(value - row[i]!)));
        assert.ok(off <= levels, `${images.names[image]}: ${found}, expected ${row}`);
      }
    });
  }
});

Deno.test("loadImageFolder() averages fine detail away instead of picking pixels of it", async () => {
  await inDirectory(async (path) => {
    const board = Uint8Array.from(
      { length: 64 * 64 },
      (_, index) => (index + Math.floor(index / 64)) % 2 === 0 ? 0 : 255,
    );
    await Deno.writeFile(
      `${path}/board.png`,
      encodePng({ width: 64, height: 64, channels: 1, data: board }),
    );
    const { images } = await loadImageFolder(path, { imageSize: 8 });
    for (const byte of images.pixels) assert.ok(Math.abs(byte - 127.5) < 8, `${byte}`);
  });
});

Deno.test("loadImageFolder() skips and names a corrupt image", async () => {
  if (!canLink()) return;
  await inDirectory(async (path) => {
    for (let index = 0; index < 40; index++) {
      const name = `${String(index).padStart(2, "0")}.png`;
      await Deno.writeFile(`${path}/${name}`, plainPng([index, 0, 0]));
    }
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, index) => (index * 7919) % 251);
    const whole = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } }).jpeg()
      .toBuffer();
    await Deno.writeFile(`${path}/07_cut.jpg`, whole.subarray(0, whole.length / 2));
    await Deno.symlink(`${path}/nowhere.png`, `${path}/20_link.png`, { type: "file" });
    const { images, skipped } = await loadImageFolder(path, { imageSize: 6 });
    assert.deepEqual(skipped.map(({ name }) => name), ["07_cut.jpg", "20_link.png"]);
    assert.ok(skipped.every(({ reason }) => reason.length > 0));
    assert.equal(images.size, 40);
    for (let image = 0; image < 40; image++) {
      assert.equal(images.names[image], `${String(image).padStart(2, "0")}.png`);
      assert.deepEqual(pixelAt(images, { image, x: 0, y: 0 }), [image, 0, 0]);
    }
    await Deno.writeTextFile(`${path}/99_text.gif`, "no picture");
    await assert.rejects(loadImageFolder(path, { imageSize: 6 }), ({ message }: Error) => {
      const [, failed, read] =
        /(\d+) of (\d+) files in .* cannot be decoded, expected at most 5 % of all 43; among them: 07_cut/
          .exec(message) ?? assert.fail(message);
      assert.equal(failed, "3");
      // It stops at the third, which may not be the last.
      assert.ok(Number(read) >= 3 && Number(read) <= 43, message);
      return true;
    });
  });
});

Deno.test("loadImageFolder() says of each corrupt image what is wrong with it", async () => {
  await inDirectory(async (path) => {
    const side = 256;
    const noise = Uint8Array.from({ length: side ** 2 * 3 }, (_, index) => (index * 7919) % 251);
    const picture = () => sharp(noise, { raw: { width: side, height: side, channels: 3 } });
    const cut = { jpg: await picture().jpeg().toBuffer(), png: await picture().png().toBuffer() };
    // All of them are decoded at once.
    for (let index = 0; index < 8; index++) {
      for (const [kind, bytes] of Object.entries(cut)) {
        await Deno.writeFile(`${path}/${index}.${kind}`, bytes.subarray(0, bytes.length / 2));
      }
    }
    // Of a header that is cut sharp says so on the first line, which ends in a colon.
    await Deno.writeFile(`${path}/header.png`, cut.png.subarray(0, 40));
    for (let index = 0; index < 340; index++) {
      await Deno.writeFile(`${path}/a${index}.png`, plainPng([index % 256, 0, 0]));
    }
    const { skipped } = await loadImageFolder(path, { imageSize: 8 });
    assert.equal(skipped.length, 17);
    assert.equal(
      skipped.find(({ name }) => name === "header.png")?.reason,
      "Input buffer has corrupt header",
    );
    for (const { name, reason } of skipped.filter(({ name }) => name !== "header.png")) {
      const [own, other] = name.endsWith("jpg") ? [/jpeg/i, /png/i] : [/png/i, /jpeg/i];
      assert.ok(own.test(reason) && !other.test(reason) && !reason.includes("\n"), reason);
    }
  });
});

Deno.test("openImageFolder() reads the images of loadImageFolder() from their files", async () => {
  await inDirectory(async (path) => {
    await Deno.mkdir(`${path}/red`);
    await Deno.mkdir(`${path}/blue`);
    for (let index = 0; index < 30; index++) {
      await Deno.writeFile(
        `${path}/${index % 2 ? "red" : "blue"}/${index}.png`,
        plainPng([8 * index, index, 255 - index]),
      );
    }
    await Deno.writeTextFile(`${path}/red/4.png`, "no picture");
    await Deno.writeTextFile(`${path}/red/photo.heic`, "photo");
    const progress: number[][] = [];
    const opened = await openImageFolder(path, {
      imageSize: 4,
      onProgress: (...state) => progress.push(state),
    });
    const loaded = await loadImageFolder(path, { imageSize: 4 });
    assert.deepEqual([opened.skipped, opened.unread], [loaded.skipped, loaded.unread]);
    assert.deepEqual(opened.skipped.map(({ name }) => name), ["red/4.png"]);
    assert.deepEqual(progress.at(-1), [31, 31]);
    const { images } = opened;
    for (const key of ["size", "imageSize", "channels", "names", "classes", "labels"] as const) {
      assert.deepEqual(images[key], loaded.images[key]);
    }
    const indices = Uint32Array.of(29, 0, 7, 7);
    assert.deepEqual(await images.read(indices), loaded.images.read(indices));
    await assert.rejects(async () => await images.read(Uint32Array.of(30)), {
      name: "RangeError",
      message: "Cannot read image 30: the source has 30 images, expected an index from 0 to 29",
    });
    await Deno.remove(`${path}/${images.names[7]}`);
    await assert.rejects(
      async () => await images.read(Uint32Array.of(7)),
      /^Error: Cannot load image .*\.png: .*, expected an image file$/,
    );
  });
});

Deno.test("loadImageFolder() names images in formats that it does not read", async () => {
  await inDirectory(async (path) => {
    await Deno.mkdir(`${path}/red`);
    await Deno.writeFile(`${path}/red/1.png`, plainPng([255, 0, 0]));
    for (const name of ["red/b.HEIC", "red/a.bmp", "c.svg", "red/.d.bmp", "e.txt", "f.json"]) {
      await Deno.writeFile(`${path}/${name}`, Uint8Array.of(1));
    }
    const { images, skipped, unread } = await loadImageFolder(path, { imageSize: 4 });
    assert.deepEqual([images.names, skipped], [["red/1.png"], []]);
    assert.deepEqual(unread, ["c.svg", "red/a.bmp", "red/b.HEIC"]);
    const notes: string[] = [];
    const note = (line: string) => notes.push(line);
    const folder = ["data.kind=folder", `data.path=${JSON.stringify(path)}`];
    const { data } = parseConfig("", {
      overrides: [...folder, "data.imageSize=4", "data.heldOut=0"],
    });
    await loadImages(data, { seed: 0, note });
    assert.deepEqual(notes, [
      "skipped images in formats that are not read: 1 .svg, 1 .bmp, 1 .heic",
    ]);
  });
});

Deno.test("loadImageFolder() says what it expects of an empty, missing or wrong folder", async () => {
  await inDirectory(async (path) => {
    const expected = /expected a folder of png, jpg, jpeg, webp, avif, gif or tiff files/;
    await assert.rejects(loadImageFolder(path, { imageSize: 8 }), expected);
    await assert.rejects(loadImageFolder(path, { imageSize: 8 }), /holds no images/);
    await assert.rejects(loadImageFolder(`${path}/none`, { imageSize: 8 }), expected);
    await assert.rejects(loadImageFolder(`${path}/none`, { imageSize: 8 }), /does not exist/);
    await Deno.writeTextFile(`${path}/file`, "");
    await assert.rejects(loadImageFolder(`${path}/file`, { imageSize: 8 }), /is a file, expected/);
    await assert.rejects(loadImageFolder(path, { imageSize: 0 }), RangeError);
    await Deno.writeFile(`${path}/1.png`, plainPng([255, 0, 0]));
    await assert.rejects(loadImageFolder(path, { imageSize: 2 ** 24 }), {
      name: "RangeError",
      message: /^Cannot load images: 1 of 16777216 × 16777216 pixels take 786432\.0 GiB, which/,
    });
  });
});

Deno.test("tileImages() lays images out in rows with white between", () => {
  const black = -1, red = [1, -1, -1];
  const pixels = Float32Array.of(...new Array(12).fill(black), ...red.flatMap((x) => [x, x, x, x]));
  const picture = tileImages(Float32Array.of(...pixels, ...pixels.subarray(0, 12)), {
    columns: 2,
    imageSize: 2,
    channels: 3,
    scale: 3,
  });
  assert.equal(picture.width, 6 + 2 + 6);
  assert.equal(picture.height, 6 + 2 + 6);
  for (let y = 0; y < 14; y++) {
    for (let x = 0; x < 14; x++) {
      const left = x < 6, right = x > 7, above = y < 6, below = y > 7;
      const expected = left && (above || below)
        ? [0, 0, 0]
        : right && above
        ? [255, 0, 0]
        : [255, 255, 255];
      const start = (y * 14 + x) * 3;
      assert.deepEqual([...picture.data.subarray(start, start + 3)], expected, `${x} ${y}`);
    }
  }
});

Deno.test("tileImages() keeps the places of pixels and enlarges each to a square", () => {
  const pixels = Float32Array.of(-1, -0.5, 0.5, 1);
  const picture = tileImages(pixels, { columns: 1, imageSize: 2, channels: 1, scale: 2 });
  assert.deepEqual([...picture.data], [
    ...[0, 0, 64, 64],
    ...[0, 0, 64, 64],
    ...[191, 191, 255, 255],
    ...[191, 191, 255, 255],
  ]);
});

Deno.test("tileImages() clamps and truncates, and gives back every byte that was read", () => {
  const set = new ImageSet({
    imageSize: 16,
    channels: 1,
    pixels: Uint8Array.from({ length: 256 }, (_, index) => index),
    names: ["all"],
  });
  const picture = tileImages(set.read(Uint32Array.of(0)), {
    columns: 1,
    imageSize: 16,
    channels: 1,
  });
  assert.deepEqual(picture.data, set.pixels);
  const outside = tileImages(Float32Array.of(-3, 3, 0.99 / 127.5, -1.01), {
    columns: 1,
    imageSize: 1,
    channels: 1,
  });
  assert.deepEqual([0, 3, 6, 9].map((y) => outside.data[y]), [0, 255, 128, 0]);
});

Deno.test("pictureScale() makes pictures of about 640 pixels of whole pixels", () => {
  assert.equal(pictureScale({ columns: 4, imageSize: 32 }), 5);
  assert.equal(pictureScale({ columns: 3, imageSize: 28 }), 8);
  assert.equal(pictureScale({ columns: 8, imageSize: 256 }), 1);
});

Deno.test("tileImages() refuses options and lengths that make no picture", () => {
  const right = { columns: 1, imageSize: 2, channels: 1 } as const;
  const pixels = new Float32Array(4);
  assert.throws(() => tileImages(new Float32Array(5), right), TypeError);
  assert.throws(() => tileImages(new Float32Array(0), right), TypeError);
  for (
    const change of [
      ...[{ columns: 0 }, { imageSize: 1.5 }, { scale: 0 }, { scale: 1.5 }],
      ...[{ channels: 2 }, { channels: 4 }],
    ]
  ) {
    assert.throws(() => tileImages(pixels, { ...right, ...change }), RangeError);
  }
});
