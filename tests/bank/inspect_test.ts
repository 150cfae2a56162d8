import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { compressBank } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { describeBank, directionsFor, inspectBank } from "../../bank/inspect.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { inDirectory } from "./_images.ts";

Deno.test("inspectBank() sums up sizes, classes, norms and the spread of the snippets", async () => {
  await inDirectory((directory) => {
    const path = `${directory}/bank.safetensors`;
    // Twice as much spread along the first axis as along the second: variances 4/6 and 2/6.
    writeBank(path, {
      dim: 3,
      snippets: Float32Array.of(1, 0, 0, -1, 0, 0, 1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1, 0),
      labels: [0, 1, 1, 0, -1, 1],
      classes: ["a", "b"],
      texts: Array(6).fill("text"),
      imageSize: 24,
    });
    using file = BankFile.open(path);
    const summary = inspectBank(file);
    const { spectrum, ...rest } = summary;
    assert.deepEqual(rest, {
      path,
      size: 6,
      dim: 3,
      rank: null,
      storage: null,
      loss: null,
      encoder: null,
      imageSize: 24,
      classes: { a: 2, b: 3 },
      names: false,
      texts: true,
      norms: { least: 1, largest: 1 },
      bytes: 72,
    });
    assert.equal(spectrum.snippets, 6);
    assertClose(spectrum.shares, [2 / 3, 1 / 3, 0], { tolerance: 1e-15, name: "shares" });
    assert.deepEqual([0.5, 0.7, 1].map((share) => directionsFor(share, spectrum)), [1, 2, 2]);
    assert.deepEqual(describeBank(summary), [
      `bank      ${path}`,
      "snippets  6 of length 3, whole",
      "encoder   not known",
      "images    24 × 24 pixels",
      "classes   a 2, b 3",
      "records   texts",
      "norms     1.0000000 to 1.0000000",
      "spectrum  first direction 66.7 % of the variance; 50 % in 1, 90 % in 2, 99 % in 2 of 3 " +
      "directions",
      "memory    72 bytes on the GPU",
    ]);
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`n${i}`, i]));
    assert.equal(
      describeBank({ ...summary, classes: many })[4],
      "classes   n0 0, n1 1, n2 2, n3 3, n4 4, n5 5, n6 6, n7 7, n8 8, n9 9 and 990 more",
    );
    const memory = (bytes: number) => describeBank({ ...summary, bytes }).at(-1)!.slice(10, -11);
    assert.deepEqual([999, 1000, 999_499, 999_500, 38e6, 4e9, 5e12].map(memory), [
      "999 bytes",
      "1.00 kB",
      "999 kB",
      "1.00 MB",
      "38.0 MB",
      "4.00 GB",
      "5000 GB",
    ]);
  });
});

Deno.test("inspectBank() says how a low-rank bank is stored and what it lost", async () => {
  await inDirectory(async (directory) => {
    const full = `${directory}/full`, low = `${directory}/low`;
    writeBank(full, { dim: 4, snippets: normalizeSnippets(randomValues([30, 4], 1), { dim: 4 }) });
    using source = BankFile.open(full);
    const made = await compressBank(source, { rank: 2, out: low, storage: "f16" });
    using file = BankFile.open(low);
    const summary = inspectBank(file);
    assert.deepEqual([summary.storage, summary.rank], ["f16", 2]);
    // On the GPU all are f32: coefficients [30, 2], the basis [4, 2] and the mean [4].
    assert.equal(summary.bytes, 4 * (60 + 8 + 4));
    assert.equal(summary.loss?.rmsError, made.rmsError);
    // Its snippets are normalised as they are read.
    assert.equal(summary.norms, null);
    const lines = describeBank(summary);
    assert.match(lines[2]!, /^stored {4}f16; cosine to the snippets before 0\.\d+/);
    assert.ok(!lines.some((line) => line.startsWith("norms")), lines.join("\n"));
  });
});
