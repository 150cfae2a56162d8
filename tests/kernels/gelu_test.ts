import assert from "node:assert/strict";
import { GELU, gelu } from "../../kernels/gelu/mod.ts";
import { geluReference } from "../../kernels/gelu/reference.ts";
import {
  assertClose,
  checkOp,
  checkSlabPadding,
  randomValues,
  ROUNDING,
  slopesOf,
} from "../_check_op.ts";
import { gpuTest, variantTest } from "../_gpu.ts";

// `exp` may err by 3 + 2 |u| units, of which x s'(u) lets less than 4 through; a few more roundings.
const TOLERANCE = 8 * ROUNDING;

variantTest("gelu() matches the reference", {
  op: "gelu",
  among: GELU.forward,
  async run(device, variant) {
    // 65 vec4 begin a second workgroup.
    for (const shape of [[1], [2], [7, 5], [7, 37], [5, 16, 64]]) {
      const values = randomValues(shape, 5).map((v) => Math.fround(6 * v));
      await checkOp(device, {
        name: `gelu ${variant} ${shape}`,
        inputs: { x: shape },
        values: { x: values },
        op: ({ x }) => gelu(x!),
        reference: ({ x }) => geluReference(x!),
        tolerance: { forward: TOLERANCE, backward: 2 * TOLERANCE },
      });
    }
  },
});

gpuTest("gelu() is the identity or zero far from zero", async (device) => {
  const values = Float64Array.of(-1e38, -1e10, -88, -9, 9, 88, 1e10, 1e38).map(Math.fround);
  await checkOp(device, {
    name: "gelu of large values",
    inputs: { x: [8] },
    values: { x: values },
    op: ({ x }) => gelu(x!),
    reference: ({ x }) => x!.map((v) => Math.max(v, 0)),
    gradients: [],
    tolerance: { forward: ROUNDING },
  });
  const x = device.tensor(new Float32Array(values), [8]);
  const out = device.scope(() => gelu(x));
  assertClose((await out.read()).slice(0, 5), [0, 0, 0, 0, 9], {
    tolerance: ROUNDING,
    name: "gelu",
  });
  assert.ok((await out.read()).every(Number.isFinite));
  x.dispose();
  out.dispose();
});

variantTest("gelu()'s gradient is all or nothing far from zero", {
  op: "gelu",
  among: GELU.forward,
  async run(device) {
    const values = [-1e38, -1e10, -88, -9, 9, 88, 1e10, 1e38];
    const slopes = await slopesOf(device, { op: gelu, values });
    // The sigmoid's argument is 49 where x is clamped: what it leaves is far below a rounding.
    assertClose(slopes, [0, 0, 0, 0, 1, 1, 1, 1], {
      tolerance: ROUNDING,
      name: "slope",
    });
  },
});

variantTest("gelu() of a parameter leaves the padding of its slab zero", {
  op: "gelu",
  among: GELU.forward,
  async run(device) {
    await checkSlabPadding(device, gelu);
  },
});
