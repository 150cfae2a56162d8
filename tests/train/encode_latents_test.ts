import assert from "node:assert/strict";
import { join } from "node:path";
import type { ImageSource } from "../../bank/image_source.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import {
  encodeLatents,
  type LatentEncoder,
  type TokenEncoder,
} from "../../train/datasets/encode_latents.ts";
import { LatentShards } from "../../train/datasets/latent_shards.ts";
import { OnnxLatentEncoder } from "../../train/onnx_latent_encoder.ts";
import { assertClose } from "../_check_op.ts";
import { CHANNELS, ENCODER, imageOf, momentsOf } from "./_tiny_latents.ts";

const SIDE = 8, ROWS = 4, COUNT = 11, LENGTH = CHANNELS * ROWS ** 2;
const NAMES = Array.from({ length: COUNT }, (_, i) => `class/${String(i).padStart(2, "0")}.png`);

/** Two products of twelve and an exponential in float32. */
const BOUND = { tolerance: 2 ** -18, scale: 8 };

/** Runs a test body with the name of a folder that is not there yet, which is removed afterwards. */
async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "gmem_encode_" });
  try {
    await body(join(path, "deep", "latents"));
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** The images of `imageOf`, of which reading may fail. */
function source(changes: Partial<ImageSource> = {}): ImageSource {
  return {
    size: COUNT,
    imageSize: SIDE,
    channels: 3,
    names: NAMES,
    labels: Uint32Array.from({ length: COUNT }, (_, i) => i % 3),
    classes: ["a", "b", "c"],
    read: (indices) =>
      Float32Array.from([...indices].flatMap((index) => [...imageOf(index, SIDE)])),
    ...changes,
  };
}

async function encoder(): Promise<OnnxLatentEncoder> {
  return await OnnxLatentEncoder.open(ENCODER, { channels: CHANNELS, imageSize: ROWS });
}

/** Means and log variances of an image by the tiny encoder. */
function halves(index: number, mirrored: boolean): { mean: number[]; logVariance: number[] } {
  const moments = momentsOf(imageOf(index, SIDE, mirrored), SIDE);
  return { mean: moments.slice(0, LENGTH), logVariance: moments.slice(LENGTH) };
}

const ALL = Uint32Array.from({ length: COUNT }, (_, i) => i);

/** Every file of a folder with its bytes. */
function contents(directory: string): Map<string, Uint8Array> {
  return new Map(
    [...Deno.readDirSync(directory)].map(({ name }) => name).sort()
      .map((name) => [name, Deno.readFileSync(join(directory, name))]),
  );
}

Deno.test("encodeLatents() writes shards that LatentShards reads, in the order of the images", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const done: number[] = [];
    await encodeLatents({
      ...{ images: source(), encoder: tiny, out: directory, flip: true, posterior: "mean" },
      shardSize: 5,
      onProgress: (count) => done.push(count),
    });
    assert.deepEqual(done, [4, 5, 9, 10, 11]);
    assert.deepEqual([...contents(directory).keys()], [
      "latents_rank00_shard000.safetensors",
      "latents_rank00_shard001.safetensors",
      "latents_rank00_shard002.safetensors",
    ]);
    using latents = await LatentShards.open(directory);
    assert.deepEqual([latents.size, latents.channels, latents.imageSize], [COUNT, CHANNELS, ROWS]);
    assert.deepEqual([...latents.labels], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]);
    assert.deepEqual(latents.classes, ["a", "b", "c"]);
    assert.deepEqual(latents.names, NAMES);
    assert.deepEqual(latents.subset(Uint32Array.of(7, 2)).names, [NAMES[7], NAMES[2]]);
    for (const mirrored of [false, true]) {
      const stored = latents.readMirrored(ALL, new Uint8Array(COUNT).fill(Number(mirrored)));
      const expected = [...ALL].flatMap((index) => halves(index, mirrored).mean);
      assertClose(stored, expected, { ...BOUND, name: `latents, ${mirrored}` });
    }
  });
});

