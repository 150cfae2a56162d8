import assert from "node:assert/strict";
import { adamwInto, type AdamwIntoOptions, KERNELS } from "../../kernels/adamw/mod.ts";
import { adamwReference } from "../../kernels/adamw/reference.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo, variantTest } from "../_gpu.ts";

const NAMES = ["values", "gradients", "firstMoments", "secondMoments", "averages"] as const;
type State<T> = Record<typeof NAMES[number], T>;

const OPTIONS: AdamwIntoOptions = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  step: 1,
};

function startOf(size: number): State<Float64Array> {
  return {
    values: randomValues([size], 1),
    gradients: new Float64Array(size),
    firstMoments: new Float64Array(size),
    secondMoments: new Float64Array(size),
    averages: randomValues([size], 2),
  };
}

function upload(device: Device, state: State<Float64Array>): State<Tensor> {
  return Object.fromEntries(
    NAMES.map((name) => [
      name,
      device.tensor(new Float32Array(state[name]), [state[name].length]),
    ]),
  ) as State<Tensor>;
}

function dispose(tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) tensor.dispose();
}

/** Steps the kernel and the reference side by side and compares all that they keep. */
async function compare(
  device: Device,
  check: {
    size: number;
    steps: number;
    factor: number;
    options: Partial<AdamwIntoOptions> & { emaDecay: number };
    gradient: (step: number) => Float64Array;
  },
): Promise<void> {
  const { size, steps, factor, gradient } = check;
  const want = startOf(size), tensors = upload(device, want);
  const factorTensor = device.tensor(Float32Array.of(0, factor), [2]);
  let gradientScale = 0;
  for (let step = 1; step <= steps; step++) {
    const options = { ...OPTIONS, ...check.options, step };
    want.gradients = gradient(step);
    for (const value of want.gradients) gradientScale = Math.max(gradientScale, Math.abs(value));
    tensors.gradients.write(new Float32Array(want.gradients));
    inRowsOfTwo(device, () => adamwInto({ ...tensors, factor: factorTensor }, options));
    adamwReference(want, { ...options, factor });
  }
  gradientScale *= factor;
  // A step rounds a parameter four times, and its change, of about the learning rate at most, by
  // a relative error of some twenty roundings; a moment takes three roundings.
  const tolerance = steps * 8 * ROUNDING;
  const scales = {
    values: 1,
    gradients: gradientScale,
    averages: 1,
    firstMoments: gradientScale,
    secondMoments: gradientScale ** 2,
  };
  for (const name of NAMES) {
    assertClose(await tensors[name].read(), want[name], {
      tolerance,
      scale: scales[name],
      name: `${name} of ${size} after ${steps} steps`,
    });
  }
  dispose([...Object.values(tensors), factorTensor]);
}

variantTest("adamwInto() matches the reference", {
  op: "adamw",
  among: KERNELS,
  async run(device) {
    // One vector, one slot of a slab, and a bit more than two workgroups of either kernel.
    for (const size of [4, 64, 32772]) {
      await compare(device, {
        size,
        steps: 5,
        factor: Math.fround(0.37),
        options: { weightDecay: 0.1, emaDecay: 0.9, beta2: 0.95 },
        gradient: (step) => randomValues([size], 100 + step).map((g, i) => i % 3 === 0 ? 0 : g),
      });
    }
    await compare(device, {
      size: 64,
      steps: 3,
      factor: 1e-12,
      options: { emaDecay: 0.9999 },
      gradient: (step) => randomValues([64], step).map((g) => Math.fround(g * 1e12)),
    });
  },
});

variantTest("adamwInto() changes nothing when the factor is 0", {
  op: "adamw",
  among: KERNELS,
  async run(device) {
    const start = startOf(16388), next = randomValues([16388], 9);
    start.firstMoments = next;
    start.secondMoments = next.map(Math.abs);
    const tensors = upload(device, start);
    start.gradients.fill(NaN);
    tensors.gradients.write(new Float32Array(start.gradients));
    const factor = device.tensor(Float32Array.of(NaN, 0), [2]);
    adamwInto({ ...tensors, factor }, { ...OPTIONS, weightDecay: 0.1, emaDecay: 0.5 });
    for (const name of NAMES) {
      assert.deepEqual(await tensors[name].read(), new Float32Array(start[name]), name);
    }
    dispose([...Object.values(tensors), factor]);
  },
});

