import assert from "node:assert/strict";
import { distanceDevice, distanceTiles, nearestRows } from "../../evaluate/distances.ts";
import { precisionRecall } from "../../evaluate/manifold.ts";
import { testNumbers } from "../_check_op.ts";
import { gpuTest, NO_ADAPTER, openDevice } from "../_gpu.ts";
import { manifoldReference, rowsOf } from "./_reference.ts";

function random(count: number, options: { dim: number; seed: number; shift?: number }) {
  const { dim, seed, shift = 0 } = options, next = testNumbers(seed);
  return Float32Array.from({ length: count * dim }, () => next() + shift);
}

Deno.test("precisionRecall() matches sorted distances in float64", async () => {
  const dim = 5;
  const reference = random(70, { dim, seed: 1 });
  const samples = random(50, { dim, seed: 2, shift: 0.6 });
  const got = await precisionRecall({ reference, samples }, { dim });
  const want = manifoldReference(rowsOf(reference, dim), rowsOf(samples, dim));
  assert.deepEqual({ precision: got.precision, recall: got.recall }, want);
  assert.ok(want.precision > 0.1 && want.precision < 0.9 && want.recall < 0.9);
  assert.deepEqual([got.sampleInside.length, got.referenceInside.length], [50, 70]);
});

Deno.test("precisionRecall() counts the edge of a ball, and copies of a point as neighbours", async () => {
  // Radii of the reference: 3, 2, 2, 3; of the samples: 9, 8, 8, 9 (k = 3 of four points).
  const reference = Float32Array.of(0, 1, 2, 3), samples = Float32Array.of(-3, 5.5, -3.5, 6);
  const got = await precisionRecall({ reference, samples }, { dim: 1 });
  assert.deepEqual([...got.sampleInside], [1, 1, 0, 1]);
  assert.equal(got.recall, 1);
  const swapped = await precisionRecall({ reference: samples, samples: reference }, { dim: 1 });
  assert.deepEqual([...swapped.referenceInside], [1, 1, 0, 1]);
  assert.equal(swapped.precision, 1);
  // Four equal references have radius 0, which holds themselves alone.
  const equal = Float32Array.of(1, 1, 1, 1), near = Float32Array.of(1, 1.001, 2, 3);
  const { precision } = await precisionRecall({ reference: equal, samples: near }, { dim: 1 });
  assert.equal(precision, 0.25);
});

Deno.test("precisionRecall() refuses too few vectors and what is not finite", async () => {
  const samples = Float32Array.of(0, 1, 2, 3);
  await assert.rejects(
    precisionRecall({ reference: Float32Array.of(0, 1, 2), samples }, { dim: 1 }),
    /the 3 nearest of 2 other vectors/,
  );
  const pairs = Float32Array.of(0, 1, 2, 3, 4, 5);
  await assert.rejects(nearestRows(pairs, pairs, { dim: 2, count: 4 }), {
    name: "RangeError",
    message: "Cannot find the 4 nearest of 3 other vectors: expected 1 to 3",
  });
  const { indices } = await nearestRows(pairs, pairs, { dim: 2, count: 3 });
  assert.deepEqual([...indices], [0, 1, 2, 1, 0, 2, 2, 1, 0]);
  await assert.rejects(
    precisionRecall({ reference: Float32Array.of(0, NaN, 2, 3), samples }, { dim: 1 }),
    /image 1: component 0 is NaN/,
  );
});

Deno.test("nearestRows() finds neighbours across tiles, first among equals, without itself", async () => {
  const set = Float32Array.from({ length: 5000 }, (_, i) => i % 2500);
  const own = Uint32Array.of(2499, 10);
  const queries = own.map((index) => set[index]!);
  const { indices, squares } = await nearestRows(new Float32Array(queries), set, {
    dim: 1,
    count: 3,
    own,
  });
  assert.deepEqual([...indices], [4999, 2498, 4998, 2510, 9, 11]);
  assert.deepEqual([...squares], [0, 1, 1, 0, 1, 1]);
});