/** Tokens of two patches and three numbers that tell the image and its side: sums of its pixels. */
const TOKENS: TokenEncoder = {
  dim: 3,
  patches: 2,
  description: { fingerprint: "sums" },
  tokens(images, { count, channels, height, width }) {
    assert.deepEqual([channels, height, width], [3, SIDE, SIDE]);
    const length = 3 * SIDE ** 2, all: number[][] = [[], []];
    for (let i = 0; i < count; i++) {
      const values = sumsOf(images.subarray(i * length, (i + 1) * length));
      all[0]!.push(...values.slice(0, 3));
      all[1]!.push(...values.slice(3));
    }
    const [cls, patches] = all.map((values) => Float32Array.from(values));
    return Promise.resolve({ cls: cls!, patches: patches! });
  },
};

/** Nine sums over the pixels of an image. */
function sumsOf(image: Float32Array): number[] {
  return Array.from(
    { length: 9 },
    (_, k) => image.reduce((sum, value, i) => sum + value * Math.sin(k * i), 0),
  );
}

Deno.test("encodeLatents() keeps the tokens of the images, in halves", async () => {
  using tiny = await encoder();
  for (const [patchTokens, flip] of [[true, true], [true, false], [false, true]] as const) {
    await inDirectory(async (directory) => {
      await encodeLatents({
        ...{
          images: source(),
          encoder: tiny,
          out: directory,
          flip,
          posterior: "mean",
          shardSize: 6,
        },
        ...{ tokenEncoder: TOKENS, patchTokens },
      });
      using file = SafetensorsFile.open(join(directory, "latents_rank00_shard001.safetensors"));
      assert.deepEqual([...file.keys()].toSorted(), [
        ...["cls_tokens", "labels", "latents"],
        ...(flip ? ["latents_flip"] : []),
        ...(patchTokens ? ["representations"] : []),
        ...(patchTokens && flip ? ["representations_flip"] : []),
      ]);
      assert.deepEqual(file.entry("cls_tokens"), { ...file.entry("cls_tokens"), dtype: "F16" });
      using latents = await LatentShards.open(directory);
      // Half a unit of the last of eleven bits.
      const close = { tolerance: 2 ** -11, name: "tokens" };
      const cls = Float32Array.from([...ALL].flatMap((i) => sumsOf(imageOf(i, SIDE)).slice(0, 3)));
      const snippets = await latents.snippets!.rows(0, COUNT);
      assertClose(snippets, normalizeSnippets(cls, { dim: 3 }), { ...close, tolerance: 2 ** -10 });
      if (!patchTokens) return assert.equal(latents.tokens, undefined);
      assert.deepEqual([latents.tokens!.count, latents.tokens!.width], [2, 3]);
      for (const mirrored of flip ? [0, 1] : [0]) {
        const stored = await latents.tokens!.read(ALL, new Uint8Array(COUNT).fill(mirrored));
        const want = [...ALL].flatMap((i) => sumsOf(imageOf(i, SIDE, mirrored === 1)).slice(3));
        assertClose(stored, want, close);
      }
    });
  }
  await inDirectory(async (directory) => {
    const settings = { images: source(), encoder: tiny, out: directory };
    for (const tokenEncoder of [undefined, { ...TOKENS, patches: 0 }]) {
      await assert.rejects(encodeLatents({ ...settings, tokenEncoder, patchTokens: true }), {
        name: "TypeError",
        message: /^Cannot keep patch tokens: expected a token encoder that gives more than one/,
      });
    }
    await encodeLatents({ ...settings, tokenEncoder: TOKENS });
    // Shards of another network, or without its tokens, are others.
    const other = { ...TOKENS, description: { fingerprint: "other" } };
    for (const tokenEncoder of [other, undefined]) {
      await assert.rejects(encodeLatents({ ...settings, tokenEncoder }), {
        name: "CheckpointError",
      });
    }
  });
});

