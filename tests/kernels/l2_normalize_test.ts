import assert from "node:assert/strict";
import { l2Normalize } from "../../kernels/l2_normalize/mod.ts";
import { l2NormalizeReference } from "../../kernels/l2_normalize/reference.ts";
import { assertClose, checkOp, ROUNDING, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("l2Normalize() and its gradient match the reference", async (device) => {
  for (const [rows, width] of [[1, 2], [7, 5], [131, 33], [3, 768]] as const) {
    await checkOp(device, {
      name: `l2Normalize ${rows}x${width}`,
      inputs: { x: [rows, width] },
      op: ({ x }) => l2Normalize(x!),
      reference: ({ x }) => l2NormalizeReference(x!, { width }),
      tolerance: { forward: sumTolerance(width), backward: 2 * sumTolerance(width) },
    });
  }
});

gpuTest("l2Normalize() divides short rows by epsilon and keeps zeros", async (device) => {
  await checkOp(device, {
    name: "l2Normalize, clamped",
    inputs: { x: [4, 5] },
    op: ({ x }) => l2Normalize(x!, { epsilon: 1.25 }),
    reference: ({ x }) => l2NormalizeReference(x!, { width: 5, epsilon: 1.25 }),
    tolerance: { forward: sumTolerance(5), backward: 2 * sumTolerance(5) },
  });
  using zeros = device.tensor(new Float32Array(6), [2, 3]);
  using out = l2Normalize(zeros);
  assert.deepEqual(await out.read(), new Float32Array(6));
});

gpuTest("l2Normalize() takes rows as long as it says", async (device) => {
  const width = 32767;
  using x = device.tensor(new Float32Array(2 * width).fill(3), [2, width]);
  using out = l2Normalize(x);
  // All sums of nines are exact; a root and a division that may err by some units follow.
  const want = new Float64Array(2 * width).fill(1 / Math.sqrt(width));
  assertClose(await out.read(), want, { tolerance: 8 * ROUNDING, name: "long rows" });
});

gpuTest("l2Normalize() refuses other shapes and rows that are too long", (device) => {
  device.scope(() => {
    assert.throws(() => l2Normalize(device.empty([6])), /rows of \[6\]: expected shape \[N, d\]/);
    assert.throws(() => l2Normalize(device.empty([1, 32768])), /rows of 32768 numbers/);
  });
});
