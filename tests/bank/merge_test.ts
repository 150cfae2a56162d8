import assert from "node:assert/strict";
import { writeBank, writeLowRankBank } from "../../bank/bank_writer.ts";
import { buildBank } from "../../bank/build.ts";
import { compressBank } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { shardOf } from "../../bank/image_source.ts";
import { copyBank, mergeBanks } from "../../bank/merge.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { factorize } from "../../bank/svd.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { randomValues } from "../_check_op.ts";
import { inDirectory, pixelEncoder, randomImages, sourceOf } from "./_images.ts";

const SIZES = { imageSize: 2, channels: 3 } as const;

const SIZE = 13, DIM = 10;
const SNIPPETS = normalizeSnippets(randomValues([SIZE, DIM], 4), { dim: DIM });

/** Writes the banks of 12 shards of 36 images, and calls with them. */
async function withShards(
  body: (files: BankFile[], directory: string) => Promise<void>,
): Promise<void> {
  const names = Array.from({ length: 36 }, (_, i) => `image ${i}`);
  const images = sourceOf(randomImages(36, SIZES), { ...SIZES, names });
  await inDirectory(async (directory) => {
    using opened = new DisposableStack();
    const files: BankFile[] = [];
    for (let number = 1; number <= 12; number++) {
      const path = `${directory}/part${number}`;
      const shard = shardOf(images, { number, count: 12 });
      await buildBank({ images: shard, encoder: pixelEncoder(12), out: path });
      files.push(opened.use(BankFile.open(path)));
    }
    await body(files, directory);
  });
}

Deno.test("mergeBanks() puts shards in the order of their numbers", async () => {
  await withShards(async (files, directory) => {
    assert.deepEqual(files[2]!.shard, { number: 3, count: 12 });
    const path = `${directory}/merged`;
    // part1, part10, part11, part12, part2, …: as a shell lists them.
    const listed = files.toSorted((a, b) => a.path < b.path ? -1 : 1);
    const progress: number[][] = [];
    await mergeBanks(listed, { out: path, onProgress: (...each) => progress.push(each) });
    assert.deepEqual(progress, Array.from({ length: 12 }, (_, i) => [3 * (i + 1), 36]));
    using merged = BankFile.open(path);
    assert.deepEqual(merged.names, Array.from({ length: 36 }, (_, i) => `image ${i}`));
    assert.deepEqual(merged.rows(3, 3), files[1]!.rows(0, 3));
    assert.deepEqual([merged.shard, merged.imageSize], [undefined, 2]);
    await compressBank(files[4]!, { rank: 2, out: `${directory}/low` });
    using low = BankFile.open(`${directory}/low`);
    assert.deepEqual([low.shard, low.imageSize], [{ number: 5, count: 12 }, 2]);
    // What is made of it again is in part no longer what the encoder gave.
    await copyBank(low, { out: `${directory}/again` });
    using again = BankFile.open(`${directory}/again`);
    assert.deepEqual([again.rank, again.imageSize], [undefined, undefined]);
  });
});

Deno.test("mergeBanks() takes all shards, each once, and nothing beside them", async () => {
  await withShards(async (files, directory) => {
    const path = `${directory}/merged`;
    await copyBank(files[0]!, { out: `${directory}/plain` });
    using plain = BankFile.open(`${directory}/plain`);
    assert.deepEqual([plain.size, plain.shard], [3, undefined]);
    const cases = [
      [files.toSpliced(6, 1), /^Cannot merge the shards of a build: shard 7 of 12 is missing/],
      [[...files, files[3]!], /both are shard 4 of 12, expected each once$/],
      [[], /^Cannot merge banks: there are none, expected one or more$/],
      [[...files, plain], /it is no shard, expected the 12 shards of one build alone$/],
    ] as const;
    for (const [banks, message] of cases) {
      await assert.rejects(mergeBanks(banks, { out: path }), { name: "TypeError", message });
    }
    assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
  });
});

Deno.test("mergeBanks() joins classes by their names, and keeps what every bank has", async () => {
  await inDirectory(async (directory) => {
    const bank = { dim: 1, snippets: Float32Array.of(1, 1) };
    const banks = [
      { ...bank, classes: ["cat", "dog"], labels: [0, 1], frequencies: [1, 2], names: ["a", "b"] },
      { ...bank, classes: ["owl", "cat"], labels: [1, -1], frequencies: [3, 4] },
      { ...bank, frequencies: [5, 6], names: ["e", "f"] },
    ];
    using opened = new DisposableStack();
    const files = banks.map((each, i) => {
      writeBank(`${directory}/${i}`, each);
      return opened.use(BankFile.open(`${directory}/${i}`));
    });
    const path = `${directory}/merged`;
    await mergeBanks(files, { out: path });
    using merged = BankFile.open(path);
    assert.deepEqual(merged.classes, ["cat", "dog", "owl"]);
    assert.deepEqual([...merged.labels!], [0, 1, 0, -1, -1, -1]);
    assert.deepEqual([...merged.frequencies!], [1, 2, 3, 4, 5, 6]);
    assert.equal(merged.names, undefined);
  });
});

Deno.test("mergeBanks() leaves labels without names as they are", async () => {
  await inDirectory(async (directory) => {
    const bank = { dim: 1, snippets: Float32Array.of(1, 1) };
    using opened = new DisposableStack();
    const files = [{ ...bank, labels: [3, 0] }, bank, { ...bank, labels: [-1, 1] }].map(
      (each, i) => {
        writeBank(`${directory}/${i}`, each);
        return opened.use(BankFile.open(`${directory}/${i}`));
      },
    );
    await mergeBanks(files, { out: `${directory}/merged` });
    using merged = BankFile.open(`${directory}/merged`);
    assert.deepEqual([...merged.labels!], [3, 0, -1, -1, -1, 1]);
  });
});

