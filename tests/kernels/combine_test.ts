import assert from "node:assert/strict";
import { COMBINE, combine, combineInto } from "../../kernels/combine/mod.ts";
import { combineReference } from "../../kernels/combine/reference.ts";
import type { Device } from "../../kernels/core/device.ts";
import { assertClose, checkOp, checkSlabPadding, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo, variantTest } from "../_gpu.ts";

const COEFFICIENTS = [0.5, -1.25, 3, 1e-3, 2, -0.75, 0.1, 1, -4].map(Math.fround);

variantTest("combine() matches the reference", {
  op: "combine",
  among: COMBINE,
  run: checkCombine,
});

/** One to nine terms, then in place. */
async function checkCombine(device: Device): Promise<void> {
  for (let count = 1; count <= COEFFICIENTS.length; count++) {
    const shape = [9, count, 67];
    const values = COEFFICIENTS.slice(0, count).map((c, i) => [randomValues(shape, i), c] as const);
    const out = inRowsOfTwo(
      device,
      () =>
        device.scope(() =>
          combine(values.map(([x, c]) => [device.tensor(new Float32Array(x), shape), c]))
        ),
    );
    assert.deepEqual(out.shape, shape);
    const scale = COEFFICIENTS.slice(0, count).reduce((sum, c) => sum + Math.abs(c), 0);
    assertClose(await out.read(), combineReference(values), {
      tolerance: (count + 1) * ROUNDING,
      scale,
      name: `combine ${count} terms`,
    });
    out.dispose();
  }
  // In place, and nothing of what is not kept.
  const x = device.tensor(Float32Array.of(1, 2, 3), [3]);
  const y = device.tensor(Float32Array.of(10, 20, 30), [3]);
  combineInto(x, [[x, 2], [y, 0.5]]);
  assert.deepEqual([...await x.read()], [7, 14, 21]);
  combineInto(x, [[y, 1], [x, -1], [y, 1], [x, 3], [y, 1], [y, 1], [y, 1]]);
  assert.deepEqual([...await x.read()], [64, 128, 192]);
  const dirty = device.tensor(new Float32Array(3).fill(NaN), [3]);
  combineInto(dirty, [[y, 1]]);
  assert.deepEqual([...await dirty.read()], [10, 20, 30]);
  for (const tensor of [x, y, dirty]) tensor.dispose();
}

variantTest("combine() of a parameter leaves the padding of its slab zero", {
  op: "combine",
  among: COMBINE,
  run: (device) => checkSlabPadding(device, (x) => combine([[x, 0.5]])),
});

gpuTest("combine() gives its gradients, also of a tensor that is several terms", async (device) => {
  await checkOp(device, {
    name: "combine",
    inputs: { a: [3, 7], b: [3, 7], c: [3, 7] },
    op: ({ a, b, c }) =>
      combine([[a!, 0.5], [b!, -1.25], [a!, 3], [combine([[b!, 2]]), 0.25], [c!, 1]]),
    reference: ({ a, b, c }) =>
      combineReference([[a!, 0.5], [b!, -1.25], [a!, 3], [b!, 0.5], [c!, 1]]),
    tolerance: { forward: 6 * ROUNDING },
  });
  await checkOp(device, {
    name: "combine views",
    inputs: { a: [6] },
    op: ({ a }) => combine([[combine([[a!.reshape([3, 2]), 2]]).reshape([6]), 1], [a!, -0.5]]),
    reference: ({ a }) => a!.map((value) => 1.5 * value),
    tolerance: { forward: 3 * ROUNDING },
  });
});

gpuTest("combine() refuses no terms and different shapes", (device) => {
  device.scope(() => {
    const x = device.empty([2, 3]);
    assert.throws(() => combine([]), /combine no tensors: expected at least one term/);
    assert.throws(
      () => combine([[x, 1], [device.empty([6]), 1]]),
      /\[6\] into \[2, 3\]: shapes differ/,
    );
    assert.throws(() => combineInto(x, [[x, 2]]), /a term besides the tensor itself/);
  });
});
