import assert from "node:assert/strict";
import { rowSumInto } from "../../kernels/row_sum/mod.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo } from "../_gpu.ts";

gpuTest("rowSumInto() matches the reference for one stage and for two", async (device) => {
  for (const [rows, columns] of [[1, 1], [7, 5], [3, 64], [3, 65], [130, 1009]] as const) {
    const values = randomValues([rows, columns], 5);
    using x = device.tensor(new Float32Array(values), [rows, columns]);
    using out = device.tensor(new Float32Array(rows).fill(3), [rows]);
    const sums: number[] = [];
    for (let row = 0; row < rows; row++) {
      sums.push(values.subarray(row * columns, (row + 1) * columns).reduce((a, b) => a + b, 0));
    }
    // The kernel's bound; the numbers are below one.
    const tolerance = (2 * Math.sqrt(columns) + 66) * ROUNDING, name = `rowSum ${rows}x${columns}`;
    const scaled = { scale: 0.5, offset: -2, accumulate: 1 } as const;
    // In rows first: what they leave out would be right in buffers that were used before.
    inRowsOfTwo(device, () => rowSumInto(out, x, scaled));
    const first = await out.read(), want = sums.map((sum) => 1 + sum / 2);
    assertClose(first, want, { tolerance, scale: 5 + columns / 2, name });
    out.write(new Float32Array(rows).fill(3));
    rowSumInto(out, x, scaled);
    assert.deepEqual(await out.read(), first);
    out.write(new Float32Array(rows).fill(NaN));
    rowSumInto(out, x);
    assertClose(await out.read(), sums, { tolerance, scale: columns, name: `${name}, plain` });
  }
});

gpuTest("rowSumInto() adds a million ones exactly", async (device) => {
  using x = device.tensor(new Float32Array(1_000_000).fill(1), [1_000_000]);
  using out = device.empty([1]);
  rowSumInto(out, x);
  assert.deepEqual([...await out.read()], [1_000_000]);
});

gpuTest("rowSumInto() refuses results that do not divide what is summed", (device) => {
  device.scope(() => {
    assert.throws(
      () => rowSumInto(device.empty([4]), device.empty([3, 5])),
      /sum \[3, 5\] into \[4\]: expected/,
    );
    assert.throws(() => rowSumInto(device.empty([0]), device.empty([0, 5])), TypeError);
  });
});
