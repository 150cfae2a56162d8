import assert from "node:assert/strict";
import { addTo, fill, storeAt } from "../../../kernels/core/in_place.ts";
import { ParameterStore } from "../../../kernels/core/parameter_store.ts";
import { viewOf } from "../../../kernels/core/tensor.ts";
import { randomValues } from "../../_check_op.ts";
import { gpuTest, inRowsOfTwo } from "../../_gpu.ts";

gpuTest("fill() and addTo() reach every element and nothing of another tensor", async (device) => {
  for (const size of [1, 3, 64, 1025, 4099]) {
    const values = new Float32Array(randomValues([size], size));
    using x = device.tensor(values, [size]), out = device.tensor(values, [size]);
    inRowsOfTwo(device, () => addTo(out, x));
    addTo(out, x);
    assert.deepEqual(await out.read(), values.map((value) => 3 * value));
    inRowsOfTwo(device, () => fill(out, -0.75));
    assert.deepEqual(await out.read(), new Float32Array(size).fill(-0.75));
    fill(out, 2);
    assert.deepEqual(await out.read(), new Float32Array(size).fill(2));
    assert.deepEqual(await x.read(), values);
  }
});

gpuTest("fill() and addTo() leave the padding of a gradient's slab zero", async (device) => {
  using store = new ParameterStore(device);
  using gradient = store.parameter("weight", [5], () => {}).gradient;
  using whole = device.tensor(new Float32Array(64).fill(3), [64]);
  using head = viewOf(whole, { shape: [5] });
  fill(gradient, 2);
  addTo(gradient, head);
  assert.deepEqual(
    [...await store.gradients[0]!.read()],
    [...Array(5).fill(5), ...Array(59).fill(0)],
  );
});

gpuTest("storeAt() writes what it is given at its place and nothing else", async (device) => {
  // One invocation each, and more elements than a workgroup has.
  for (const [count, first] of [[1, 0], [3, 196], [64, 5], [130, 69]] as const) {
    using out = device.tensor(new Float32Array(199).fill(-1), [199]);
    using x = device.tensor(Float32Array.from({ length: count }, (_, i) => i + 1), [count]);
    storeAt(out, x, { first });
    assert.deepEqual(
      [...await out.read()],
      Array.from({ length: 199 }, (_, i) => i < first || i >= first + count ? -1 : i - first + 1),
    );
  }
});

gpuTest("addTo() and storeAt() refuse what does not fit", (device) => {
  device.scope(() => {
    const x = device.empty([2, 3]), out = device.empty([7]);
    assert.throws(() => addTo(out, x), {
      name: "TypeError",
      message: "Cannot add [2, 3] to [7]: sizes differ",
    });
    for (const first of [2, -1]) {
      assert.throws(() => storeAt(out, x, { first }), {
        name: "RangeError",
        message: `Cannot store 6 elements at ${first}: the tensor has 7`,
      });
    }
    storeAt(out, x, { first: 1 });
  });
});
