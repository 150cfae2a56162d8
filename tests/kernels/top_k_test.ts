import assert from "node:assert/strict";
import { topK } from "../../kernels/top_k/mod.ts";
import { topKReference } from "../../kernels/top_k/reference.ts";
import { randomValues } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo } from "../_gpu.ts";

gpuTest("topK() finds what a full sort finds, whatever the number of strips", async (device) => {
  for (
    const [rows, columns, k] of [
      [1, 1, 1],
      // 65 strips, which begin a second workgroup.
      [65, 7, 7],
      [2, 1024, 10],
      [2, 1025, 10],
      [5, 20_011, 3],
      [2, 3001, 100],
      [70, 3001, 5],
    ] as const
  ) {
    const x = new Float32Array(randomValues([rows, columns], columns));
    using tensor = device.tensor(x, [rows, columns]);
    const { values, indices } = inRowsOfTwo(device, () => device.scope(() => topK(tensor, k)));
    const want = topKReference(x, { columns, k });
    assert.deepEqual(indices.shape, [rows, k]);
    assert.deepEqual([...await indices.readUint32()], want, `indices of ${rows}x${columns}, ${k}`);
    assert.deepEqual(
      [...await values.read()],
      want.map((column, i) => x[Math.floor(i / k) * columns + column]!),
    );
    values.dispose();
    indices.dispose();
  }
});

gpuTest("topK() finds the largest in the order that costs most", async (device) => {
  // Four strips, and the longest one: its loops have almost as many rounds as there may be.
  for (const columns of [2000, 647]) {
    const x = Float32Array.from({ length: columns }, (_, i) => i);
    using tensor = device.tensor(x, [1, columns]);
    const { values, indices } = device.scope(() => topK(tensor, 100));
    assert.deepEqual([...await values.read()], [...x.slice(-100).toReversed()]);
    values.dispose();
    indices.dispose();
  }
});

gpuTest("topK() takes the first of equal values and any that are finite", async (device) => {
  const x = Float32Array.from({ length: 4000 }, (_, i) => -3e38 - (i % 2) * 1e37);
  using tensor = device.tensor(x, [1, 4000]);
  const { values, indices } = device.scope(() => topK(tensor, 5));
  assert.deepEqual([...await indices.readUint32()], [0, 2, 4, 6, 8]);
  values.dispose();
  indices.dispose();
});

gpuTest("topK() finds negative infinity, and no more than there are numbers", async (device) => {
  const least = Math.fround(-3.4028234663852886e38);
  for (
    const [x, k, wanted, found] of [
      [[-Infinity, 1, -Infinity], 2, [1, 0], [1, -Infinity]],
      [[NaN, 1, -Infinity, NaN], 3, [1, 2, 2 ** 32 - 1], [1, -Infinity, least]],
      // Three strips, of which two hold no number.
      [Array.from({ length: 2050 }, (_, i) => i === 2 ? -Infinity : NaN), 2, [2, 2 ** 32 - 1], [
        -Infinity,
        least,
      ]],
    ] as const
  ) {
    using tensor = device.tensor(Float32Array.from(x), [1, x.length]);
    const { values, indices } = device.scope(() => topK(tensor, k));
    assert.deepEqual([...await indices.readUint32()], wanted);
    assert.deepEqual([...await values.read()], found);
    values.dispose();
    indices.dispose();
  }
});

gpuTest("topK() multiplies columns by their factors, once", async (device) => {
  const columns = 1100, x = new Float32Array(randomValues([2, columns], 3));
  const factors = new Float32Array(randomValues([columns], 4));
  const products = x.map((value, i) => value * factors[i % columns]!);
  using tensor = device.tensor(x, [2, columns]), scales = device.tensor(factors, [columns]);
  const { values, indices } = device.scope(() => topK(tensor, 4, { factors: scales }));
  const want = topKReference(products, { columns, k: 4 });
  assert.deepEqual([...await indices.readUint32()], want);
  assert.equal((await values.read())[0], products[want[0]!]);
  values.dispose();
  indices.dispose();
  using short = device.empty([7]);
  assert.throws(() => topK(tensor, 1, { factors: short }), {
    name: "TypeError",
    message: "Cannot find the largest of [2, 1100] times [7]: expected [1100]",
  });
});

gpuTest("topK() refuses other shapes and counts", (device) => {
  device.scope(() => {
    assert.throws(() => topK(device.empty([6]), 1), {
      name: "TypeError",
      message: "Cannot find the largest of [6]: expected [N, columns]",
    });
    assert.throws(() => topK(device.empty([1, 101]), 101), /a whole number from 1 to 100$/);
    for (const k of [0, 7, 1.5]) {
      assert.throws(() => topK(device.empty([2, 6]), k), {
        name: "RangeError",
        message: `Cannot find the ${k} largest of 6 values: expected a whole number from 1 to 6`,
      });
    }
  });
});
