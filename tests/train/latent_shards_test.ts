import assert from "node:assert/strict";
import { join } from "node:path";
import { snippetNorms } from "../../bank/normalize.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { parseConfig } from "../../train/config.ts";
import {
  findStatistics,
  measureStatistics,
  readStatistics,
  scaleLatents,
  unscaleLatents,
  writeStatistics,
} from "../../train/datasets/latent_scaling.ts";
import { LatentShards } from "../../train/datasets/latent_shards.ts";
import { loadData, loadImages } from "../../train/load_data.ts";
import { code, makeTorchFile } from "../model/_write_torch_file.ts";
import {
  CHANNELS,
  DIM,
  rowsOf,
  type ShardOptions,
  SIDE,
  TOKEN_WIDTH,
  TOKENS,
  writeShards,
} from "./_shards.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_latents_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

let folders = 0;

/** A new folder, and what was written into it. */
function shards(options: ShardOptions): { directory: string; written: Map<string, Float32Array> } {
  const directory = join(TEMPORARY, String(folders++));
  Deno.mkdirSync(directory);
  return { directory, written: writeShards(directory, options) };
}

const COUNTS = [3, 1, 4], SIZE = 8;

for (const dtype of ["F32", "F16", "BF16"] as const) {
  Deno.test(`LatentShards reads rows of ${dtype} by their index from all shards`, async () => {
    const { directory, written } = shards({ counts: COUNTS, dtype });
    using latents = await LatentShards.open(directory);
    const { size, channels, imageSize, tokens, snippets } = latents;
    assert.deepEqual([size, channels, imageSize], [SIZE, CHANNELS, SIDE]);
    assert.deepEqual([tokens?.count, tokens?.width, snippets?.dim], [TOKENS, TOKEN_WIDTH, DIM]);
    assert.deepEqual([...latents.labels], [0, 1, 2, 0, 1, 2, 0, 1]);
    assert.deepEqual(latents.classes, ["0", "1", "2"]);
    // Back and forth, twice the same, and in runs that cross the ends of shards.
    for (const chosen of [[7, 0, 3, 3], [0, 1, 2, 3, 4, 5, 6, 7], [2, 3], [5]]) {
      const indices = Uint32Array.from(chosen);
      const expected = (name: string) => rowsOf(written.get(name)!, chosen, SIZE);
      assert.deepEqual([...latents.read(indices)], expected("latents"));
      assert.deepEqual([...await tokens!.read(indices)], expected("representations"));
    }
  });
}

Deno.test("LatentShards reads the stored mirror images where the coins say so", async () => {
  const { directory, written } = shards({ counts: COUNTS });
  using latents = await LatentShards.open(directory);
  // Among them rows that follow each other in a shard, by one coin and by two.
  const chosen = [6, 2, 3, 4, 5, 6, 7], coins = [1, 0, 1, 1, 0, 1, 0];
  const indices = Uint32Array.from(chosen);
  const expected = (name: string) =>
    chosen.flatMap((index, i) =>
      rowsOf(written.get(coins[i] ? `${name}_flip` : name)!, [index], SIZE)
    );
  const mirrored = Uint8Array.from(coins);
  assert.deepEqual([...latents.readMirrored(indices, mirrored)], expected("latents"));
  assert.deepEqual(
    [...await latents.tokens!.read(indices, mirrored)],
    expected("representations"),
  );
});

Deno.test("LatentShards gives CLS tokens as snippets of norm 1, in order", async () => {
  const { directory, written } = shards({ counts: COUNTS, dtype: "F16" });
  using latents = await LatentShards.open(directory);
  const snippets = await latents.snippets!.rows(2, 4);
  const stored = Float32Array.from(rowsOf(written.get("cls_tokens")!, [2, 3, 4, 5], SIZE));
  const norms = snippetNorms(stored, DIM);
  assert.deepEqual(
    [...snippets],
    Array.from(stored, (value, i) => Math.fround(value / norms[Math.floor(i / DIM)]!)),
  );
  assert.throws(() => latents.snippets!.rows(6, 3), /Cannot read latent 8: there are 8, expected/);
  const zeros = shards({
    counts: COUNTS,
    change: (tensors) => {
      const tokens = tensors.get("cls_tokens")!;
      tensors.set("cls_tokens", { ...tokens, data: new Float32Array(tokens.shape[0]! * DIM) });
    },
  });
  using blank = await LatentShards.open(zeros.directory);
  assert.throws(() => blank.snippets!.rows(2, 4), {
    name: "RangeError",
    message: `Cannot normalise snippet 2 of ${JSON.stringify(zeros.directory)}: its norm is 0, ` +
      "expected a positive number",
  });
});

