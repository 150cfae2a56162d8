import assert from "node:assert/strict";
import { add } from "../../kernels/add/mod.ts";
import { checkOp, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("add() and its gradients match the reference", async (device) => {
  for (const shape of [[1], [3, 7], [2, 16, 64]]) {
    await checkOp(device, {
      name: `add ${shape}`,
      inputs: { a: shape, b: shape },
      op: ({ a, b }) => add(a!, b!),
      reference: ({ a, b }) => a!.map((value, i) => value + b![i]!),
      tolerance: { forward: ROUNDING },
    });
  }
});

gpuTest(
  "add() gives both gradients when a tensor meets itself or a branch of itself",
  async (device) => {
    await checkOp(device, {
      name: "add twice",
      inputs: { a: [5, 3] },
      op: ({ a }) => add(a!, a!),
      reference: ({ a }) => a!.map((value) => 2 * value),
      tolerance: { forward: ROUNDING },
    });
    await checkOp(device, {
      name: "add over a residual",
      inputs: { a: [6], b: [6] },
      op: ({ a, b }) => {
        const stream = add(a!, b!);
        return add(stream, add(stream.reshape([3, 2]), b!.reshape([3, 2])).reshape([6]));
      },
      reference: ({ a, b }) => a!.map((value, i) => 2 * value + 3 * b![i]!),
      tolerance: { forward: 4 * ROUNDING },
    });
  },
);

gpuTest("add() refuses different shapes", (device) => {
  device.scope(() => {
    assert.throws(
      () => add(device.empty([2, 3]), device.empty([3, 2])),
      /\[3, 2\] into \[2, 3\]: shapes differ/,
    );
  });
});
