import assert from "node:assert/strict";
import { MAX_LOOP_ROUNDS } from "../../kernels/core/limits.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { gatherRows, gatherRowsOfParts } from "../../kernels/embed_rows/mod.ts";
import { gatherRowsReference } from "../../kernels/embed_rows/reference.ts";
import { checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo } from "../_gpu.ts";

gpuTest(
  "gatherRows() and its gradient match the reference, with rows named twice",
  async (device) => {
    for (
      const { rows, width, indices } of [
        { rows: 1, width: 1, indices: [0] },
        { rows: 5, width: 7, indices: [4, 1, 1, 0, 4, 4] },
        { rows: 11, width: 139, indices: [10, 3] },
        { rows: 67, width: 65, indices: Array.from({ length: 129 }, (_, i) => i * i % 67) },
      ]
    ) {
      const picked = device.tensor(Uint32Array.from(indices), [indices.length]);
      await checkOp(device, {
        name: `gatherRows ${rows}x${width}, batch ${indices.length}`,
        inputs: { table: [rows, width] },
        op: ({ table }) => gatherRows(table!, picked),
        reference: ({ table }) => gatherRowsReference(table!, { indices, width }),
        // Roundings of a running sum of the batch's rows.
        tolerance: { forward: 0, backward: indices.length * ROUNDING },
      });
      picked.dispose();
    }
  },
);

gpuTest("gatherRows() sums the gradients of a batch of thousands", async (device) => {
  const batch = 4099, rows = 10, width = 3;
  const labels = Array.from({ length: batch }, (_, i) => i * i % rows);
  const table = device.tensor(new Float32Array(rows * width), [rows, width]);
  const indices = device.tensor(Uint32Array.from(labels), [batch]);
  const dy = Float32Array.from({ length: batch * width }, (_, i) => i % 17 - 5);
  const cotangent = device.tensor(dy, [batch, width]);
  const tape = new Tape(device);
  tape.watch(table);
  const out = tape.record(() => gatherRows(table, indices));
  tape.backwardFrom(out, cotangent);
  const gradient = tape.gradient(table);
  const want = new Float32Array(rows * width);
  // Small integers: every order of additions is exact.
  dy.forEach((value, i) => {
    want[labels[Math.floor(i / width)]! * width + i % width]! += value;
  });
  assert.deepEqual(await gradient.read(), want);
  for (const tensor of [table, indices, cotangent, out, gradient]) tensor.dispose();
});

gpuTest("gatherRows() and its gradient take more rows than a loop has rounds", async (device) => {
  const batch = 2 * MAX_LOOP_ROUNDS + 3;
  using table = device.tensor(Float32Array.of(5, 6, 7), [3, 1]);
  using indices = device.tensor(Uint32Array.from({ length: batch }, (_, i) => i % 3), [batch]);
  using ones = device.tensor(new Float32Array(batch).fill(1), [batch, 1]);
  const tape = new Tape(device);
  tape.watch(table);
  using out = tape.record(() => gatherRows(table, indices));
  assert.deepEqual(
    [...(await out.read()).subarray(-3)],
    [5, 6, 7].map((_, i) => 5 + (batch + i) % 3),
  );
  tape.backwardFrom(out, ones);
  using gradient = tape.gradient(table);
  assert.deepEqual(
    [...await gradient.read()],
    [0, 1, 2].map((row) => Math.ceil((batch - row) / 3)),
  );
});

gpuTest("gatherRows() takes the last row for an index past the end", async (device) => {
  using table = device.tensor(Float32Array.of(1, 2, 3), [3, 1]);
  using indices = device.tensor(Uint32Array.of(2, 3, 0xffffffff, 0), [4]);
  using out = gatherRows(table, indices);
  assert.deepEqual([...await out.read()], [3, 3, 3, 1]);
});

gpuTest("gatherRows() refuses indices of another type and empty tables", (device) => {
  device.scope(() => {
    const table = device.empty([4, 2]);
    assert.throws(
      () => gatherRows(table, device.empty([3])),
      /rows \[3\] of type f32 from table \[4, 2\]: expected u32/,
    );
    assert.throws(() => gatherRows(table, device.empty([3, 1], { dtype: "u32" })), TypeError);
    assert.throws(
      () => gatherRows(device.empty([0, 2]), device.empty([3], { dtype: "u32" })),
      TypeError,
    );
  });
});

gpuTest(
  "gatherRowsOfParts() takes rows as gatherRows() does of the whole table",
  async (device) => {
    const wanted = Uint32Array.of(129, 0, 63, 64, 65, 128, 64, 200, 2 ** 32 - 1);
    // Fewer and more columns than a workgroup has invocations.
    for (const width of [3, 131]) {
      const table = new Float32Array(randomValues([130, width], 5));
      const [whole, parted] = device.scope(() => {
        const indices = device.tensor(wanted, [wanted.length]);
        const parts = [[0, 64], [64, 65], [65, 130]].map(([first, end]) =>
          device.tensor(table.subarray(width * first!, width * end!), [end! - first!, width])
        );
        return [
          gatherRows(device.tensor(table, [130, width]), indices),
          inRowsOfTwo(device, () => gatherRowsOfParts(parts, indices)),
        ] as const;
      });
      assert.deepEqual(await parted.read(), await whole.read());
      whole.dispose();
      parted.dispose();
    }
  },
);

gpuTest("gatherRowsOfParts() refuses no parts, other widths and other indices", (device) => {
  device.scope(() => {
    const indices = device.tensor(Uint32Array.of(0), [1]);
    const two = device.empty([4, 2]), three = device.empty([4, 3]);
    assert.throws(() => gatherRowsOfParts([], indices), /tables of no part: expected u32/);
    assert.throws(() => gatherRowsOfParts([two, three], indices), TypeError);
    assert.throws(() => gatherRowsOfParts([two], device.empty([1])), TypeError);
  });
});
