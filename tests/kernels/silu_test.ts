import { SILU, silu } from "../../kernels/silu/mod.ts";
import { siluReference } from "../../kernels/silu/reference.ts";
import {
  assertClose,
  checkOp,
  checkSlabPadding,
  randomValues,
  ROUNDING,
  slopesOf,
} from "../_check_op.ts";
import { gpuTest, variantTest } from "../_gpu.ts";

// `exp` may err by 3 + 2 |x| units, of which x s'(x) lets less than 4 through; a few more roundings.
const TOLERANCE = 8 * ROUNDING;

variantTest("silu() matches the reference", {
  op: "silu",
  among: SILU.forward,
  async run(device, variant) {
    // 65 vec4 begin a second workgroup.
    for (const shape of [[1], [2], [7, 5], [7, 37], [2, 16, 192]]) {
      await checkOp(device, {
        name: `silu ${variant} ${shape}`,
        inputs: { x: shape },
        values: { x: randomValues(shape, 5).map((v) => Math.fround(8 * v)) },
        op: ({ x }) => silu(x!),
        reference: ({ x }) => siluReference(x!),
        tolerance: { forward: TOLERANCE, backward: 2 * TOLERANCE },
      });
    }
  },
});

gpuTest("silu() is the identity or zero far from zero", async (device) => {
  const x = device.tensor(Float32Array.of(-1e38, -1e10, -100, 100), [4]);
  const out = device.scope(() => silu(x));
  assertClose(await out.read(), [0, 0, 0, 100], { tolerance: ROUNDING, name: "silu" });
  x.write(Float32Array.of(1e10, 1e20, 1e30, 1e38));
  const large = device.scope(() => silu(x));
  assertClose(await large.read(), await x.read(), { tolerance: ROUNDING, name: "silu" });
  for (const tensor of [x, out, large]) tensor.dispose();
});

variantTest("silu()'s gradient is all or nothing far from zero", {
  op: "silu",
  among: SILU.forward,
  async run(device) {
    const values = [-1e38, -1e10, -100, 100, 1e10, 1e38];
    const slopes = await slopesOf(device, { op: silu, values });
    // exp(-80), where arguments are clamped, is far below a rounding.
    assertClose(slopes, [0, 0, 0, 1, 1, 1], { tolerance: ROUNDING, name: "slope" });
  },
});

variantTest("silu() of a parameter leaves the padding of its slab zero", {
  op: "silu",
  among: SILU.forward,
  async run(device) {
    await checkSlabPadding(device, silu);
  },
});