variantTest("adamwInto() steps without averages just the same", {
  op: "adamw",
  among: KERNELS,
  async run(device) {
    const results: Float32Array[] = [];
    for (const withAverages of [true, false]) {
      const { averages, ...tensors } = upload(device, startOf(64));
      tensors.gradients.write(new Float32Array(randomValues([64], 5)));
      const factor = device.tensor(Float32Array.of(1, 1), [2]);
      adamwInto({ ...tensors, factor, ...(withAverages && { averages }) }, OPTIONS);
      results.push(await tensors.values.read());
      dispose([averages, ...Object.values(tensors), factor]);
    }
    assert.deepEqual(results[0], results[1]);
  },
});

gpuTest(
  "adamwInto() moves every parameter by the learning rate in the first step",
  async (device) => {
    // m̂ / √v̂ is g / |g| then, whatever the betas and the size of the gradient.
    const gradients = [1e-3, -2, 300, -1e-5];
    const tensors = upload(device, { ...startOf(4), values: new Float64Array(4) });
    tensors.gradients.write(Float32Array.from(gradients));
    const factor = device.tensor(Float32Array.of(1, 1), [2]);
    adamwInto({ ...tensors, factor }, { ...OPTIONS, beta1: 0.7, epsilon: 1e-30 });
    assertClose(await tensors.values.read(), gradients.map((g) => -Math.sign(g) * 1e-2), {
      tolerance: 8 * ROUNDING,
      name: "values",
    });
    dispose([...Object.values(tensors), factor]);
  },
);

gpuTest(
  "adamwInto() keeps the average of constant parameters at the parameters",
  async (device) => {
    const tensors = upload(device, startOf(64));
    const factor = device.tensor(Float32Array.of(0, 1), [2]);
    device.copyInto(tensors.averages, tensors.values);
    const start = await tensors.values.read();
    // With zero gradients nothing moves; 0.9999 and 1e-4 in float32 add up to 1 - 1.7e-8.
    for (let step = 1; step <= 200; step++) {
      adamwInto({ ...tensors, factor }, { ...OPTIONS, step, emaDecay: 0.9999 });
    }
    assert.deepEqual(await tensors.values.read(), start);
    assert.deepEqual(await tensors.averages.read(), start);
    dispose([...Object.values(tensors), factor]);
  },
);

gpuTest("adamwInto() names what does not fit", (device) => {
  device.scope(() => {
    const [values, gradients, firstMoments, secondMoments] = Array.from(
      { length: 4 },
      () => device.tensor(new Float32Array(64), [64]),
    ) as [Tensor, Tensor, Tensor, Tensor];
    const factor = device.tensor(Float32Array.of(1, 1), [2]);
    const slabs = { values, gradients, firstMoments, secondMoments, factor };
    adamwInto(slabs, OPTIONS);
    const short = device.empty([60]);
    assert.throws(
      () => adamwInto({ ...slabs, secondMoments: short }, OPTIONS),
      { name: "TypeError", message: /values \[64\] with secondMoments \[60\]: sizes differ/ },
    );
    assert.throws(() => adamwInto({ ...slabs, averages: short }, OPTIONS), TypeError);
    assert.throws(() => adamwInto({ ...slabs, values: device.empty([6]) }, OPTIONS), TypeError);
    assert.throws(
      () => adamwInto({ ...slabs, factor: short }, OPTIONS),
      { name: "TypeError", message: /factor \[60\]: expected \[2\]/ },
    );
    for (
      const bad of [
        { learningRate: -1 },
        { learningRate: NaN },
        { learningRate: Infinity },
        { beta1: 1 },
        { beta2: -0.1 },
        { epsilon: 0 },
        { weightDecay: -1 },
        { weightDecay: Infinity },
        { step: 0 },
        { step: 1.5 },
        { emaDecay: 1.1 },
      ]
    ) {
      const [name] = Object.keys(bad);
      assert.throws(() => adamwInto(slabs, { ...OPTIONS, ...bad }), {
        name: "RangeError",
        message: new RegExp(`${name} is `),
      });
    }
    for (
      const least of [
        ...[{ learningRate: 0 }, { beta1: 0 }, { beta2: 0 }, { epsilon: 1.2e-38 }],
        ...[{ weightDecay: 0 }, { step: 1 }, { emaDecay: 0 }, { emaDecay: 1 }],
      ]
    ) {
      adamwInto(slabs, { ...OPTIONS, ...least });
    }
  });
});