Deno.test("encodeLatents() draws from the posterior by seed, image and side, whatever the shards", async () => {
  using tiny = await encoder();
  const drawn = async (options: { seed?: number; shardSize?: number }) => {
    let stored: Float32Array[] = [];
    await inDirectory(async (directory) => {
      await encodeLatents({
        images: source(),
        encoder: tiny,
        out: directory,
        flip: true,
        ...options,
      });
      using latents = await LatentShards.open(directory);
      stored = [0, 1].map((side) => latents.readMirrored(ALL, new Uint8Array(COUNT).fill(side)));
    });
    return stored;
  };
  const stored = await drawn({ seed: 3 });
  assert.deepEqual(await drawn({ seed: 3, shardSize: 2 }), stored);
  assert.notDeepEqual(await drawn({ seed: 4 }), stored);
  assert.deepEqual(await drawn({}), await drawn({ seed: 0 }));
  // What was drawn, brought back to the normal distribution.
  const noises = stored.map((values, side) =>
    [...ALL].flatMap((index) => {
      const { mean, logVariance } = halves(index, side === 1);
      return mean.map((middle, i) =>
        (values[index * LENGTH + i]! - middle) / Math.exp(logVariance[i]! / 2)
      );
    })
  );
  const all = noises.flat();
  const average = all.reduce((sum, value) => sum + value) / all.length;
  const square = all.reduce((sum, value) => sum + value ** 2) / all.length;
  // Four standard errors of 704 draws.
  assert.ok(Math.abs(average) < 4 / Math.sqrt(all.length), `${average}`);
  assert.ok(Math.abs(square - 1) < 4 * Math.sqrt(2 / all.length), `${square}`);
  const product = noises[0]!.reduce((sum, value, i) => sum + value * noises[1]![i]!) /
    noises[0]!.length;
  assert.ok(Math.abs(product) < 4 / Math.sqrt(noises[0]!.length), `${product}`);
});

Deno.test("encodeLatents() stores F16, one tensor without mirror images, and no labels that are not there", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const { labels: _, names: __, classes: ___, ...images } = source();
    await encodeLatents({ images, encoder: tiny, out: directory, posterior: "mean", dtype: "F16" });
    const path = join(directory, "latents_rank00_shard000.safetensors");
    using file = SafetensorsFile.open(path);
    assert.deepEqual(file.keys(), ["latents"]);
    assert.deepEqual(file.entry("latents").dtype, "F16");
    using latents = await LatentShards.open(directory);
    assert.equal(latents.names, undefined);
    const expected = [...ALL].flatMap((index) => halves(index, false).mean);
    // Eleven bits, of numbers up to 8.
    assertClose(latents.read(ALL), expected, { tolerance: 2 ** -11, scale: 8, name: "latents" });
  });
});

Deno.test("encodeLatents() copies shards of more rows than it does at once", async () => {
  // 256 at once. The latent of an image of one colour is that colour.
  const size = 300, indices = Uint32Array.from({ length: size }, (_, i) => i);
  const images = {
    ...{ size, imageSize: 1, channels: 3 },
    read: (chosen: Uint32Array) =>
      Float32Array.from(
        { length: 3 * chosen.length },
        (_, i) => Math.sqrt(chosen[Math.floor(i / 3)]!),
      ),
  };
  const first: LatentEncoder = {
    ...{ imageSize: 1, latent: { channels: 1, imageSize: 1 }, fingerprint: "first" },
    encode: (pixels) =>
      Promise.resolve({ mean: pixels.filter((_, i) => i % 3 === 0), std: undefined }),
  };
  await inDirectory(async (directory) => {
    await encodeLatents({ images, encoder: first, out: directory });
    using latents = await LatentShards.open(directory);
    assert.deepEqual(latents.read(indices), Float32Array.from(indices, Math.sqrt));
  });
});

