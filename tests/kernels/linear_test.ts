import assert from "node:assert/strict";
import { columnSum, linear } from "../../kernels/linear/mod.ts";
import { linearReference } from "../../kernels/linear/reference.ts";
import { checkOp, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("linear() and its gradients match the reference", async (device) => {
  for (
    const { rows, inputs, outputs } of [
      { rows: 1, inputs: 1, outputs: 1 },
      { rows: 7, inputs: 5, outputs: 3 },
      { rows: 33, inputs: 48, outputs: 20 },
    ]
  ) {
    await checkOp(device, {
      name: `linear ${rows}x${inputs}x${outputs}`,
      inputs: { x: [rows, inputs], weight: [outputs, inputs], bias: [outputs] },
      op: ({ x, weight, bias }) => linear(x!, weight!, { bias }),
      reference: ({ x, weight, bias }) =>
        linearReference({ x: x!, weight: weight!, bias: bias! }, { inputs }),
      tolerance: { forward: sumTolerance(inputs), backward: sumTolerance(Math.max(rows, outputs)) },
    });
  }
});

gpuTest("columnSum() adds a million ones exactly", async (device) => {
  // One loop over a million would stop at 65,535 on some drivers without an error.
  for (const columns of [1, 4]) {
    const x = device.tensor(new Float32Array(1_000_000).fill(1), [1_000_000 / columns, columns]);
    const out = device.empty([columns]);
    columnSum(out, { x });
    assert.deepEqual([...await out.read()], Array(columns).fill(1_000_000 / columns));
    x.dispose();
    out.dispose();
  }
});

gpuTest("linear() names the shapes that do not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => linear(device.empty([2, 3]), device.empty([4, 5])),
      /weight \[4, 5\] to \[2, 3\]: expected weight \[O, 3\]/,
    );
  });
});