Deno.test("mergeBanks() puts banks in one, with classes by their names", async () => {
  await inDirectory(async (directory) => {
    const paths = ["a", "b", "c", "out"].map((name) => `${directory}/${name}`);
    const part = (first: number, count: number) =>
      SNIPPETS.slice(first * DIM, (first + count) * DIM);
    writeBank(paths[0]!, {
      dim: DIM,
      snippets: part(0, 2),
      labels: [1, 0],
      classes: ["cat", "dog"],
      names: ["1", "2"],
      texts: ["x", "y"],
    });
    writeBank(paths[1]!, {
      dim: DIM,
      snippets: part(2, 3),
      labels: [0, -1, 1],
      classes: ["dog", "cow"],
      frequencies: [4, 0, 2],
      names: ["3", "4", "5"],
    });
    writeBank(paths[2]!, { dim: DIM, snippets: part(5, 1), names: ["6"] });
    const files = paths.slice(0, 3).map((path) => BankFile.open(path));
    await mergeBanks(files, { out: paths[3]! });
    for (const file of files) file[Symbol.dispose]();
    using merged = BankFile.open(paths[3]!);
    assert.deepEqual(merged.rows(0, 6), part(0, 6));
    assert.deepEqual(merged.classes, ["cat", "dog", "cow"]);
    assert.deepEqual([...merged.labels!], [1, 0, 1, -1, 2, -1]);
    assert.deepEqual([merged.names?.join(""), merged.texts], ["123456", undefined]);
    assert.equal(merged.frequencies, undefined);
    using counted = BankFile.open(paths[1]!);
    await mergeBanks([counted, counted], { out: paths[3]! });
    using twice = BankFile.open(paths[3]!);
    assert.deepEqual(twice.frequencies, Float32Array.of(4, 0, 2, 4, 0, 2));
  });
});

Deno.test("mergeBanks() keeps the weights of the encoder from whichever bank has them", async () => {
  await inDirectory(async (directory) => {
    const encoder = {
      kind: "pixel_pca",
      dim: DIM,
      preprocessing: {},
      settings: {},
      fingerprint: "f",
    };
    const encoderWeights = new Map([["mean", { shape: [2], values: Float32Array.of(1, 2) }]]);
    const snippets = SNIPPETS.slice(0, DIM), records = { dim: DIM, snippets, encoder };
    const [without, having, out] = ["without", "having", "out"].map((name) =>
      `${directory}/${name}`
    );
    writeBank(without!, records);
    writeBank(having!, { ...records, encoderWeights });
    using mapped = BankFile.open(without!), built = BankFile.open(having!);
    for (const banks of [[mapped, built], [built, mapped]]) {
      await mergeBanks(banks, { out: out! });
      using merged = BankFile.open(out!);
      assert.deepEqual(merged.encoderWeights, encoderWeights);
    }
    await mergeBanks([mapped, mapped], { out: out! });
    using merged = BankFile.open(out!);
    assert.equal(merged.encoderWeights.size, 0);
  });
});

Deno.test("mergeBanks() refuses other lengths and encoders, and takes low-rank banks", async () => {
  await inDirectory(async (directory) => {
    const at = (name: string) => `${directory}/${name}`;
    const encoder = { kind: "pixels", dim: DIM, preprocessing: {}, settings: {} };
    writeBank(at("a"), { dim: DIM, snippets: SNIPPETS, encoder: { ...encoder, fingerprint: "1" } });
    writeBank(at("b"), { dim: DIM, snippets: SNIPPETS, encoder: { ...encoder, fingerprint: "2" } });
    writeBank(at("plain"), { dim: DIM, snippets: SNIPPETS });
    writeBank(at("short"), { dim: 2, snippets: Float32Array.of(1, 0) });
    using a = BankFile.open(at("a")), b = BankFile.open(at("b"));
    using plain = BankFile.open(at("plain")), short = BankFile.open(at("short"));
    const bad = [
      [b, /their encoders differ, fingerprint is "2", expected "1"$/],
      [plain, /only one of them names its encoder$/],
      [short, /its snippets have length 2, expected 10$/],
    ] as const;
    for (const [other, message] of bad) {
      await assert.rejects(mergeBanks([a, other], { out: at("out") }), {
        name: "TypeError",
        message,
      });
    }
    writeLowRankBank(at("low"), await factorize(plain, { rank: DIM - 1 }));
    using low = BankFile.open(at("low"));
    await mergeBanks([plain, low], { out: at("out") });
    using merged = BankFile.open(at("out"));
    assert.deepEqual([merged.size, merged.rank], [2 * SIZE, undefined]);
    assert.deepEqual(merged.rows(SIZE, SIZE), low.rows(0, SIZE));
  });
});

Deno.test("BankFile refuses a shard that is none", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank`;
    for (const shard of ["", "0/3", "4/3", "3"]) {
      writeSafetensors(
        path,
        [["snippets", { dtype: "F32", shape: [1, 1], data: Float32Array.of(1) }]],
        { metadata: { shard } },
      );
      assert.throws(() => BankFile.open(path), {
        name: "CheckpointError",
        message: /its shard is "[^"]*", expected a part and their number, as "3\/8"$/,
      });
    }
  });
});