Deno.test("LatentShards.subset() and scaled() are views of the same files", async () => {
  const { directory, written } = shards({ counts: COUNTS });
  using all = await LatentShards.open(directory);
  const part = all.subset(Uint32Array.of(7, 2, 5));
  assert.deepEqual([part.size, [...part.labels], part.classes.length], [3, [1, 2, 2], 3]);
  assert.deepEqual(
    [...part.read(Uint32Array.of(0, 2))],
    rowsOf(written.get("latents")!, [7, 5], SIZE),
  );
  const again = part.subset(Uint32Array.of(1));
  assert.deepEqual([...again.read(Uint32Array.of(0))], rowsOf(written.get("latents")!, [2], SIZE));
  const statistics = { mean: Float32Array.of(1, -2), std: Float32Array.of(0.5, 4) };
  const scaled = part.scaled({ statistics, multiplier: 3 });
  const plane = SIDE ** 2;
  const expected = rowsOf(written.get("latents")!, [7], SIZE).map((value, i) => {
    const channel = Math.floor(i / plane);
    return Math.fround((value - statistics.mean[channel]!) / statistics.std[channel]! * 3);
  });
  assert.deepEqual([...scaled.read(Uint32Array.of(0))], expected);
  const plain = part.scaled({ statistics: undefined, multiplier: 0.5 });
  assert.deepEqual(
    [...plain.read(Uint32Array.of(0))],
    rowsOf(written.get("latents")!, [7], SIZE).map((value) => value / 2),
  );
  assert.throws(() => part.read(Uint32Array.of(3)), RangeError);
  assert.throws(() => part.subset(new Uint32Array()), RangeError);
});

Deno.test("scaleLatents() and unscaleLatents() undo each other", () => {
  const scaling = {
    statistics: { mean: Float32Array.of(2, 0.25), std: Float32Array.of(4, 0.5) },
    multiplier: 2,
  };
  const values = Float32Array.of(2, 6, 0.25, 0.75, -2, 10, 1.25, -0.25);
  const scaled = values.slice();
  scaleLatents(scaled, scaling, 2);
  assert.deepEqual([...scaled], [0, 2, 0, 2, -2, 4, 4, -2]);
  unscaleLatents(scaled, scaling, 2);
  assert.deepEqual(scaled, values);
});

Deno.test("measureStatistics() gives mean and unbiased deviation of each channel", async () => {
  const { directory, written } = shards({ counts: COUNTS });
  using latents = await LatentShards.open(directory);
  const { mean, std } = measureStatistics(latents);
  const stored = written.get("latents")!, plane = SIDE ** 2;
  for (let channel = 0; channel < CHANNELS; channel++) {
    const values = [...stored].filter((_, i) => Math.floor(i / plane) % CHANNELS === channel);
    const average = values.reduce((sum, value) => sum + value) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - average) ** 2, 0) /
      (values.length - 1);
    // Sums in float64, rounded to f32 once.
    assert.ok(Math.abs(mean[channel]! - average) <= 2 ** -23 * Math.abs(average) + 1e-12);
    assert.ok(Math.abs(std[channel]! - Math.sqrt(variance)) <= 2 ** -23 * Math.sqrt(variance));
  }
});

Deno.test("measureStatistics() reads 10,000 latents, evenly spread, of more", () => {
  let seen: number[] = [];
  const latents = {
    size: 25_000,
    channels: 1,
    imageSize: 1,
    read(indices: Uint32Array): Float32Array {
      seen.push(...indices);
      // A large mean, which sums of squares in float32 would not survive.
      return Float32Array.from(indices, (index) => 4096 + index % 2);
    },
  };
  const { mean, std } = measureStatistics(latents);
  seen = seen.slice(1);
  assert.equal(seen.length, 10_000);
  assert.deepEqual([seen[0], seen.at(-1)], [1, 24_998]);
  assert.ok(seen.every((index, i) => i === 0 || [2, 3].includes(index - seen[i - 1]!)));
  const odd = seen.filter((index) => index % 2 === 1).length / 10_000;
  assert.equal(mean[0], Math.fround(4096 + odd));
  assert.ok(Math.abs(std[0]! - Math.sqrt(odd * (1 - odd) * 10_000 / 9_999)) < 1e-7);
  const constant = { ...latents, read: (indices: Uint32Array) => new Float32Array(indices.length) };
  assert.throws(() => measureStatistics(constant), {
    name: "RangeError",
    message: "Cannot normalise latents: channel 0 has mean 0 and deviation 0, expected finite " +
      "numbers and a positive deviation",
  });
});

