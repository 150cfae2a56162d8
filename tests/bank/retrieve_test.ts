import assert from "node:assert/strict";
import type { Bank } from "../../bank/bank.ts";
import { FullBank } from "../../bank/full_bank.ts";
import { LowRankBank } from "../../bank/low_rank_bank.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import {
  chooseUniform,
  indexOfName,
  indicesOfClass,
  indicesOfName,
  indicesOfText,
  type Metric,
  nearestSnippets,
} from "../../bank/retrieve.ts";
import { factorize, reconstructRows } from "../../bank/svd.ts";
import { Device } from "../../kernels/core/device.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const SIZE = 1500, DIM = 12;
const SNIPPETS = normalizeSnippets(randomValues([SIZE, DIM], 3), { dim: DIM });
const RECORDS = {
  names: ["a.png", "b.png", "c.png"],
  labels: [1, 0, 1],
  classes: ["cat", "dog"],
  texts: ["A red dog", "the cat", "Dog, red, running"],
};

/** Neighbours by a full sort in float64. */
function nearestReference(
  snippets: ArrayLike<number>,
  search: { query: Float32Array; count: number; metric: Metric },
): { index: number; value: number }[] {
  const { query, count, metric } = search;
  const values = Array.from({ length: snippets.length / DIM }, (_, index) => {
    const row = Float64Array.from({ length: DIM }, (_, k) => snippets[index * DIM + k]!);
    const value = metric === "cosine"
      ? row.reduce((sum, b, k) => sum + b * query[k]!, 0) / Math.hypot(...row) /
        Math.hypot(...query)
      : -Math.hypot(...row.map((b, k) => b - query[k]!));
    return { index, value };
  });
  return values.sort((a, b) => b.value - a.value).slice(0, count);
}

async function assertNearest(
  device: Device,
  bank: Bank,
  metric: Metric,
): Promise<void> {
  const all: number[] = [];
  for (const { rows } of bank.ranges(1024)) {
    all.push(...await rows.read());
    rows.dispose();
  }
  const queries = new Float32Array(randomValues([3, DIM], 8));
  queries.set(all.slice(77 * DIM, 78 * DIM));
  const found = await nearestSnippets(device, { bank, queries, count: 9, metric });
  assert.equal(found.length, 3);
  for (const [row, neighbours] of found.entries()) {
    const query = queries.slice(row * DIM, (row + 1) * DIM);
    const want = nearestReference(all, { query, count: 9, metric });
    assert.deepEqual(neighbours.map(({ index }) => index), want.map(({ index }) => index));
    const got = neighbours.map((each) => metric === "cosine" ? each.cosine : -each.distance);
    assertClose(got, want.map(({ value }) => value), { tolerance: 1e-7, name: metric });
  }
  const [self] = found[0]!;
  assert.equal(self!.index, 77);
  assert.ok(self!.distance < 1e-6 && Math.abs(self!.cosine - 1) < 1e-12);
}

gpuTest("nearestSnippets() finds what a search of all snippets finds", async (device) => {
  using bank = FullBank.from(device, { dim: DIM, snippets: SNIPPETS });
  await assertNearest(device, bank, "cosine");
  await assertNearest(device, bank, "euclidean");
});

/** The index of the snippet [2] that is the nearest to (1, 0). */
async function nearestToEast(
  device: Device,
  snippets: Float32Array,
  metric: "cosine" | "euclidean",
): Promise<number> {
  using bank = FullBank.from(device, { dim: 2, snippets });
  const search = { bank, queries: Float32Array.of(1, 0), count: 1, metric };
  const [found] = await nearestSnippets(device, search);
  return found![0]!.index;
}

gpuTest("nearestSnippets() goes by directions where norms are a little off", async (device) => {
  // As far from 1 as a bank may have them: the second has the larger product with the query.
  const snippets = Float32Array.of(0.9992, 0, 1.0008 * Math.cos(0.03), 1.0008 * Math.sin(0.03));
  assert.equal(await nearestToEast(device, snippets, "cosine"), 0);
  // The other way round the second is the one whose distance is smaller by its norm.
  const shorter = Float32Array.of(1.0008, 0, 0.9992 * Math.cos(0.03), 0.9992 * Math.sin(0.03));
  assert.equal(await nearestToEast(device, shorter, "cosine"), 0);
});

gpuTest("nearestSnippets() goes by distances where norms are a little off", async (device) => {
  // The first is 0.0008 from the query; the second, which is shorter, 0.0022, mostly by its direction.
  const snippets = Float32Array.of(1.0008, 0, 0.9992 * Math.cos(0.002), 0.9992 * Math.sin(0.002));
  assert.equal(await nearestToEast(device, snippets, "euclidean"), 0);
});

