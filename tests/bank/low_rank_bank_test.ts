import assert from "node:assert/strict";
import { writeBank, writeLowRankBank } from "../../bank/bank_writer.ts";
import { compressBank } from "../../bank/compress.ts";
import { BankFile } from "../../bank/file.ts";
import { FullBank } from "../../bank/full_bank.ts";
import { loadBank } from "../../bank/load.ts";
import { LowRankBank } from "../../bank/low_rank_bank.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { factorize, reconstructRows } from "../../bank/svd.ts";
import { Device } from "../../kernels/core/device.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest, NO_ADAPTER, sharedDevice } from "../_gpu.ts";
import { goldenTest } from "../_goldens.ts";
import { inDirectory } from "./_images.ts";
import { readLowRank } from "./_read_bank.ts";

const SIZE = 21, DIM = 6, RANK = 3;
const SNIPPETS = normalizeSnippets(randomValues([SIZE, DIM], 2), { dim: DIM });
const FACTORS = await factorize({
  size: SIZE,
  dim: DIM,
  rows: (first, count) => SNIPPETS.slice(first * DIM, (first + count) * DIM),
}, { rank: RANK });
const RECORDS = { names: Array.from({ length: SIZE }, (_, i) => `image ${i}`) };

/** Float32 sums of a few products, then a norm of as many: 2^-24 each, with room for their order. */
const TOLERANCE = 1e-6;

function reconstructed(): Float32Array {
  return normalizeSnippets(reconstructRows(FACTORS.coefficients, FACTORS), { dim: DIM });
}

goldenTest("LowRankBank retrieves and extends as the official one, normalised", {
  golden: "memory_bank_svd",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const dim = golden.entry("input.new").shape[0]!;
    using bank = LowRankBank.from(device, {
      coefficients: golden.readFloat32("C"),
      basis: golden.readFloat32("M"),
      singularValues: golden.readFloat32("S"),
      mean: golden.readFloat32("mean"),
    });
    const check = async (index: number, key: string) => {
      const want = normalizeSnippets(golden.readFloat32(key), { dim });
      assertClose(await bank.snippet(index), want, { tolerance: TOLERANCE, name: key });
    };
    await check(5, "output.get5");
    const fresh = normalizeSnippets(golden.readFloat32("input.new"), { dim });
    assertClose(fresh, golden.readFloat32("input.new"), {
      tolerance: TOLERANCE,
      name: "unit norm",
    });
    await check(bank.addExternal(fresh), "output.add_exact");
    await check(
      await bank.addInternal({ first: 3, second: 8, firstShare: 0.3 }),
      "output.add_interpolated_3_8_0.3",
    );
  },
});

gpuTest(
  "LowRankBank.gather() reconstructs and normalises, by indices on either side",
  async (device) => {
    using bank = LowRankBank.from(device, { ...FACTORS, ...RECORDS });
    assert.deepEqual([bank.size, bank.dim, bank.rank], [SIZE, DIM, RANK]);
    assert.equal(bank.storage, "f32");
    const indices = Uint32Array.from({ length: SIZE }, (_, i) => i);
    using onGpu = device.tensor(indices, [SIZE]);
    for (const given of [indices, onGpu]) {
      using snippets = bank.gather(given);
      assertClose(await snippets.read(), reconstructed(), {
        tolerance: TOLERANCE,
        name: "gathered",
      });
    }
    assert.throws(() => bank.gather([SIZE]), {
      name: "RangeError",
      message: "Cannot retrieve snippet 21: the bank has 21 snippets, " +
        "expected a whole number from 0 to 20",
    });
  },
);