Deno.test("findStatistics() takes .safetensors before the official .pt", () => {
  const directory = join(TEMPORARY, "statistics");
  Deno.mkdirSync(directory);
  assert.equal(findStatistics(directory, 2), undefined);
  const official = makeTorchFile(
    code.record({
      mean: code.tensor("FloatStorage", [1, 2, 1, 1], { key: "0" }),
      std: code.tensor("FloatStorage", [1, 2, 1, 1], { key: "1" }),
    }),
    { storages: { 0: Float32Array.of(1, -2), 1: Float32Array.of(0.5, 3) } },
  );
  const torch = join(directory, "latents_stats.pt");
  Deno.writeFileSync(torch, official);
  assert.deepEqual(findStatistics(directory, 2), {
    path: torch,
    statistics: { mean: Float32Array.of(1, -2), std: Float32Array.of(0.5, 3) },
  });
  assert.throws(() => readStatistics(torch, 3), {
    name: "CheckpointError",
    message: /latents_stats\.pt": mean has 2 numbers, expected one for each of 3 channels/,
  });
  Deno.writeFileSync(torch, makeTorchFile(code.record({ mean: code.none }), { storages: {} }));
  assert.throws(() => readStatistics(torch, 2), {
    name: "CheckpointError",
    message: /latents_stats\.pt": it has no tensor mean, expected a dict of mean and std$/,
  });
  Deno.writeFileSync(torch, official);
  const statistics = { mean: Float32Array.of(0, 7), std: Float32Array.of(1, 2) };
  const path = join(directory, "latents_stats.safetensors");
  writeStatistics(path, statistics);
  assert.deepEqual(findStatistics(directory, 2), { path, statistics });
  writeStatistics(path, { ...statistics, std: Float32Array.of(1, 0) });
  assert.throws(() => findStatistics(directory, 2), {
    name: "CheckpointError",
    message: /channel 1 has mean 7 and deviation 0, expected finite numbers and a positive/,
  });
  writeSafetensors(path, [["mean", { dtype: "F32", shape: [2], data: statistics.mean }]]);
  assert.throws(() => findStatistics(directory, 2), { name: "CheckpointError", message: /"std"/ });
});