gpuTest("nearestSnippets() searches a low-rank bank", async (device) => {
  const rows = (first: number, count: number) =>
    SNIPPETS.subarray(first * DIM, (first + count) * DIM);
  const factors = await factorize({ size: SIZE, dim: DIM, rows }, { rank: 7 });
  using bank = LowRankBank.from(device, factors);
  await assertNearest(device, bank, "cosine");
});

gpuTest("nearestSnippets() searches a bank whose basis is not orthogonal", async (device) => {
  const rank = 5;
  const factors = {
    coefficients: new Float32Array(randomValues([SIZE, rank], 4)),
    basis: new Float32Array(randomValues([DIM, rank], 5)),
    singularValues: new Float32Array(rank).fill(1),
    mean: new Float32Array(randomValues([DIM], 6)),
  };
  // 512 rows to a part: 1500 are three of them.
  const profile = { ...device.profile, maxBindingBytes: 4 * rank * 512 };
  const small = new Device(device.gpu, { profile });
  const whole = reconstructRows(factors.coefficients, factors);
  const queries = new Float32Array(randomValues([3, DIM], 8));
  {
    using bank = LowRankBank.from(small, factors);
    for (const metric of ["cosine", "euclidean"] as const) {
      const snippets = metric === "cosine" ? whole : normalizeSnippets(whole, { dim: DIM });
      const found = await nearestSnippets(small, { bank, queries, count: 9, metric });
      for (const [row, neighbours] of found.entries()) {
        const query = queries.slice(row * DIM, (row + 1) * DIM);
        const want = nearestReference(snippets, { query, count: 9, metric });
        assert.deepEqual(neighbours.map(({ index }) => index), want.map(({ index }) => index));
        const got = neighbours.map((each) => metric === "cosine" ? each.cosine : -each.distance);
        assertClose(got, want.map(({ value }) => value), { tolerance: 1e-6, name: metric });
      }
    }
  }
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest("nearestSnippets() searches a bank of several buffers", async (device) => {
  const profile = { ...device.profile, maxBindingBytes: 4 * DIM * 256 };
  const small = new Device(device.gpu, { profile });
  {
    using bank = FullBank.from(small, { dim: DIM, snippets: SNIPPETS });
    await assertNearest(small, bank, "euclidean");
  }
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest("nearestSnippets() takes more queries than can be searched for at once", async (device) => {
  const few = SNIPPETS.subarray(0, 200 * DIM), count = 100;
  // The snippets that 218 queries find, each 100 of 48 bytes.
  const small = new Device(device.gpu, {
    profile: { ...device.profile, maxBindingBytes: 2 ** 20 },
  });
  {
    using bank = FullBank.from(small, { dim: DIM, snippets: few });
    const queries = SNIPPETS.subarray(0, 500 * DIM);
    const found = await nearestSnippets(small, { bank, queries, count });
    assert.equal(found.length, 500);
    // What all of them find takes 2.4 MB.
    assert.ok(small.pool.peakBytes < 2e6, `${small.pool.peakBytes} bytes`);
    for (const row of [0, 217, 218, 499]) {
      const query = queries.slice(row * DIM, (row + 1) * DIM);
      const want = nearestReference(few, { query, count, metric: "cosine" });
      assert.deepEqual(found[row]!.map(({ index }) => index), want.map(({ index }) => index));
    }
  }
  assert.equal(small.pool.liveBytes, 0);
});

gpuTest(
  "nearestSnippets() finds no more than there are and refuses wrong queries",
  async (device) => {
    using bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1) });
    const [both] = await nearestSnippets(device, {
      bank,
      queries: Float32Array.of(0.1, 2),
      count: 9,
    });
    assert.deepEqual(both!.map(({ index }) => index), [1, 0]);
    for (const [count, found] of [[1, 1], [100, 2]] as const) {
      const [all] = await nearestSnippets(device, { bank, queries: Float32Array.of(1, 0), count });
      assert.equal(all!.length, found);
    }
    const bad = [
      [Float32Array.of(1, 0, 1), 1, /near 3 values: expected snippets of length 2$/],
      [new Float32Array(), 1, /near 0 values/],
      [Float32Array.of(1, 0, 0, 0), 1, /near query 1: its norm is 0, expected a positive number$/],
      [Float32Array.of(1, 0), 101, /find 101 neighbours: expected a whole number from 1 to 100$/],
      [Float32Array.of(1, 0), 0, /find 0 neighbours: expected a whole number from 1 to 100$/],
    ] as const;
    for (const [queries, count, message] of bad) {
      await assert.rejects(nearestSnippets(device, { bank, queries, count }), { message });
    }
    const search = { bank, queries: Float32Array.of(1, 0), count: 1 };
    await assert.rejects(nearestSnippets(device, { ...search, metric: "l2" as "cosine" }), {
      name: "RangeError",
      message: "Cannot find what is near: metric is l2, expected one of cosine, euclidean",
    });
  },
);

Deno.test("chooseUniform() draws every index equally often, the same for any number of images", () => {
  const drawn = chooseUniform(5, { count: 5000, seed: 3 });
  assert.deepEqual(chooseUniform(5, { count: 9, seed: 3 }), drawn.slice(0, 9));
  assert.notDeepEqual(chooseUniform(5, { count: 9, seed: 4 }), drawn.slice(0, 9));
  assert.deepEqual(chooseUniform(5, { count: 9 }), chooseUniform(5, { count: 9, seed: 0 }));
  // Pictures of the documents were drawn from these.
  assert.deepEqual([...chooseUniform(1914, { count: 4, seed: 0 })], [1673, 208, 1055, 1767]);
  const counts = [0, 0, 0, 0, 0];
  for (const index of drawn) counts[index]!++;
  // Expected 1000 each with a standard deviation of 28.
  assert.ok(counts.every((count) => Math.abs(count - 1000) < 120), counts.join());
  assert.throws(() => chooseUniform(0, { count: 1, seed: 0 }), {
    name: "RangeError",
    message: "Cannot choose: size is 0, expected a whole number from 1",
  });
  assert.throws(() => chooseUniform(5, { count: -1, seed: 0 }), {
    name: "RangeError",
    message: "Cannot choose: count is -1, expected a whole number from 0",
  });
});

Deno.test("indicesOfClass(), indexOfName() and indicesOfText() find images by their records", () => {
  assert.deepEqual([...indicesOfClass(RECORDS, "dog")], [0, 2]);
  assert.equal(indexOfName(RECORDS, "b.png"), 1);
  assert.deepEqual([...indicesOfText(RECORDS, "RED dog")], [0, 2]);
  assert.deepEqual([...indicesOfText(RECORDS, "running")], [2]);
  assert.deepEqual([...indicesOfText(RECORDS, "red cat")], []);
  assert.deepEqual([...indicesOfText(RECORDS, " ")], []);
  assert.throws(() => indicesOfClass(RECORDS, "cow"), {
    name: "RangeError",
    message: 'Cannot retrieve class "cow": the bank has the classes cat, dog',
  });
  assert.throws(() => indicesOfClass(RECORDS, "Dogs"), {
    message: 'Cannot retrieve class "Dogs": the bank has the classes cat, dog; did you mean dog?',
  });
  assert.throws(() => indicesOfClass({ classes: ["dog"] }, "dog"), {
    name: "RangeError",
    message:
      'Cannot retrieve class "dog": the bank has no labels that say which snippets are of it',
  });
  assert.throws(() => indexOfName(RECORDS, "dog"), {
    message: 'Cannot retrieve "dog": none of 3 snippets has that name, such as a.png, b.png, c.png',
  });
  assert.throws(() => indexOfName(RECORDS, "c.pgn"), {
    message: 'Cannot retrieve "c.pgn": no snippet of the bank has that name, did you mean c.png?',
  });
  for (const find of [indicesOfClass, indexOfName, indicesOfText]) {
    assert.throws(() => find({}, "dog"), { name: "RangeError", message: /the bank has no/ });
  }
});

Deno.test("indicesOfName() goes by names before texts", () => {
  const names = ["dog", "a.png", "dog"];
  assert.deepEqual([...indicesOfName({ ...RECORDS, names }, "dog")], [0, 2]);
  assert.deepEqual([...indicesOfName({ ...RECORDS, names }, "the cat")], [1]);
  assert.deepEqual([...indicesOfName({ names }, "a.png")], [1]);
  assert.deepEqual([...indicesOfName({ texts: RECORDS.texts }, "red")], [0, 2]);
  const refused = [
    [RECORDS, /no image has that name, or its words in its text, expected one such as a\.png, b/],
    [{ names }, /no image has that name, expected one such as dog, a\.png, dog$/],
    [{}, /Cannot retrieve "cow": the bank has no names and no texts$/],
  ] as const;
  for (const [records, message] of refused) {
    assert.throws(() => indicesOfName(records, "cow"), { name: "RangeError", message });
  }
});
