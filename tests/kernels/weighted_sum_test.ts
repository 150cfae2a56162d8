import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { weightedSum } from "../../kernels/weighted_sum/mod.ts";
import { weightedSumReference } from "../../kernels/weighted_sum/reference.ts";
import { checkOp, ROUNDING, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("weightedSum() and its gradients match the reference", async (device) => {
  for (
    const { shapes, weights } of [
      { shapes: [[1]], weights: [1] },
      { shapes: [[5], [1], [5]], weights: [1, 1, 0.5] },
      { shapes: [[1], [777]], weights: [2, 1] },
      { shapes: [[3], [129], [7], [1], [2]], weights: [0.25, 2, -1, 0, 3] },
    ]
  ) {
    await checkOp(device, {
      name: `weightedSum of ${shapes.join(" and ")}`,
      inputs: Object.fromEntries(shapes.map((shape, i) => [`loss${i}`, shape])),
      op: (losses) => weightedSum(Object.values(losses), weights),
      reference: (losses) => weightedSumReference(Object.values(losses), weights),
      tolerance: { forward: sumTolerance(256), backward: 3 * ROUNDING },
    });
  }
});

gpuTest("weightedSum() adds the gradients of a loss that appears twice", async (device) => {
  await checkOp(device, {
    name: "weightedSum twice",
    inputs: { loss: [4] },
    op: ({ loss }) => weightedSum([loss!, loss!], [1, 2]),
    reference: ({ loss }) => weightedSumReference([loss!], [3]),
    tolerance: { forward: sumTolerance(8), backward: 3 * ROUNDING },
  });
});

gpuTest("weightedSum() of a parameter leaves the padding of its slab zero", async (device) => {
  using store = new ParameterStore(device);
  const losses = store.parameter("losses", [5], (values) => values.fill(1));
  device.scope(() => {
    const tape = new Tape(device);
    tape.backward(tape.record(() => weightedSum([losses], [15])));
  });
  const slab = [...await store.gradients[0]!.read()];
  assert.deepEqual(slab, [...Array(5).fill(3), ...Array(59).fill(0)]);
});

gpuTest("weightedSum() refuses no losses and missing weights", (device) => {
  device.scope(() => {
    assert.throws(() => weightedSum([], []), /weigh 0 losses by 0 weights/);
    assert.throws(() => weightedSum([device.empty([2])], [1, 2]), TypeError);
  });
});
