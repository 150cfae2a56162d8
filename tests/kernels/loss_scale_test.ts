import assert from "node:assert/strict";
import { updateLossScale } from "../../kernels/loss_scale/mod.ts";
import { lossScaleReference } from "../../kernels/loss_scale/reference.ts";
import { assertClose, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest(
  "updateLossScale() matches the reference through growth, overflow and limits",
  async (device) => {
    const options = { maxNorm: 2, growthInterval: 3, maxScale: 2 ** 18 };
    using scale = device.tensor(Float32Array.of(2 ** 16), [1]);
    using goodSteps = device.tensor(Float32Array.of(0), [1]);
    let want = { norm: 0, factor: 0, scale: 2 ** 16, goodSteps: 0 };
    const good = [3 * 2 ** 16, 0.5] as const, overflow = [Infinity, 0] as const;
    const scales: number[] = [];
    // Growth to the largest scale, an overflow that starts the count anew, then down to 1.
    const steps = [...Array(10).fill(good), overflow, good, good, [NaN, 0], good, good, good];
    for (const [norm, factor] of [...steps, ...Array(20).fill(overflow)]) {
      const raw = device.tensor(Float32Array.of(norm, factor), [2]);
      const out = updateLossScale(raw, { scale, goodSteps }, options);
      want = lossScaleReference({ ...want, norm, factor }, options);
      const got = await out.read();
      if (factor === 0) assert.deepEqual([...got], [norm, 0]);
      else {assertClose(got, [want.norm, want.factor], {
          tolerance: 4 * ROUNDING,
          name: "clipping",
        });}
      scales.push((await scale.read())[0]!);
      assert.deepEqual([scales.at(-1), (await goodSteps.read())[0]], [want.scale, want.goodSteps]);
      raw.dispose();
      out.dispose();
    }
    assert.equal(Math.max(...scales), 2 ** 18);
    assert.equal(scales.at(-1), 1);
  },
);

gpuTest(
  "updateLossScale() leaves gradients that need no clipping, and refuses other shapes",
  async (device) => {
    using scale = device.tensor(Float32Array.of(8), [1]);
    using goodSteps = device.tensor(Float32Array.of(0), [1]);
    using raw = device.tensor(Float32Array.of(80, 1), [2]);
    const state = { scale, goodSteps };
    using out = updateLossScale(raw, state, { growthInterval: 10, maxScale: 16 });
    assert.deepEqual([...await out.read()], [10, 1 / 8]);
    using grown = updateLossScale(raw, state, { growthInterval: 1, maxScale: 16 });
    assert.deepEqual([...await grown.read(), ...await scale.read()], [10, 1 / 8, 16]);
    assert.throws(
      () => updateLossScale(scale, state, { growthInterval: 1, maxScale: 1 }),
      /\[2\], \[1\]/,
    );
    for (const maxNorm of [0, -1, NaN]) {
      const options = { maxNorm, growthInterval: 1, maxScale: 1 };
      assert.throws(() => updateLossScale(raw, state, options), /maxNorm is/);
    }
    assert.throws(
      () => updateLossScale(raw, state, { growthInterval: 0, maxScale: 1 }),
      RangeError,
    );
  },
);