Deno.test("encodeLatents() goes on where a killed call ended, with the same bytes", async () => {
  using tiny = await encoder();
  await inDirectory(async (whole) => {
    const settings = { encoder: tiny, flip: true, shardSize: 6 };
    await encodeLatents({ images: source(), out: whole, ...settings });
    await inDirectory(async (directory) => {
      const images = source(), read: number[] = [];
      let killed = false;
      const watched = source({
        read(indices) {
          read.push(...indices);
          if (!killed && indices[0] === 10) {
            killed = true;
            throw new Error("killed");
          }
          return images.read(indices);
        },
      });
      await assert.rejects(encodeLatents({ images: watched, out: directory, ...settings }), {
        message: "killed",
      });
      assert.deepEqual([...contents(directory).keys()], [
        "latents_rank00_shard000.safetensors",
        "latents_rank00_shard001.safetensors.part",
      ]);
      // Some of the latents are not to be taken for all.
      await assert.rejects(LatentShards.open(directory), {
        message:
          `Cannot load latents: the shards of ${directory} hold those of 6 of ${COUNT} images, ` +
          "expected all: the same encoding, run again, goes on where it ended",
      });
      read.length = 0;
      const done: number[] = [];
      const onProgress = (count: number) => done.push(count);
      await encodeLatents({ images: watched, out: directory, ...settings, onProgress });
      // The first and the last image of the part are read again, to see that they are the same.
      assert.deepEqual([read, done], [[6, 9, 10], [11]]);
      assert.deepEqual(contents(directory), contents(whole));
      read.length = 0;
      await encodeLatents({ images: watched, out: directory, ...settings });
      assert.deepEqual(read, []);
    });
  });
});

Deno.test("encodeLatents() does not go on with images that have changed", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const images = source();
    const broken = source({
      read: (indices) =>
        indices[0]! > 3 ? Promise.reject(new Error("killed")) : images.read(indices),
    });
    await assert.rejects(encodeLatents({ images: broken, encoder: tiny, out: directory }), {
      message: "killed",
    });
    const changed = source({
      read: (indices) => images.read(indices.map((index) => index === 3 ? 7 : index)),
    });
    const shard = join(directory, "latents_rank00_shard000.safetensors");
    await assert.rejects(encodeLatents({ images: changed, encoder: tiny, out: directory }), {
      name: "CheckpointError",
      message: `Cannot go on with the build of ${JSON.stringify(shard)}: image 3 "class/03.png" ` +
        "has changed since it was encoded, expected the same pixels; remove " +
        `${JSON.stringify(`${shard}.part`)} to begin anew`,
    });
  });
});

Deno.test("encodeLatents() leaves a folder alone that holds other shards", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const settings = { images: source(), encoder: tiny, out: directory, shardSize: 6 };
    await encodeLatents(settings);
    const before = contents(directory);
    const others: Partial<Parameters<typeof encodeLatents>[0]>[] = [
      { images: source({ names: NAMES.toReversed() }) },
      { flip: true },
      { seed: 1 },
      { posterior: "mean" },
      { dtype: "F16" },
      { shardSize: 7 },
      { encoder: { ...tiny, latent: tiny.latent, fingerprint: "another" } as LatentEncoder },
    ];
    for (const other of others) {
      await assert.rejects(encodeLatents({ ...settings, ...other }), {
        name: "CheckpointError",
        message:
          `Cannot write latents to ${directory}: its latents_rank00_shard000.safetensors is ` +
          "of other images, another encoder or other settings, expected a folder without shards, or " +
          "those of the same command",
      });
    }
    writeSafetensors(join(directory, "bank.safetensors"), []);
    await assert.rejects(encodeLatents(settings), /its bank\.safetensors is of other images/);
    Deno.removeSync(join(directory, "bank.safetensors"));
    assert.deepEqual(contents(directory), before);
  });
});

Deno.test("encodeLatents() knows its shards by the token encoder, wherever that lies", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const encode = (description: TokenEncoder["description"], done: number[] = []) =>
      encodeLatents({
        ...{ images: source(), encoder: tiny, out: directory, shardSize: 6 },
        tokenEncoder: { ...TOKENS, description },
        onProgress: (count) => done.push(count),
      });
    await encode({ fingerprint: "sums", source: "sums.onnx" });
    const moved: number[] = [];
    await encode({ fingerprint: "sums", source: "elsewhere/sums.onnx" }, moved);
    assert.deepEqual(moved, []);
    await assert.rejects(encode({ fingerprint: "others", source: "sums.onnx" }), {
      name: "CheckpointError",
      message: /is of other images, another encoder or other settings/,
    });
  });
});

