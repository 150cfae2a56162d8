import assert from "node:assert/strict";
import { addRows } from "../../kernels/add_rows/mod.ts";
import { addRowsReference } from "../../kernels/add_rows/reference.ts";
import { checkOp, ROUNDING, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("addRows() and its gradients match the reference", async (device) => {
  for (
    const { x, rows } of [
      { x: [1, 1, 1], rows: [1, 1, 1] },
      { x: [3, 5, 13], rows: [5, 13] },
      // 65 vec4, which begin a second workgroup.
      { x: [5, 4, 13], rows: [4, 13] },
      { x: [2, 16, 64], rows: [1, 16, 64] },
    ]
  ) {
    await checkOp(device, {
      name: `addRows ${x} and ${rows}`,
      inputs: { x, rows },
      op: ({ x, rows }) => addRows(x!, rows!),
      reference: ({ x, rows }) => addRowsReference(x!, rows!),
      tolerance: { forward: ROUNDING, backward: sumTolerance(x[0]!) },
    });
  }
});

gpuTest("addRows() names the shapes that do not fit", (device) => {
  device.scope(() => {
    assert.throws(
      () => addRows(device.empty([2, 3, 4]), device.empty([4, 3])),
      /rows \[4, 3\] to each of \[2, 3, 4\]: expected \[3, 4\]/,
    );
    assert.throws(() => addRows(device.empty([2, 3, 4]), device.empty([2, 3, 4])), TypeError);
  });
});
