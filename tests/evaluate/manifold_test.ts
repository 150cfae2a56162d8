import assert from "node:assert/strict";
import { distanceDevice, distanceTiles, nearestRows } from "../../evaluate/distances.ts";
import { precisionRecall } from "../../evaluate/manifold.ts";
import { testNumbers } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";
import { distance, manifoldReference, rowsOf } from "./_reference.ts";

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

Deno.test("distances tell how much of them is done", async () => {
  const told: number[] = [], onProgress = (done: number) => void told.push(done);
  const many = Float32Array.from({ length: 4097 }, (_, i) => i);
  await nearestRows(many, Float32Array.of(1), { dim: 1, count: 1, onProgress });
  assert.deepEqual(told.splice(0), [1 / 3, 2 / 3, 1]);
  const four = Float32Array.of(0, 1, 2, 3);
  await precisionRecall({ reference: four, samples: four }, { dim: 1, onProgress });
  assert.deepEqual(told, [1 / 3, 2 / 3, 1]);
});

gpuTest("distanceDevice() leaves few distances to the CPU", (device) => {
  const size = { rows: 1024, columns: 1024, dim: 1024 };
  assert.equal(distanceDevice(device, size), device);
  assert.equal(distanceDevice(device, { ...size, rows: 1023 }), undefined);
  assert.equal(distanceDevice(undefined, size), undefined);
});

gpuTest("distanceTiles() on a device matches the CPU", async (device) => {
  const dim = 33;
  const a = random(40, { dim, seed: 5, shift: 3 }), b = random(2100, { dim, seed: 6, shift: 3 });
  const found = new Map<string, number>();
  for await (const tile of distanceTiles(a, b, { dim, device })) {
    for (const row of [0, 17, 39]) {
      for (const column of [0, tile.columns - 1]) {
        const value = tile.squares[row * tile.columns + column]!;
        found.set(`${tile.firstRow + row} ${tile.firstColumn + column}`, value);
      }
    }
  }
  assert.equal(found.size, 3 * 4);
  for (const [place, got] of found) {
    const [i, j] = place.split(" ").map(Number) as [number, number];
    const want = distance(rowsOf(a, dim)[i]!, rowsOf(b, dim)[j]!) ** 2;
    // Sums of 33 products of numbers below 2, centred, in f32.
    assert.ok(Math.abs(got - want) < 33 * 4 * 2 ** -22, `${place}: ${got} against ${want}`);
  }
});