Deno.test("encodeLatents() refuses images, latents and sizes that do not fit", async () => {
  using tiny = await encoder();
  await inDirectory(async (directory) => {
    const settings = { images: source(), encoder: tiny, out: directory };
    await assert.rejects(encodeLatents({ ...settings, images: source({ imageSize: 4 }) }), {
      name: "TypeError",
      message: "Cannot encode images: they are 3 × 4 × 4, expected 3 × 8 × 8",
    });
    await assert.rejects(encodeLatents({ ...settings, shardSize: 0 }), {
      name: "RangeError",
      message: "Cannot encode images: shardSize is 0, expected a whole number from 1",
    });
    await assert.rejects(encodeLatents({ ...settings, posterior: "mode" as "mean" }), {
      name: "RangeError",
      message: "Cannot encode images: posterior is mode, expected one of sample, mean",
    });
    await assert.rejects(encodeLatents({ ...settings, dtype: "BF16" as "F16" }), {
      name: "RangeError",
      message: "Cannot encode images: dtype is BF16, did you mean F16? Expected one of F32, F16",
    });
    const loud: LatentEncoder = {
      imageSize: SIDE,
      latent: { channels: 1, imageSize: 1 },
      fingerprint: "loud",
      encode: () => Promise.resolve({ mean: Float32Array.of(0, 65505, NaN, 1), std: undefined }),
    };
    for (const [dtype, name, value] of [["F16", "01", "65505"], ["F32", "02", "NaN"]] as const) {
      await assert.rejects(encodeLatents({ ...settings, encoder: loud, dtype }), {
        name: "RangeError",
        message:
          `Cannot encode image class/${name}.png: latents would hold ${value}, expected numbers ` +
          `that ${dtype} holds`,
      });
    }
    // Exabytes.
    const vast = { ...loud, latent: { channels: 1, imageSize: 2 ** 29 } };
    await assert.rejects(encodeLatents({ ...settings, encoder: vast }), {
      name: "CheckpointError",
      message:
        /^Cannot write latents to .*: those of 11 images take \d+ GB, the disk has [\d.]+ [kMG]B free, expected room or another disk$/,
    });
  });
});

Deno.test("encodeLatents() refuses latents and tokens of another count of numbers", async () => {
  const images = source(), latent = { channels: 1, imageSize: 2 };
  const numbers = (count: number) => new Float32Array(count);
  /** Four images have 16 numbers. */
  const encoding = (mean: number, std?: number): LatentEncoder => ({
    imageSize: SIDE,
    latent,
    fingerprint: `${mean}, ${std}`,
    encode: () =>
      Promise.resolve({
        mean: numbers(mean),
        std: std === undefined ? undefined : numbers(std),
      }),
  });
  const saying = (cls: number, patches: number): TokenEncoder => ({
    ...TOKENS,
    tokens: () => Promise.resolve({ cls: numbers(cls), patches: numbers(patches) }),
  });
  for (
    const [options, expected] of [
      [{ encoder: encoding(32) }, "latents of 32 numbers, expected 16"],
      [{ encoder: encoding(3) }, "latents of 3 numbers, expected 16"],
      [{ encoder: encoding(32, 32) }, "mean of 32 numbers, expected 16"],
      [{ encoder: encoding(16, 4) }, "std of 4 numbers, expected 16"],
      [
        { encoder: encoding(16), tokenEncoder: saying(4, 24) },
        "cls_tokens of 4 numbers, expected 12",
      ],
      [
        { encoder: encoding(16), tokenEncoder: saying(12, 4), patchTokens: true },
        "representations of 4 numbers, expected 24",
      ],
    ] as const
  ) {
    await inDirectory(async (directory) => {
      await assert.rejects(encodeLatents({ images, out: directory, ...options }), {
        name: "TypeError",
        message: `Cannot encode images: the encoder gave ${expected}`,
      });
    });
  }
});

Deno.test("encodeLatents() takes any number of shards", async () => {
  const encoder = {
    ...{ imageSize: SIDE, latent: { channels: 1, imageSize: 1 }, fingerprint: "none" },
    encode: () => Promise.reject(new Error("not asked")),
  };
  const images = {
    ...{ size: 300_000, imageSize: SIDE, channels: 3 },
    read: () => Promise.reject(new Error("the first image")),
  };
  await inDirectory(async (directory) => {
    await assert.rejects(encodeLatents({ images, encoder, out: directory, shardSize: 1 }), {
      name: "Error",
      message: "the first image",
    });
  });
});
