import assert from "node:assert/strict";
import { writeBank } from "../../bank/bank_writer.ts";
import { compressBank, describeCompression } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { factorize } from "../../bank/svd.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { inDirectory } from "./_images.ts";

/** Three pieces are compared, and not of equal sizes. */
const SIZE = 301, DIM = 10;

/** Snippets whose spread falls off quickly, as that of real ones. */
const SNIPPETS = normalizeSnippets(
  randomValues([SIZE, DIM], 4).map((value, i) => value * 0.6 ** (i % DIM) + 0.05),
  { dim: DIM },
);

Deno.test("compressBank() writes what factorize() computes, and measures what it loses", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`, out = `${directory}/low.safetensors`;
    const names = Array.from({ length: SIZE }, (_, i) => `${i}.png`);
    writeBank(path, { dim: DIM, snippets: SNIPPETS, names });
    using file = BankFile.open(path);
    const progress: number[][] = [];
    const made = await compressBank(file, {
      rank: 6,
      out,
      onProgress: (...each) => progress.push(each),
    });
    assert.deepEqual(progress, [[SIZE, 2 * SIZE], [2 * SIZE, 2 * SIZE]]);
    const factors = await factorize(file, { rank: 6 });
    using low = BankFile.open(out);
    assert.deepEqual(low.coefficients(0, SIZE), factors.coefficients);
    assert.deepEqual([low.names, low.rank, made.rank], [names, 6, 6]);
    assert.equal(made.energy, factors.energy);
    assert.deepEqual(made.bytes, {
      before: Deno.statSync(path).size,
      after: Deno.statSync(out).size,
    });
    const rows = low.rows(0, SIZE);
    const cosines = Array.from({ length: SIZE }, (_, row) => {
      let product = 0;
      for (let i = row * DIM; i < (row + 1) * DIM; i++) product += SNIPPETS[i]! * rows[i]!;
      return product;
    });
    assert.equal(made.compared, SIZE);
    assertClose([made.leastCosine], [Math.min(...cosines)], { tolerance: 1e-12, name: "least" });
    const mean = cosines.reduce((sum, value) => sum + value) / SIZE;
    assertClose([made.meanCosine], [mean], { tolerance: 1e-12, name: "mean" });
    const errors = Array.from({ length: SIZE }, (_, row) => {
      let squares = 0;
      for (let i = row * DIM; i < (row + 1) * DIM; i++) squares += (SNIPPETS[i]! - rows[i]!) ** 2;
      return squares;
    });
    const rms = Math.sqrt(errors.reduce((sum, value) => sum + value) / SIZE);
    assertClose([made.rmsError], [rms], { tolerance: 1e-12, name: "rms" });
    assertClose([made.largestError], [Math.sqrt(Math.max(...errors))], {
      tolerance: 1e-12,
      name: "largest",
    });
    assert.deepEqual(made.storageLoss, { rmsError: 0, largestError: 0 });
    const { rank: _, storage, bytes: __, ...loss } = made;
    assert.equal(storage, "f32");
    assert.deepEqual([low.loss, low.storage], [loss, "f32"]);
    assert.equal(describeCompression(made).length, 5);
    assert.ok(mean < 0.9999 && mean > 0.9, `${mean}`);
  });
});

Deno.test("compressBank() stores coefficients in half or a byte with a small loss", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    writeBank(path, { dim: DIM, snippets: SNIPPETS });
    using file = BankFile.open(path);
    const factors = await factorize(file, { rank: DIM - 1 });
    const whole = await compressBank(file, { rank: DIM - 1, out: `${directory}/f32` });
    for (const [storage, bytes, error] of [["f16", 2, 2 ** -11], ["int8", 1, 1 / 254]] as const) {
      const out = `${directory}/${storage}`;
      const made = await compressBank(file, { rank: DIM - 1, out, storage });
      assert.equal(made.storage, storage);
      // Roundings of coefficients c of r columns: steps of 1/127 of a column's maximum, or 2^-11 of c.
      const { rmsError, largestError } = made.storageLoss;
      assert.ok(rmsError > 0 && rmsError <= largestError && largestError < 4 * error, storage);
      const scales = storage === "int8" ? 4 * (DIM - 1) : 0;
      // Headers of the two files differ by the words for types and scales.
      const saved = SIZE * (DIM - 1) * (4 - bytes) - scales;
      assert.ok(Math.abs(whole.bytes.after - made.bytes.after - saved) < 160);
      using low = BankFile.open(out);
      assert.equal(low.storage, storage);
      const coefficients = low.coefficients(0, SIZE);
      for (let column = 0; column < DIM - 1; column++) {
        const of = (values: Float32Array) => values.filter((_, i) => i % (DIM - 1) === column);
        const name = `${storage} column ${column}`;
        assertClose(of(coefficients), of(factors.coefficients), { tolerance: 1.001 * error, name });
      }
      const loss = whole.meanCosine - made.meanCosine;
      assert.ok(loss < 1e-3, `${storage} loses ${loss}`);
    }
  });
});

Deno.test("compressBank() leaves no file behind when it does not end", async () => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`, out = `${directory}/low.safetensors`;
    writeBank(path, { dim: DIM, snippets: SNIPPETS });
    using file = BankFile.open(path);
    const onProgress = (done: number) => {
      if (done > SIZE) throw new Error("enough");
    };
    await assert.rejects(compressBank(file, { rank: 2, out, onProgress }), /enough/);
    assert.deepEqual(Array.from(Deno.readDirSync(directory), ({ name }) => name), [
      "bank.safetensors",
    ]);
  });
});

gpuTest("compressBank() by a device writes what the CPU computes, to f32", async (device) => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    writeBank(path, { dim: DIM, snippets: SNIPPETS });
    using file = BankFile.open(path);
    const progress: number[][] = [];
    const onProgress = (...each: [number, number]) => progress.push(each);
    const onCpu = await compressBank(file, { rank: 5, out: `${directory}/cpu` });
    const options = { rank: 5, out: `${directory}/gpu`, storage: "int8", device } as const;
    const onGpu = await compressBank(file, { ...options, onProgress });
    assert.deepEqual(progress, [1, 2, 3].map((part) => [part * SIZE, 3 * SIZE]));
    assert.ok(Math.abs(onCpu.energy - onGpu.energy) < 1e-6, `${onCpu.energy}, ${onGpu.energy}`);
    using first = BankFile.open(`${directory}/cpu`), second = BankFile.open(`${directory}/gpu`);
    // A step of a byte is 1/127 of the largest coefficient of a column.
    assertClose(second.coefficients(0, SIZE), first.coefficients(0, SIZE), {
      tolerance: 1 / 250,
      name: "coefficients",
    });
  });
});