/** Shards of which the second is damaged, and what the error says. */
const DAMAGED: Readonly<Record<string, [ShardOptions["change"], RegExp]>> = {
  "a tensor that is missing": [
    (tensors, shard) => shard === 1 && tensors.delete("cls_tokens"),
    /^Cannot read tensor "cls_tokens" of latent shard ".*shard001\.safetensors": there is none, expected one as in .*shard000\.safetensors$/,
  ],
  "a tensor that the first lacks": [
    (tensors, shard) => shard === 0 && tensors.delete("latents_flip"),
    /^Cannot read tensor "latents_flip" of latent shard ".*shard001\.safetensors": there is none in .*shard000\.safetensors, expected the same tensors/,
  ],
  "no latents": [
    (tensors, shard) => shard === 1 && tensors.delete("latents"),
    /^Cannot read tensor "latents" of latent shard ".*shard001\.safetensors": there is none/,
  ],
  "another size": [
    (tensors, shard) => {
      const data = new Float32Array(CHANNELS * 4);
      const shape = [1, CHANNELS, 2, 2];
      if (shard === 1) tensors.set("latents", { dtype: "F32", shape, data });
    },
    /"latents" of latent shard ".*shard001.*": its shape is \[1, 2, 2, 2\], expected \[1, 2, 4, 4\]/,
  ],
  "another number of rows": [
    (tensors, shard) => {
      const data = new Float32Array(2 * DIM);
      if (shard === 1) tensors.set("cls_tokens", { dtype: "F32", shape: [2, DIM], data });
    },
    /"cls_tokens" of latent shard ".*shard001.*": its shape is \[2, 8\], expected \[1, 8\]/,
  ],
  "axes that are not those": [
    (tensors) => {
      const { shape: [count = 0], ...rest } = tensors.get("representations")!;
      tensors.set("representations", { ...rest, shape: [count, TOKENS * TOKEN_WIDTH] });
    },
    /"representations" of latent shard ".*shard000.*": its shape is \[3, 24\], expected \[n, T, Z\]/,
  ],
  "flips unlike latents": [
    (tensors) => {
      const { shape: [count = 0], ...rest } = tensors.get("latents_flip")!;
      tensors.set("latents_flip", { ...rest, shape: [count, SIDE, CHANNELS, SIDE] });
    },
    /"latents_flip" of latent shard ".*shard000.*": its shape is \[3, 4, 2, 4\], expected \[3, 2, 4, 4\]/,
  ],
  "latents that are not square": [
    (tensors) => {
      for (const name of ["latents", "latents_flip"]) {
        const { shape: [count = 0], ...rest } = tensors.get(name)!;
        tensors.set(name, { ...rest, shape: [count, CHANNELS, 2, 2 * SIDE] });
      }
    },
    /"latents" of latent shard ".*shard000.*": its shape is \[3, 2, 2, 8\], expected as many rows/,
  ],
  "a type that is none": [
    (tensors, shard) => {
      const labels = new Float32Array(1);
      if (shard === 1) tensors.set("labels", { dtype: "F32", shape: [1], data: labels });
    },
    /"labels" of latent shard ".*shard001.*": its type is F32, expected one of I64, I32,/,
  ],
  "a label below 0": [
    (tensors, shard) => {
      const labels = BigInt64Array.of(-1n);
      if (shard === 1) tensors.set("labels", { dtype: "I64", shape: [1], data: labels });
    },
    /"labels" of latent shard ".*shard001.*": label 0 is -1, expected one from 0 to 65535/,
  ],
};

