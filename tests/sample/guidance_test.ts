import assert from "node:assert/strict";
import { concatenate } from "../../kernels/core/concatenate.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { guided, type GuidedOptions } from "../../sample/guidance.ts";
import { countEvaluations, type Network } from "../../sample/network.ts";
import { sampleHeun } from "../../sample/ode.ts";
import { gpuTest } from "../_gpu.ts";

/** A network that predicts one number everywhere, and counts how often it is asked. */
function constant(value: number): Network & { readonly evaluations: number } {
  return countEvaluations((x) =>
    x.device.tensor(new Float32Array(x.elements).fill(value), x.shape)
  );
}

/** Two of them as one batch. */
function constants(first: number, second: number): Network & { readonly evaluations: number } {
  return countEvaluations((x, t) => concatenate(constant(first)(x, t), constant(second)(x, t)));
}

async function predict(
  device: Device,
  { t, channels = 4, ...options }: GuidedOptions & { t: number; channels?: "all" | number },
): Promise<{ values: number[]; conditional: number; both: number }> {
  const conditional = constant(3), both = constants(3, 1);
  const run = (x: Tensor) => guided(conditional, both, { ...options, channels })(x, t);
  const out = device.scope(() => run(device.empty([1, 4, 1, 1])));
  const values = [...await out.read()];
  out.dispose();
  return {
    values,
    conditional: conditional.evaluations,
    both: both.evaluations,
  };
}

gpuTest("guided() goes past the conditional prediction by its scale", async (device) => {
  const { values, conditional, both } = await predict(device, { t: 0.5, scale: 1.5 });
  assert.deepEqual(values, [4, 4, 4, 4]);
  assert.deepEqual([conditional, both], [0, 1]);
  assert.deepEqual((await predict(device, { t: 0.5, scale: 0 })).values, [1, 1, 1, 1]);
});

gpuTest("guided() guides the first channels only where told so", async (device) => {
  const options = { t: 0.5, scale: 1.5 };
  assert.deepEqual((await predict(device, { ...options, channels: 3 })).values, [4, 4, 4, 3]);
  assert.deepEqual((await predict(device, { ...options, channels: "all" })).values, [4, 4, 4, 4]);
  // Where there are fewer channels than that, all are the first ones.
  assert.deepEqual((await predict(device, { ...options, channels: 7 })).values, [4, 4, 4, 4]);
});

gpuTest(
  "guided() asks for one prediction outside of its interval and at scale 1",
  async (device) => {
    const interval = [0.25, 0.75] as const;
    for (const t of [0, 0.24, 0.76, 1]) {
      const { values, both } = await predict(device, { t, scale: 2, interval });
      assert.deepEqual(values, [3, 3, 3, 3]);
      assert.equal(both, 0);
    }
    for (const t of interval) {
      assert.deepEqual((await predict(device, { t, scale: 2, interval })).values, [5, 5, 5, 5]);
    }
    const moment = { t: 0.5, scale: 2, interval: [0.5, 0.5] as const };
    assert.deepEqual((await predict(device, moment)).values, [5, 5, 5, 5]);
    assert.equal((await predict(device, { t: 0.5, scale: 1 })).both, 0);
    for (const wrong of [{ scale: NaN }, { scale: 2, interval: [0.9, 0.1] as const }]) {
      assert.throws(() => guided(constant(3), constants(3, 1), wrong), RangeError);
    }
  },
);

gpuTest("guided() is a network that samplers take", async (device) => {
  const conditional = constant(3), both = constants(3, 1);
  const x = device.tensor(new Float32Array(4), [1, 4, 1, 1]);
  const sample = sampleHeun(
    guided(conditional, both, { scale: 2, interval: [0.3, 1], channels: 2 }),
    x,
    { steps: 4 },
  );
  // Evaluations at 0, 1/4, 1/4, 1/2, 1/2, 3/4, 3/4, 1: three without guidance.
  const values = await sample.read();
  const slow = (3 + 3) / 2 / 4, mixed = (3 + 5) / 2 / 4, fast = (5 + 5) / 2 / 4;
  assert.deepEqual([...values], [slow + mixed + 2 * fast, slow + mixed + 2 * fast, 3, 3]);
  assert.deepEqual([conditional.evaluations, both.evaluations], [3, 5]);
  x.dispose();
  sample.dispose();
});
