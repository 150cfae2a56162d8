import assert from "node:assert/strict";
import { Device } from "../../kernels/core/device.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { matmul } from "../../kernels/matmul/mod.ts";
import { silu } from "../../kernels/silu/mod.ts";
import { siluReference } from "../../kernels/silu/reference.ts";
import { assertClose, checkOp, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, openDevice } from "../_gpu.ts";

// `exp` may err by 3 + 2 |x| units, of which x s'(x) lets less than 4 through; a few more roundings.
const TOLERANCE = 8 * ROUNDING;

for (const variant of ["storage", "texture"]) {
  gpuTest(`silu() with the ${variant} kernels matches the reference`, async (shared) => {
    const device = new Device(shared.gpu, { profile: shared.profile, variants: { silu: variant } });
    for (const shape of [[1], [7, 5], [2, 16, 192]]) {
      await checkOp(device, {
        name: `silu ${variant} ${shape}`,
        inputs: { x: shape },
        values: { x: randomValues(shape, 5).map((v) => Math.fround(8 * v)) },
        op: ({ x }) => silu(x!),
        reference: ({ x }) => siluReference(x!),
        tolerance: { forward: TOLERANCE, backward: 2 * TOLERANCE },
      });
    }
    await device.settle();
  });
}

gpuTest("silu() is the identity or zero far from zero", async (device) => {
  const x = device.tensor(Float32Array.of(-1e38, -1e10, -100, 100), [4]);
  const out = device.scope(() => silu(x));
  assertClose(await out.read(), [0, 0, 0, 100], { tolerance: ROUNDING, name: "silu" });
  x.write(Float32Array.of(1e10, 1e20, 1e30, 1e38));
  const large = device.scope(() => silu(x));
  assertClose(await large.read(), await x.read(), { tolerance: ROUNDING, name: "silu" });
  for (const tensor of [x, out, large]) tensor.dispose();
});

for (const variant of ["storage", "texture"]) {
  Deno.test({
    name: `silu() of a parameter with the ${variant} kernels leaves the padding of its slab zero`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      using device = await openDevice({ variants: { silu: variant } });
      if (!device) return;
      using store = new ParameterStore(device);
      const weight = store.parameter("weight", [1, 3], (values) => values.fill(1));
      device.scope(() => {
        const ones = device.tensor(Float32Array.of(1, 1, 1), [3, 1]);
        const tape = new Tape(device);
        const loss = tape.record(() => matmul(silu(weight), ones).reshape([1]));
        device.scope(() => {
          for (let i = 0; i < 8; i++) fill(device.empty([64]), NaN);
        });
        tape.backward(loss);
      });
      const slab = await store.gradients[0]!.read();
      assert.ok(slab.subarray(0, 3).every((value) => value > 0.9));
      assert.deepEqual([...slab.subarray(3)], Array(61).fill(0));
    },
  });
}