Deno.test("nearestRows() passes over what is not beyond a distance", async () => {
  const set = Float32Array.of(0, 1, 1, 2, 4), queries = Float32Array.of(1, 4);
  const { indices, squares } = await nearestRows(queries, set, { dim: 1, count: 3, beyond: 1 });
  assert.deepEqual([...squares], [9, Infinity, Infinity, 4, 9, 9]);
  assert.deepEqual([indices[0], ...indices.subarray(3)], [4, 3, 1, 2]);
});

Deno.test("distances tell how much of them is done", async () => {
  const told: number[][] = [], onProgress = (...each: [number, number]) => void told.push(each);
  const many = Float32Array.from({ length: 4097 }, (_, i) => i);
  await nearestRows(many, Float32Array.of(1), { dim: 1, count: 1, onProgress });
  assert.deepEqual(told.splice(0), [[1, 3], [2, 3], [3, 3]]);
  const four = Float32Array.of(0, 1, 2, 3);
  await precisionRecall({ reference: four, samples: four }, { dim: 1, onProgress });
  assert.deepEqual(told, [[1 / 3, 1], [2 / 3, 1], [1, 1]]);
});

gpuTest("distanceDevice() leaves few distances to the CPU", (device) => {
  const size = { rows: 1024, columns: 1024, dim: 1024 };
  assert.equal(distanceDevice(device, size), device);
  assert.equal(distanceDevice(device, { ...size, rows: 1023 }), undefined);
  assert.equal(distanceDevice(undefined, size), undefined);
});

/** Vectors of 3,072 bytes, each of them `times` times, as bright as photographs by night and by day. */
function byteVectors(count: number, options: { seed: number; times: number }): Float32Array {
  const dim = 3072, next = testNumbers(options.seed);
  const out = new Float32Array(count * options.times * dim);
  for (let i = 0; i < count; i++) {
    const bright = 120 + 90 * next();
    const row = Float32Array.from({ length: dim }, () => Math.round(bright + 30 * next()));
    for (let j = 0; j < options.times; j++) out.set(row, (j * count + i) * dim);
  }
  return out;
}

Deno.test("distances on a GPU are those of the CPU, of equal vectors as well", {
  ignore: NO_ADAPTER,
}, async () => {
  using device = await openDevice({ variants: { matmul: "tiled" } });
  const dim = 3072, reference = byteVectors(12, { seed: 5, times: 4 });
  const samples = byteVectors(20, { seed: 6, times: 1 });
  samples.set(reference.subarray(0, 10 * dim));
  const search = { dim, count: 9, beyond: 0 };
  assert.deepEqual(
    await nearestRows(samples, reference, { ...search, device }),
    await nearestRows(samples, reference, search),
  );
  const onDevice = await precisionRecall({ samples, reference }, { dim, device });
  assert.deepEqual(onDevice, await precisionRecall({ samples, reference }, { dim }));
  // The radii of references that are there four times are 0.
  assert.equal(onDevice.precision, 0.5);
  // Widths that are padded, and a second tile.
  const queries = random(41, { dim: 33, seed: 8, shift: 3 });
  const set = random(2101, { dim: 33, seed: 9, shift: 3 });
  assert.deepEqual(
    await nearestRows(queries, set, { dim: 33, count: 4, device }),
    await nearestRows(queries, set, { dim: 33, count: 4 }),
  );
  await device.settle();
});

Deno.test("distanceTiles() loses no distance within a limit, and takes few others", {
  ignore: NO_ADAPTER,
}, async () => {
  using device = await openDevice({ variants: { matmul: "tiled" } });
  const dim = 3072, vectors = byteVectors(20, { seed: 7, times: 2 }), rows = rowsOf(vectors, dim);
  for (const options of [{ dim }, { dim, device }]) {
    for await (const { squareUpTo } of distanceTiles(vectors, vectors, options)) {
      for (const [i, a] of rows.entries()) {
        for (const [j, b] of rows.entries()) {
          const square = a.reduce((sum, value, k) => sum + (value - b[k]!) ** 2, 0);
          assert.equal(squareUpTo(i, j, square), square);
          // The products leave open 2⁻¹⁰ of the squared norms at most, here 2 % of a distance.
          if (square > 0) assert.equal(squareUpTo(i, j, 0.95 * square), Infinity);
        }
      }
    }
  }
  await device.settle();
});
