import assert from "node:assert/strict";
import { l2Normalize } from "../../kernels/l2_normalize/mod.ts";
import { l2NormalizeReference } from "../../kernels/l2_normalize/reference.ts";
import { checkOp, sumTolerance } from "../_check_op.ts";
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

gpuTest("l2Normalize() refuses other shapes and rows that are too long", (device) => {
  device.scope(() => {
    assert.throws(() => l2Normalize(device.empty([6])), /rows of \[6\]: expected shape \[N, d\]/);
    assert.throws(() => l2Normalize(device.empty([1, 32768])), /rows of 32768 numbers/);
  });
});