for (const [what, [change, message]] of Object.entries(DAMAGED)) {
  Deno.test(`LatentShards.open() names file and tensor of ${what}`, async () => {
    const { directory } = shards({ counts: COUNTS, ...(change && { change }) });
    await assert.rejects(LatentShards.open(directory), (error: Error) => {
      assert.equal(error.name, "CheckpointError");
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("LatentShards.open() names a shard that was cut off, and a folder without any", async () => {
  const { directory } = shards({ counts: COUNTS });
  const path = join(directory, "latents_rank00_shard001.safetensors");
  const { size } = Deno.statSync(path);
  Deno.truncateSync(path, size - 1);
  await assert.rejects(LatentShards.open(directory), {
    name: "CheckpointError",
    message: /shard001\.safetensors/,
  });
  Deno.truncateSync(path, 20);
  await assert.rejects(
    LatentShards.open(directory),
    /shard001\.safetensors": it is cut short or .*: its header has/,
  );
  const empty = join(TEMPORARY, "empty");
  Deno.mkdirSync(empty);
  writeStatistics(join(empty, "latents_stats.safetensors"), {
    mean: new Float32Array(2),
    std: Float32Array.of(1, 1),
  });
  await assert.rejects(LatentShards.open(empty), /empty holds no shards, expected a folder of/);
  await assert.rejects(LatentShards.open(join(empty, "none")), /none does not exist, expected/);
  const none = shards({ counts: [0, 0] });
  await assert.rejects(LatentShards.open(none.directory), {
    name: "Error",
    message: /^Cannot load latents: the shards of \S+ are empty, expected latents in one$/,
  });
});

Deno.test("LatentShards takes names where every shard has one for each image", async () => {
  const named = (...metadata: (string | undefined)[]) => {
    const { directory } = shards({ counts: [2, 1] });
    for (const [shard, names] of metadata.entries()) {
      const path = join(directory, `latents_rank00_shard00${shard}.safetensors`);
      const count = 2 - shard, shape = [count, CHANNELS, SIDE, SIDE];
      const data = new Float32Array(count * CHANNELS * SIDE ** 2);
      writeSafetensors(path, [["latents", { dtype: "F32", shape, data }]], {
        metadata: names === undefined ? {} : { names },
      });
    }
    return LatentShards.open(directory);
  };
  {
    using latents = await named('["b","a"]', '["c"]');
    assert.deepEqual(latents.names, ["b", "a", "c"]);
    assert.deepEqual(latents.subset(Uint32Array.of(2, 0)).names, ["c", "b"]);
  }
  {
    using latents = await named('["b","a"]', undefined);
    assert.equal(latents.names, undefined);
  }
  for (
    const [wrong, state] of [['["c","d"]', "2"], ["[1]", "no list of texts"], ["c", "no list"]]
  ) {
    await assert.rejects(named('["b","a"]', wrong), (error: Error) => {
      assert.equal(error.name, "CheckpointError");
      assert.match(
        error.message,
        new RegExp(`^Cannot read the names in latent shard ".*shard001.*": they are ${state}`),
      );
      assert.match(error.message, /, expected one for each of 1 image$/);
      return true;
    });
  }
});

Deno.test("LatentShards takes names of classes from the first shard, for every label", async () => {
  const named = (classes: string) => {
    const { directory } = shards({ counts: [4], metadata: { classes } });
    return LatentShards.open(directory);
  };
  {
    using latents = await named('["cat","dog","owl","none"]');
    assert.deepEqual(latents.classes, ["cat", "dog", "owl", "none"]);
    assert.deepEqual([...latents.labels], [0, 1, 2, 0]);
  }
  for (const [wrong, state] of [['["cat","dog"]', "2"], ["cat", "no list of texts"]]) {
    await assert.rejects(named(wrong!), (error: Error) => {
      assert.equal(error.name, "CheckpointError");
      assert.match(
        error.message,
        /^Cannot read the classes in latent shard ".*shard000.*": they are /,
      );
      assert.ok(error.message.endsWith(`are ${state}, expected a name for each label up to 2`));
      return true;
    });
  }
});

Deno.test("LatentShards takes shards with nothing but latents", async () => {
  const { directory, written } = shards({
    counts: [2, 2],
    change: (tensors) => {
      for (const name of tensors.keys()) if (name !== "latents") tensors.delete(name);
    },
  });
  using latents = await LatentShards.open(directory);
  assert.deepEqual([...latents.read(Uint32Array.of(3))], rowsOf(written.get("latents")!, [3], 4));
  assert.deepEqual([latents.tokens, latents.snippets], [undefined, undefined]);
  assert.deepEqual([[...latents.labels], latents.classes], [[0, 0, 0, 0], []]);
  assert.throws(() => latents.require("cls_tokens", "the bank"), {
    name: "CheckpointError",
    message:
      /"cls_tokens" of latent shard ".*shard000.*": there is none, expected it for the bank$/,
  });
  assert.throws(() => latents.readMirrored(Uint32Array.of(0), Uint8Array.of(1)), /latents_flip/);
});

Deno.test("loadData() splits latents as it splits images, and loadImages() refuses them", async () => {
  const { directory, written } = shards({ counts: COUNTS });
  const { data } = parseConfig(
    `data: { kind: latents, path: ${
      JSON.stringify(directory)
    }, imageSize: ${SIDE}, channels: ${CHANNELS}, heldOut: 3 }
model: { patchSize: 2 }`,
  );
  const options = { seed: 5, note: (line: string) => assert.fail(line) };
  using loaded = await loadData(data, options);
  const { train, heldOut, places } = loaded;
  assert.deepEqual([train.size, heldOut?.size, places.of], [5, 3, 8]);
  const all = [...places.indices], rest = [...Array(SIZE).keys()].filter((i) => !all.includes(i));
  const latents = written.get("latents")!;
  const whole = (size: number) => Uint32Array.from({ length: size }, (_, i) => i);
  assert.deepEqual([...await train.read(whole(5))], rowsOf(latents, all, SIZE));
  assert.deepEqual([...await heldOut!.read(whole(3))], rowsOf(latents, rest, SIZE));
  await assert.rejects(
    loadData({ ...data, channels: 4 }, options),
    /data\.imageSize is 4 and data\.channels 4, expected 4 and 2, as the data have/,
  );
  await assert.rejects(loadImages(data, options), {
    name: "TypeError",
    message: /^Cannot load images: data\.kind is latents/,
  });
});
