import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { buildBank } from "../../bank/build.ts";
import { compressBank } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { shardOf } from "../../bank/image_source.ts";
import { copyBank, mergeBanks } from "../../bank/merge.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { inDirectory, pixelEncoder, randomImages, sourceOf } from "./_images.ts";

const SIZES = { imageSize: 2, channels: 3 } as const;

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
      await buildBank({ images: shard, encoder: pixelEncoder(12), path });
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
    const progress: number[] = [];
    await mergeBanks(listed, { path, onProgress: (done) => progress.push(done) });
    assert.deepEqual(progress, Array.from({ length: 12 }, (_, i) => 3 * (i + 1)));
    using merged = BankFile.open(path);
    assert.deepEqual(merged.names, Array.from({ length: 36 }, (_, i) => `image ${i}`));
    assert.deepEqual(merged.rows(3, 3), files[1]!.rows(0, 3));
    assert.deepEqual([merged.shard, merged.imageSize], [undefined, 2]);
    await compressBank(files[4]!, { rank: 2, path: `${directory}/low` });
    using low = BankFile.open(`${directory}/low`);
    assert.deepEqual([low.shard, low.imageSize], [{ number: 5, count: 12 }, 2]);
    // What is made of it again is in part no longer what the encoder gave.
    await copyBank(low, { path: `${directory}/again` });
    using again = BankFile.open(`${directory}/again`);
    assert.deepEqual([again.rank, again.imageSize], [undefined, undefined]);
  });
});

Deno.test("mergeBanks() takes all shards, each once, and nothing beside them", async () => {
  await withShards(async (files, directory) => {
    const path = `${directory}/merged`;
    await copyBank(files[0]!, { path: `${directory}/plain` });
    using plain = BankFile.open(`${directory}/plain`);
    assert.deepEqual([plain.size, plain.shard], [3, undefined]);
    const cases = [
      [files.toSpliced(6, 1), /^Cannot merge the shards of a build: shard 7 of 12 is missing/],
      [[...files, files[3]!], /both are shard 4 of 12, expected each once$/],
      [[...files, plain], /it is no shard, expected the 12 shards of one build alone$/],
    ] as const;
    for (const [banks, message] of cases) {
      await assert.rejects(mergeBanks(banks, { path }), { name: "TypeError", message });
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
    await mergeBanks(files, { path });
    using merged = BankFile.open(path);
    assert.deepEqual(merged.classes, ["cat", "dog", "owl"]);
    assert.deepEqual([...merged.labels!], [0, 1, 0, -1, -1, -1]);
    assert.deepEqual([...merged.frequencies!], [1, 2, 3, 4, 5, 6]);
    assert.equal(merged.names, undefined);
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
