import assert from "node:assert/strict";
import { buildBank, encodeImages } from "../../bank/build.ts";
import { BankFile } from "../../bank/file.ts";
import { type ImageSource, shardOf } from "../../bank/image_source.ts";
import { mergeBanks } from "../../bank/merge.ts";
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
  const encoder = pixelEncoder(4), done: number[][] = [];
  const onProgress = (...each: [number, number]) => done.push(each);
  const set = await encodeImages({ images, encoder, onProgress });
  assert.deepEqual(done, [[256, 300], [300, 300]]);
  assert.deepEqual(
    set.snippets.subarray(4 * 299),
    await encoder.encode(pixels.subarray(4 * 299), { count: 1, channels: 1, height: 2, width: 2 }),
  );
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    await buildBank({ images, encoder, out: path });
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
    await assert.rejects(buildBank({ images, encoder: pixelEncoder(4), out: path }), {
      name: "RangeError",
      message: /snippet 270/,
    });
    assert.equal(await Deno.readTextFile(path), "old");
    // With another image in its place the build goes on.
    const done: number[] = [];
    const onProgress = (count: number) => done.push(count);
    const mended = sourceOf(randomImages(300, SIZES), SIZES);
    await buildBank({ images: mended, encoder: pixelEncoder(4), out: path, onProgress });
    assert.deepEqual(done, [300]);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(directory))).length, 1);
  });
});

Deno.test("buildBank() refuses what is no snippet of each image, and begins anew after it", async () => {
  const images = sourceOf(randomImages(300, SIZES), SIZES), good = pixelEncoder(4);
  const spoilt = (spoil: (rows: Float32Array) => Float32Array) => ({
    ...good,
    encode: async (pixels: Float32Array, shape: Parameters<typeof good.encode>[1]) =>
      spoil(await good.encode(pixels, shape)),
  });
  const cases = [
    [
      (rows: Float32Array) => rows.subarray(4),
      /^TypeError: Cannot encode images 0 to 255: .*1020 numbers/,
    ],
    [
      (rows: Float32Array) => Float32Array.of(...rows, 1),
      /^TypeError: .*expected 256 snippets of 4$/,
    ],
    [(rows: Float32Array) => rows.map((x) => 2 * x), /^RangeError: .*snippet 0 has norm 1\.99/],
    [(rows: Float32Array) => rows.fill(NaN, 8, 9), /^RangeError: .*snippet 2 has norm NaN/],
  ] as const;
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    for (const [spoil, message] of cases) {
      await assert.rejects(buildBank({ images, encoder: spoilt(spoil), out: path }), message);
      await assert.rejects(encodeImages({ images, encoder: spoilt(spoil) }), message);
      assert.deepEqual([...Deno.readDirSync(directory)], []);
    }
    await buildBank({ images, encoder: good, out: path });
  });
});

