import assert from "node:assert/strict";
import { gelu, silu, swiglu } from "../../../kernels/mod.ts";
import { gpuTest } from "../../_gpu.ts";

gpuTest("gelu(), silu() and swiglu() of NaN are NaN, so that a loss shows it", async (device) => {
  if (device.profile.driver !== "cpu") {
    return console.log("skipped: a GPU's compiler may assume that there is no NaN");
  }
  using x = device.tensor(Float32Array.of(NaN, -100, 100, 0, 1, NaN, 1, 1), [4, 2]);
  for (const [op, where] of [[gelu, [0, 5]], [silu, [0, 5]], [swiglu, [0, 2]]] as const) {
    using out = device.scope(() => op(x));
    const values = [...await out.read()];
    const broken = values.flatMap((value, index) => Number.isNaN(value) ? [index] : []);
    assert.deepEqual(broken, where, `${op.name} gives ${values}`);
  }
});
