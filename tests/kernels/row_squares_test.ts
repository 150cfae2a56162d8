import assert from "node:assert/strict";
import { KERNELS, rowSquares } from "../../kernels/row_squares/mod.ts";
import { rowSquaresReference } from "../../kernels/row_squares/reference.ts";
import { checkOp, sumTolerance } from "../_check_op.ts";
import { gpuTest, variantTest } from "../_gpu.ts";

variantTest("rowSquares() matches the reference", {
  op: "rowSquares",
  among: KERNELS,
  async run(device) {
    for (const [rows, width] of [[1, 1], [7, 3], [9, 64], [65, 132], [20, 768]] as const) {
      for (const options of [{ scale: -0.5 }, { inverseRoot: true }]) {
        await checkOp(device, {
          name: `rowSquares ${rows}x${width}`,
          inputs: { x: [rows, width] },
          gradients: [],
          op: ({ x }) => rowSquares(x!, options),
          reference: ({ x }) => rowSquaresReference(x!, { width, ...options }),
          tolerance: { forward: sumTolerance(width) },
        });
      }
    }
  },
});

gpuTest(
  "rowSquares() refuses other shapes, and takes the longest rows and one of zeros",
  async (device) => {
    using zeros = device.tensor(new Float32Array(4), [1, 4]);
    using out = rowSquares(zeros, { inverseRoot: true });
    assert.deepEqual(await out.read(), Float32Array.of(1e12));
    using vector = device.empty([4]);
    assert.throws(() => rowSquares(vector), {
      name: "TypeError",
      message: "Cannot sum the squares of rows of [4]: expected shape [N, d]",
    });
    using longest = device.tensor(new Float32Array(131_072).fill(1), [1, 131_072]);
    using sum = rowSquares(longest);
    assert.deepEqual(await sum.read(), Float32Array.of(131_072));
    using long = device.empty([1, 131_073]);
    assert.throws(() => rowSquares(long), {
      name: "RangeError",
      message: "Cannot sum the squares of rows of 131073 numbers: expected at most 131072",
    });
  },
);
