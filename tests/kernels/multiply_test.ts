import assert from "node:assert/strict";
import { storeAt } from "../../kernels/core/in_place.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { linear } from "../../kernels/linear/mod.ts";
import { matmul } from "../../kernels/matmul/mod.ts";
import { multiply } from "../../kernels/multiply/mod.ts";
import { assertClose, checkOp, ROUNDING, spoilPool, sumTolerance } from "../_check_op.ts";
import { goldenTest } from "../_goldens.ts";
import { gpuTest, NO_ADAPTER, sharedDevice } from "../_gpu.ts";

gpuTest("multiply() and its gradients match the reference", async (device) => {
  // 65 vec4 begin a second workgroup.
  for (const shape of [[1], [1, 257], [2, 16, 64]]) {
    await checkOp(device, {
      name: `multiply ${shape}`,
      inputs: { a: shape, b: shape },
      op: ({ a, b }) => multiply(a!, b!),
      reference: ({ a, b }) => a!.map((value, i) => value * b![i]!),
      tolerance: { forward: ROUNDING },
    });
  }
});

gpuTest("multiply() of a tensor by itself doubles its gradient", async (device) => {
  await checkOp(device, {
    name: "square",
    inputs: { x: [33] },
    op: ({ x }) => multiply(x!, x!),
    reference: ({ x }) => x!.map((value) => value ** 2),
    tolerance: { forward: ROUNDING, backward: 2 * ROUNDING },
  });
});

gpuTest("multiply() of a parameter leaves the padding of its slab zero", async (device) => {
  using store = new ParameterStore(device);
  const gain = store.parameter("gain", [1, 5], (values) => values.fill(1));
  device.scope(() => {
    spoilPool(device, [[64]]);
    const x = device.empty([1, 5]);
    storeAt(x, device.tensor(Float32Array.of(1, 2, 3, 4, 5), [5]), { first: 0 });
    const ones = device.tensor(new Float32Array(5).fill(1), [5, 1]);
    const tape = new Tape(device);
    tape.backward(tape.record(() => matmul(multiply(gain, x), ones).reshape([1])));
  });
  const slab = [...await store.gradients[0]!.read()];
  assert.deepEqual(slab, [1, 2, 3, 4, 5, ...Array(59).fill(0)]);
});

goldenTest("multiply() with a given mask gives the official masked condition", {
  golden: "gmem_lightningdit_masked",
  ignore: NO_ADAPTER,
  async fn(golden) {
    const device = await sharedDevice();
    const mask = golden.readFloat32("input.s_mask").map((kept) => kept / 0.6);
    const out = device.scope(() => {
      const snippets = device.tensor(golden.readFloat32("input.s"), [3, 32]);
      const weight = device.tensor(
        golden.readFloat32("condition_projection.linear.weight"),
        [64, 32],
      );
      const bias = device.tensor(golden.readFloat32("condition_projection.linear.bias"), [64]);
      return linear(multiply(snippets, device.tensor(mask, [3, 32])), weight, { bias });
    });
    assertClose(await out.read(), golden.readFloat32("act.condition_projection"), {
      tolerance: 2 * sumTolerance(32),
      name: "condition",
    });
    out.dispose();
  },
});

gpuTest("multiply() refuses different shapes", (device) => {
  device.scope(() => {
    assert.throws(
      () => multiply(device.empty([2, 3]), device.empty([3])),
      /multiply \[2, 3\] by \[3\]: expected one shape/,
    );
  });
});