Deno.test("buildBank() goes on after an encoder that failed on a later batch, whatever its error", async () => {
  const images = sourceOf(randomImages(300, SIZES), SIZES), good = pixelEncoder(4);
  const failing: typeof good = {
    ...good,
    encode: (pixels, shape) =>
      shape.firstIndex! > 0
        ? Promise.reject(new TypeError("out of memory"))
        : good.encode(pixels, shape),
  };
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`, done: number[] = [];
    await assert.rejects(buildBank({ images, encoder: failing, out: path }), /out of memory/);
    const onProgress = (count: number) => done.push(count);
    await buildBank({ images, encoder: good, out: path, onProgress });
    assert.deepEqual(done, [300]);
  });
});

Deno.test("buildBank() goes on where a killed build ended", async () => {
  const images = sourceOf(randomImages(700, SIZES), SIZES);
  const encoder = pixelEncoder(4);
  const read: number[] = [];
  const watched: ImageSource = {
    ...images,
    read(indices) {
      read.push(indices[0]!);
      if (indices[0]! >= 512 && read.length === 3) throw new Error("killed");
      return images.read(indices);
    },
  };
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    await assert.rejects(buildBank({ images: watched, encoder, out: path }), { message: "killed" });
    assert.deepEqual(read, [0, 256, 512]);
    // A kill may cut a row off.
    const { size } = Deno.statSync(`${path}.part`);
    Deno.truncateSync(`${path}.part`, size - 5);
    const done: number[] = [];
    await buildBank({
      images: watched,
      encoder,
      out: path,
      onProgress: (count) => done.push(count),
    });
    // The first and the last image that were done are read again, to see that they are the same.
    assert.deepEqual([read.slice(3), done], [[0, 510, 511], [700]]);
    const { snippets } = await encodeImages({ images, encoder });
    using file = BankFile.open(path);
    assert.deepEqual(file.rows(0, 700), snippets);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(directory))).length, 1);
  });
});

Deno.test("buildBank() leaves a bank alone that another build makes", async () => {
  const images = sourceOf(randomImages(300, SIZES), SIZES), encoder = pixelEncoder(4);
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const builds = await Promise.allSettled(
      [1, 2].map(() => buildBank({ images, encoder, out: path })),
    );
    const [, refused] = builds.sort((a, b) => a.status < b.status ? -1 : 1);
    assert.equal(refused?.status, "rejected");
    assert.equal(refused.reason.name, "CheckpointError");
    assert.match(refused.reason.message, /bank\.safetensors\.part": another build appends to it/);
    using file = BankFile.open(path);
    assert.deepEqual(file.rows(0, 300), (await encodeImages({ images, encoder })).snippets);
    // The lock goes with the build.
    await buildBank({ images, encoder, out: path });
  });
});

Deno.test("buildBank() does not go on with images that have changed", async () => {
  const pixels = randomImages(700, SIZES);
  const names = Array.from({ length: 700 }, (_, i) => `${i}.png`);
  const encoder = pixelEncoder(4);
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const images = sourceOf(pixels, { ...SIZES, names });
    const broken = {
      ...images,
      read: (indices: Uint32Array) =>
        indices[0]! > 300 ? Promise.reject(new Error("killed")) : images.read(indices),
    };
    await assert.rejects(buildBank({ images: broken, encoder, out: path }), { message: "killed" });
    const [named, part] = [path, `${path}.part`].map((file) => JSON.stringify(file));
    for (const changed of [0, 511]) {
      const others = pixels.slice();
      others[4 * changed]! += 2 ** -8;
      await assert.rejects(
        buildBank({ images: sourceOf(others, { ...SIZES, names }), encoder, out: path }),
        {
          name: "CheckpointError",
          message:
            `Cannot go on with the build of ${named}: image ${changed} "${changed}.png" has changed ` +
            `since it was encoded, expected the same pixels; remove ${part} to begin anew`,
        },
      );
    }
    await buildBank({ images, encoder, out: path });
  });
});

Deno.test("buildBank() goes on with the same encoder from a file that was moved", async () => {
  const images = sourceOf(randomImages(300, SIZES), SIZES), encoder = pixelEncoder(4);
  const from = (source: string) => ({
    ...encoder,
    description: { ...encoder.description, source },
  });
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const broken = {
      ...images,
      read: (indices: Uint32Array) =>
        indices[0]! > 0 ? Promise.reject(new Error("killed")) : images.read(indices),
    };
    const first = buildBank({ images: broken, encoder: from("a.onnx"), out: path });
    await assert.rejects(first, { message: "killed" });
    const done: number[] = [];
    const onProgress = (count: number) => done.push(count);
    await buildBank({ images, encoder: from("b/a.onnx"), out: path, onProgress });
    assert.deepEqual(done, [300]);
    using file = BankFile.open(path);
    assert.equal(file.encoder!.source, "b/a.onnx");
  });
});

Deno.test("buildBank() begins anew for another encoder, and for images of other names", async () => {
  const images = sourceOf(randomImages(3, SIZES), SIZES);
  const encoder = pixelEncoder(4);
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const broken = { ...images, read: () => Promise.reject(new Error("killed")) };
    await assert.rejects(buildBank({ images: broken, encoder, out: path }), { message: "killed" });
    // What a build with some other key left.
    Deno.writeTextFileSync(`${path}.part`, `gmempart${"\0".repeat(32 + 3 * 20)}`);
    const other = { ...encoder, description: { ...encoder.description, fingerprint: "other" } };
    await buildBank({ images, encoder: other, out: path });
    const { snippets } = await encodeImages({ images, encoder });
    using file = BankFile.open(path);
    assert.deepEqual(file.rows(0, 3), snippets);
  });
  const pixels = randomImages(700, SIZES);
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`, asked: number[] = [];
    const named = (name: string, last: number) => {
      const names = Array.from({ length: 700 }, (_, i) => `${name} ${i}`);
      const images = sourceOf(pixels, { ...SIZES, names });
      const read = (indices: Uint32Array) => {
        asked.push(...indices);
        return indices[0]! > last ? Promise.reject(new Error("killed")) : images.read(indices);
      };
      return { ...images, read };
    };
    await assert.rejects(buildBank({ images: named("a", 300), encoder, out: path }), /killed/);
    asked.length = 0;
    await buildBank({ images: named("b", 700), encoder, out: path });
    assert.equal(asked.length, 700);
  });
});

Deno.test("shardOf() parts a source; the merged banks of the shards are that of the whole", async () => {
  const names = Array.from({ length: 10 }, (_, i) => `image ${i}`);
  const images = sourceOf(randomImages(10, SIZES), {
    ...SIZES,
    names,
    labels: Uint32Array.from(names, (_, i) => i % 2),
    classes: ["even", "odd"],
    texts: names.toReversed(),
  });
  assert.deepEqual(shardOf(images, { number: 2, count: 3 }).names, names.slice(3, 6));
  // Labels with sign keep theirs.
  const signed = { ...images, labels: Int32Array.from(names, (_, i) => i - 4) };
  assert.deepEqual(shardOf(signed, { number: 2, count: 3 }).labels, Int32Array.of(-1, 0, 1));
  const encoder = pixelEncoder(4);
  await inDirectory(async (directory) => {
    const paths = [1, 2, 3].map((number) => `${directory}/${number}`);
    for (const [i, path] of paths.entries()) {
      const shard = shardOf(images, { number: i + 1, count: 3 });
      await buildBank({ images: shard, encoder, out: path });
    }
    await buildBank({ images, encoder, out: `${directory}/whole` });
    const files = paths.map((path) => BankFile.open(path));
    await mergeBanks(files, { out: `${directory}/merged` });
    for (const file of files) file[Symbol.dispose]();
    assert.deepEqual(
      Deno.readFileSync(`${directory}/merged`),
      Deno.readFileSync(`${directory}/whole`),
    );
  });
  for (const [number, count] of [[0, 3], [4, 3], [1, 1.5], [1, 11]] as const) {
    assert.throws(() => shardOf(images, { number, count }), {
      name: "RangeError",
      message: /^Cannot take shard /,
    });
  }
});
