import assert from "node:assert/strict";
import { FORWARD, swiglu } from "../../kernels/swiglu/mod.ts";
import { swigluReference } from "../../kernels/swiglu/reference.ts";
import { checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, variantTest } from "../_gpu.ts";

// That of silu and one more product.
const TOLERANCE = 9 * ROUNDING;

variantTest("swiglu() matches the reference", {
  op: "swiglu",
  among: FORWARD,
  async run(device, variant) {
    for (const [rows, width] of [[1, 1], [7, 5], [33, 64], [5, 170], [3, 2730]] as const) {
      // A width that is no multiple of 4 has the scalar kernel alone, whichever is asked for.
      await checkOp(device, {
        name: `swiglu ${variant} ${rows}x${width}`,
        inputs: { x: [rows, 2 * width] },
        values: { x: randomValues([rows, 2 * width], 5).map((v) => Math.fround(4 * v)) },
        op: ({ x }) => swiglu(x!),
        reference: ({ x }) => swigluReference(x!, { width }),
        tolerance: { forward: TOLERANCE, backward: 2 * TOLERANCE },
      });
    }
  },
});

gpuTest("swiglu() halves the last axis, which must be even", (device) => {
  device.scope(() => {
    assert.deepEqual(swiglu(device.empty([2, 3, 8])).shape, [2, 3, 4]);
    for (const shape of [[2, 7], [2, 0], []]) {
      assert.throws(() => swiglu(device.empty(shape)), {
        name: "TypeError",
        message: `Cannot apply swiglu to [${shape.join(", ")}]: expected an even last axis`,
      });
    }
  });
});