gpuTest("LowRankBank spreads over several buffers and keeps its bits", async (device) => {
  // 8 rows of 3 coefficients to a part: 21 are three of them.
  const profile = { ...device.profile, maxBindingBytes: 4 * RANK * 8 };
  const small = new Device(device.gpu, { profile });
  {
    using whole = LowRankBank.from(device, FACTORS), parts = LowRankBank.from(small, FACTORS);
    const wanted = Uint32Array.of(20, 0, 7, 8, 15, 16, 3);
    using onGpu = small.tensor(wanted, [wanted.length]);
    using want = whole.gather(wanted);
    for (const indices of [wanted, onGpu]) {
      using got = parts.gather(indices);
      assert.deepEqual(await got.read(), await want.read());
    }
    assert.throws(() => parts.gather([21]), { message: /the bank has 21 snippets/ });
  }
  await small.settle();
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest("LowRankBank.from() gives back what it took where it fails", async (device) => {
  const small = new Device(device.gpu, { profile: device.profile });
  assert.throws(() => LowRankBank.from(small, { ...FACTORS, names: ["one"] }), TypeError);
  small.tensor = (data, shape) => {
    if (data === FACTORS.mean) throw new RangeError("no room");
    return Device.prototype.tensor.call(small, data, shape);
  };
  assert.throws(() => LowRankBank.from(small, FACTORS), { message: "no room" });
  await small.settle();
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest("LowRankBank.inSpan() and rangesInSpan() keep all products", async (device) => {
  const size = 150, dim = 40, rank = 6, width = 8;
  const basis = new Float32Array(randomValues([dim, rank], 7));
  // Neither orthogonal nor independent; the mean is long against what is left of it.
  for (let i = 0; i < dim; i++) {
    basis[i * rank + 1] = basis[i * rank]! + basis[i * rank + 1]! / 16;
    basis[i * rank + 4] = basis[i * rank + 2]!;
  }
  const mean = new Float32Array(randomValues([dim], 8)).map((x) => 4 * x);
  const coefficients = new Float32Array(randomValues([size, rank], 9));
  const factors = { coefficients, basis, singularValues: new Float32Array(rank).fill(1), mean };
  const queries = normalizeSnippets(randomValues([3, dim], 10), { dim });
  const whole = reconstructRows(coefficients, factors);
  // 64 rows to a part: 150 are three of them.
  const profile = { ...device.profile, maxBindingBytes: 4 * rank * 64 };
  const small = new Device(device.gpu, { profile });
  {
    using bank = LowRankBank.from(small, factors);
    const points = bank.inSpan(queries);
    // Five columns differ and the mean is a sixth.
    assert.equal(points.length, 3 * width);
    const got: number[] = [], want: number[] = [];
    let bound = 0;
    for (const { first, rows } of bank.rangesInSpan(64)) {
      assert.equal(first, got.length / 3);
      const values = await rows.read();
      rows.dispose();
      for (let row = 0; row < values.length / width; row++) {
        const snippet = whole.subarray((first + row) * dim, (first + row + 1) * dim);
        const norm = Math.hypot(...snippet);
        let terms = Math.hypot(...mean);
        for (let k = 0; k < rank; k++) {
          const column = Array.from({ length: dim }, (_, i) => basis[i * rank + k]!);
          terms += Math.abs(coefficients[(first + row) * rank + k]!) * Math.hypot(...column);
        }
        bound = Math.max(bound, (rank + 2 * width + 32) * 2 ** -24 * terms / norm);
        for (let query = 0; query < 3; query++) {
          let product = 0, reference = 0;
          for (let i = 0; i < width; i++) {
            product += values[row * width + i]! * points[query * width + i]!;
          }
          for (let i = 0; i < dim; i++) reference += snippet[i]! * queries[query * dim + i]!;
          got.push(product);
          want.push(reference / norm);
        }
      }
    }
    assert.ok(bound < 1e-4, `bound ${bound}`);
    assertClose(got, want, { tolerance: bound, name: "products" });
  }
  await small.settle();
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest("LowRankBank takes more coefficients than the kernel has room for", async (device) => {
  const dim = 2, rank = 770, rows = 3;
  const factors = {
    coefficients: new Float32Array(randomValues([rows, rank], 5)),
    basis: new Float32Array(randomValues([dim, rank], 6)),
    singularValues: new Float32Array(rank).fill(1),
    mean: Float32Array.of(1, 1),
  };
  using bank = LowRankBank.from(device, factors);
  using got = bank.gather([2, 0]);
  const want = normalizeSnippets(reconstructRows(factors.coefficients, factors), { dim });
  assertClose(await got.read(), [...want.slice(4), ...want.slice(0, 2)], {
    tolerance: 1e-5,
    name: "770 coefficients",
  });
});

gpuTest("LowRankBank.addExternal() of a snippet of the bank gives it again", async (device) => {
  using bank = LowRankBank.from(device, { ...FACTORS, ...RECORDS });
  const index = bank.addExternal(SNIPPETS.slice(DIM, 2 * DIM), { name: "again" });
  assert.equal(index, SIZE);
  assertClose(await bank.snippet(index), await bank.snippet(1), {
    tolerance: TOLERANCE,
    name: "again",
  });
  assert.equal(bank.names![index], "again");
  assert.throws(() => bank.addExternal(new Float32Array(DIM)), RangeError);
});

gpuTest("LowRankBank.save() writes what loadBank() and LowRankBank.load() read", async (device) => {
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    using bank = LowRankBank.from(device, { ...FACTORS, ...RECORDS });
    await bank.addInternal({ first: 0, second: 1, firstShare: 0.5 });
    await assert.rejects(bank.addInternal({ first: 0, second: 1, firstShare: -0.5 }), {
      name: "RangeError",
      message: "Cannot mix snippets: firstShare is -0.5, expected a number from 0 to 1",
    });
    await bank.save(path);
    using file = BankFile.open(path);
    const loads = [
      () => loadBank(device, path),
      () => LowRankBank.load(device, path),
      () => loadBank(device, file),
    ];
    for (const load of loads) {
      using loaded = load();
      assert.ok(loaded instanceof LowRankBank);
      assert.deepEqual(await loaded.snippet(SIZE), await bank.snippet(SIZE));
      assert.deepEqual(loaded.names, bank.names);
    }
    assert.throws(() => FullBank.load(device, path), {
      name: "TypeError",
      message: /as a full one: its rank is 3, expected a full bank$/,
    });
    writeBank(path, { dim: DIM, snippets: SNIPPETS });
    assert.throws(() => LowRankBank.load(device, path), {
      name: "TypeError",
      message: /it is full, expected a low-rank bank$/,
    });
  });
});

gpuTest("LowRankBank.save() stores as the file did that it was loaded from", async (device) => {
  await inDirectory(async (directory) => {
    const from = `${directory}/from`, to = `${directory}/to`, whole = `${directory}/whole`;
    writeBank(whole, { dim: DIM, snippets: SNIPPETS });
    using file = BankFile.open(whole);
    for (const storage of ["f32", "f16", "int8"] as const) {
      await compressBank(file, { rank: RANK, storage, out: from });
      using before = BankFile.open(from);
      const loaded = LowRankBank.load(device, from);
      for (const made of [loaded, LowRankBank.from(device, readLowRank(before))]) {
        using bank = made;
        assert.deepEqual([bank.storage, bank.loss], [storage, before.loss]);
        // A snippet between two others has no larger coefficients.
        await bank.addInternal({ first: 0, second: 1, firstShare: 0.5 });
        await bank.save(to);
        using after = BankFile.open(to);
        assert.deepEqual([after.size, after.storage, after.loss], [SIZE + 1, storage, before.loss]);
        assert.deepEqual(after.coefficients(0, SIZE), before.coefficients(0, SIZE));
        // The other side of the mean is further away than any.
        bank.addExternal(normalizeSnippets(before.readShared().mean.map((x) => -x), { dim: DIM }));
        await bank.save(to);
        using wider = BankFile.open(to);
        const row = wider.rows(SIZE + 1, 1);
        assertClose(row, await bank.snippet(SIZE + 1), { tolerance: 1e-2, name: storage });
      }
      writeLowRankBank(to, readLowRank(before));
      using again = BankFile.open(to);
      assert.deepEqual(readLowRank(again), readLowRank(before));
    }
  });
});

gpuTest("LowRankBank.from() refuses factors that do not fit or are no numbers", (device) => {
  assert.throws(() => LowRankBank.from(device, { ...FACTORS, basis: new Float32Array(5) }), {
    name: "TypeError",
    message: "Cannot make a low-rank bank: the basis has 5 values, expected 18 for [6, 3]",
  });
  assert.throws(
    () => LowRankBank.from(device, { ...FACTORS, singularValues: Float32Array.of(1, 0, 1) }),
    {
      name: "RangeError",
      message:
        "Cannot make a low-rank bank: singularValues holds 0 at 1, expected positive numbers",
    },
  );
});
