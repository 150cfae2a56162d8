import assert from "node:assert/strict";
import { concatenate } from "../../../kernels/core/concatenate.ts";
import { gpuTest } from "../../_gpu.ts";

gpuTest("concatenate() puts one tensor behind another", async (device) => {
  using first = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  using second = device.tensor(Float32Array.of(7, 8, 9, 10, 11, 12), [2, 3]);
  using both = concatenate(first, second);
  assert.deepEqual(both.shape, [4, 3]);
  assert.deepEqual([...await both.read()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

gpuTest("concatenate() refuses tensors of other shapes", (device) => {
  device.scope(() => {
    assert.throws(() => concatenate(device.empty([2, 3]), device.empty([1, 3])), {
      name: "TypeError",
      message: "Cannot concatenate [2, 3] and [1, 3]: expected one shape",
    });
  });
});
