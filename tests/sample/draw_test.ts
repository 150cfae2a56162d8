import assert from "node:assert/strict";
import { fill } from "../../kernels/core/in_place.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { SiT } from "../../model/sit.ts";
import { checkSampling, draw, drawAdaptive, startingNoise } from "../../sample/draw.ts";
import { drawAll } from "../../sample/rows.ts";
import { parseConfig } from "../../train/config.ts";
import { assertClose } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const SIZES = {
  inputSize: 8,
  channels: 3,
  patchSize: 4,
  width: 16,
  depth: 1,
  heads: 2,
  condition: { snippetDim: 4 },
  zeroInit: false,
} as const;

for (const scale of [1, 2]) {
  gpuTest(
    `draw() makes no buffer and no bind group after its first steps at scale ${scale}`,
    (device) => {
      using store = new ParameterStore(device, { seed: 0 });
      const model = new SiT(store, SIZES);
      const { sample: config } = parseConfig("", {
        overrides: ["sample.sampler=euler", "sample.steps=8", `sample.guidance.scale=${scale}`],
      });
      let groups = 0;
      const made: number[][] = [];
      const create = device.gpu.createBindGroup;
      device.gpu.createBindGroup = (descriptor) => {
        groups++;
        return create.call(device.gpu, descriptor);
      };
      try {
        using condition = device.tensor(new Float32Array(8).fill(0.5), [2, 4]);
        const onStep = () => void made.push([groups, device.pool.created]);
        const { images, evaluations } = draw({ model, condition, config, onStep });
        images.dispose();
        assert.equal(evaluations, 8 * scale);
      } finally {
        device.gpu.createBindGroup = create;
      }
      assert.equal(made.length, 8);
      assert.ok(made[0]![0]! > 0);
      // The state moves between two buffers, so a round of both comes first.
      for (const each of made.slice(4)) assert.deepEqual(each, made[3]);
    },
  );
}

gpuTest(
  "draws with other weights than the model's own, whichever sampler waits",
  async (device) => {
    using store = new ParameterStore(device, { seed: 0 });
    const model = new SiT(store, SIZES);
    const slabs = store.parallel();
    for (const slab of slabs) fill(slab, 0.01);
    // More than one batch, so that the function waits in between.
    const count = 70, snippets = Float32Array.from({ length: 4 * count }, (_, i) => Math.sin(i));
    for (const sampler of ["heun", "dopri5"]) {
      for (const scale of [1, 2]) {
        const { sample: config } = parseConfig("", {
          overrides: [
            ...[`sample.sampler=${sampler}`, "sample.steps=2"],
            `sample.guidance.scale=${scale}`,
          ],
        });
        const all = (weights?: readonly Tensor[]) =>
          drawAll({
            ...{ model, weights, config, count },
            conditionOf: (first, size) =>
              device.tensor(snippets.subarray(4 * first, 4 * (first + size)), [size, 4]),
          });
        const own = await all(), others = await all(slabs);
        const before = await store.values[0]!.read();
        store.values[0]!.write(new Float32Array(before.length).fill(0.01));
        const expected = await all();
        store.values[0]!.write(before);
        assert.deepEqual(others, expected, `${sampler} at scale ${scale}`);
        assert.notDeepEqual(others.images, own.images);
      }
    }
    for (const slab of slabs) slab.dispose();
  },
);

gpuTest("draw() and drawAdaptive() refuse a condition of no image", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  using condition = device.tensor(new Float32Array(0), [0, 4]);
  const refused = {
    name: "TypeError",
    message: "Cannot draw under a condition [0, 4]: expected one image at least",
  };
  for (const sampler of ["heun", "dopri5"]) {
    const { sample: config } = parseConfig("", { overrides: [`sample.sampler=${sampler}`] });
    await assert.rejects(drawAdaptive({ model, condition, config }), refused);
  }
});

gpuTest("draw() refuses a prediction that there is none of", (device) => {
  const { sample: config } = parseConfig("sample: { steps: 2 }");
  const prediction = "epsilon" as "noise";
  for (const sampler of ["heun", "dopri5", "sde-heun"] as const) {
    assert.throws(() => checkSampling(device, { config: { ...config, sampler }, prediction }), {
      name: "RangeError",
      message: "Cannot draw: prediction is epsilon, expected one of velocity, noise, score",
    });
  }
});

gpuTest("draw() guides as two networks would", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  const overrides = ["sample.sampler=euler", "sample.steps=1"];
  using condition = device.tensor(new Float32Array(8).map((_, i) => Math.sin(i)), [2, 4]);
  using nothing = device.tensor(new Float32Array(8), [2, 4]);
  const read = async (given: typeof condition, scale: number) => {
    const { sample: config } = parseConfig("", {
      overrides: [...overrides, `sample.guidance.scale=${scale}`],
    });
    const { images } = draw({ model, condition: given, config });
    const values = await images.read();
    images.dispose();
    return values;
  };
  const towards = await read(condition, 1), away = await read(nothing, 1);
  const guided = await read(condition, 3);
  // One Euler step is affine in the prediction, so guidance of the prediction is that of the image.
  guided.forEach((value, i) => {
    const want = away[i]! + 3 * (towards[i]! - away[i]!);
    assert.ok(Math.abs(value - want) <= 1e-4 * (1 + Math.abs(want)), `${i}: ${value}, ${want}`);
  });
  assert.ok(towards.some((value, i) => Math.abs(value - away[i]!) > 1e-3));
});

gpuTest("draw() guides within the interval alone", (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  using condition = device.tensor(new Float32Array(4).fill(0.5), [1, 4]);
  const overrides = ["sample.sampler=euler", "sample.steps=4", "sample.guidance.scale=2"];
  // Of the times 0, 1/4, 1/2 and 3/4 one lies within; there an evaluation counts twice.
  for (const [interval, evaluations] of [["[0, 1]", 8], ["[0.4, 0.6]", 5]] as const) {
    const { sample: config } = parseConfig("", {
      overrides: [...overrides, `sample.guidance.interval=${interval}`],
    });
    const drawn = draw({ model, condition, config });
    drawn.images.dispose();
    assert.equal(drawn.evaluations, evaluations);
  }
});

gpuTest("draw() stops as far from a singular end as it is told", (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  using condition = device.tensor(new Float32Array(4).fill(0.5), [1, 4]);
  for (const sampler of ["euler", "euler-maruyama"]) {
    const { sample: config } = parseConfig("", {
      overrides: [
        ...[`sample.sampler=${sampler}`, "sample.steps=2", "sample.lastStep=none"],
        "sample.epsilon=0.125",
      ],
    });
    const times: number[] = [];
    const onStep = ({ t }: { t: number }) => void times.push(t);
    draw({ model, condition, config, prediction: "noise", onStep }).images.dispose();
    assert.deepEqual(times, [0.5, 0.875], sampler);
  }
});

gpuTest("draw() starts from startingNoise(), whatever the batch", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  // A last layer of zeros has no velocity, so that the noise stays as it is.
  const model = new SiT(store, { ...SIZES, zeroInit: true });
  const { sample: config } = parseConfig("", {
    overrides: ["sample.sampler=euler", "sample.steps=1", "sample.seed=7"],
  });
  using noise = startingNoise(model, { count: 5, seed: 7 });
  const values = await noise.read(), length = values.length / 5;
  using condition = device.tensor(new Float32Array(8).fill(0.5), [2, 4]);
  for (const firstSample of [0, 3]) {
    const { images } = draw({ model, condition, config, firstSample });
    assert.deepEqual(
      await images.read(),
      values.slice(firstSample * length, (firstSample + 2) * length),
    );
    images.dispose();
  }
  using other = startingNoise(model, { count: 5, seed: 8 });
  assert.notDeepEqual(await other.read(), values);
});

gpuTest("drawAdaptive() shows states of dopri5 at the times of even steps", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  using condition = device.tensor(new Float32Array(8).fill(0.5), [2, 4]);
  const { sample } = parseConfig("", { overrides: ["sample.sampler=dopri5", "sample.steps=4"] });
  const seen: [step: number, t: number][] = [];
  const states: Promise<Float32Array>[] = [];
  const drawn = await drawAdaptive({
    model,
    condition,
    config: sample,
    onStep: ({ step, t, x }) => {
      seen.push([step, t]);
      states.push(x.read());
    },
  });
  assert.deepEqual(seen, [[0, 0.25], [1, 0.5], [2, 0.75], [3, 1]]);
  const images = await drawn.images.read();
  drawn.images.dispose();
  const each = await Promise.all(states);
  assert.deepEqual(each[3], images);
  assert.notDeepEqual(each[2], images);
  // They change neither the images nor what they cost.
  const plain = await drawAdaptive({ model, condition, config: { ...sample, steps: 50 } });
  assert.deepEqual(await plain.images.read(), images);
  assert.equal(plain.evaluations, drawn.evaluations);
  plain.images.dispose();
  assert.throws(() => draw({ model, condition, config: sample }), {
    name: "RangeError",
    message: "Cannot draw with dopri5: its steps are not fixed, expected drawAdaptive()",
  });
});

gpuTest(
  "draw() guides no model without a null class, whose table has a row less",
  async (device) => {
    using store = new ParameterStore(device, { seed: 0 });
    const model = new SiT(store, { ...SIZES, condition: { classes: 3, nullClass: false } });
    assert.deepEqual(store.get("y_embedder.embedding_table.weight").shape, [3, 16]);
    using condition = device.tensor(Uint32Array.of(0, 2), [2]);
    const config = (scale: number) =>
      parseConfig("", {
        overrides: ["sample.sampler=euler", "sample.steps=1", `sample.guidance.scale=${scale}`],
      }).sample;
    const { images } = draw({ model, condition, config: config(1) });
    assert.ok((await images.read()).every(Number.isFinite));
    images.dispose();
    const refusal = { name: "RangeError", message: /Cannot guide the samples: .* no null class/ };
    assert.throws(() => draw({ model, condition, config: config(2) }), refusal);
    await assert.rejects(
      drawAdaptive({ model, condition, config: { ...config(2), sampler: "dopri5" } }),
      refusal,
    );
  },
);

gpuTest("draw() guides the first three channels where told so", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, { ...SIZES, channels: 4 });
  using condition = device.tensor(new Float32Array(4).map((_, i) => Math.sin(i)), [1, 4]);
  const read = async (...guidance: string[]) => {
    const { sample: config } = parseConfig("", {
      overrides: ["sample.sampler=euler", "sample.steps=1", ...guidance],
    });
    using images = draw({ model, condition, config }).images;
    return await images.read();
  };
  const plain = await read();
  const all = await read("sample.guidance.scale=3");
  const three = await read("sample.guidance.scale=3", "sample.guidance.channels=first3");
  assert.deepEqual(three.subarray(0, 192), all.subarray(0, 192));
  assert.notDeepEqual(all.subarray(192), plain.subarray(192));
  // Two predictions at once may round otherwise than one.
  assertClose(three.subarray(192), plain.subarray(192), { tolerance: 1e-5, name: "channel 3" });
});

gpuTest(
  "drawAdaptive() draws what many fixed steps do, and takes their samplers",
  async (device) => {
    using store = new ParameterStore(device, { seed: 0 });
    const model = new SiT(store, SIZES);
    using condition = device.tensor(new Float32Array(8).map((_, i) => Math.sin(i)), [2, 4]);
    for (const scale of [1, 2]) {
      const configOf = (sampler: string, steps: number) =>
        parseConfig("", {
          overrides: [
            `sample.sampler=${sampler}`,
            `sample.steps=${steps}`,
            `sample.guidance.scale=${scale}`,
          ],
        }).sample;
      const options = { model, condition, firstSample: 5 };
      const fixed = draw({ ...options, config: configOf("rk4", 32) });
      const same = await drawAdaptive({ ...options, config: configOf("rk4", 32) });
      const adaptive = await drawAdaptive({ ...options, config: configOf("dopri5", 32) });
      const want = await fixed.images.read();
      assert.deepEqual(await same.images.read(), want);
      // What the steps' relative tolerance of 1e-3 leaves.
      assertClose(await adaptive.images.read(), want, { tolerance: 4e-3, name: `scale ${scale}` });
      assert.equal(same.evaluations, fixed.evaluations);
      // Two to begin with and six a step, at least one.
      assert.ok(adaptive.evaluations >= 8 * scale && adaptive.evaluations < fixed.evaluations);
      assert.equal((adaptive.evaluations / scale - 2) % 6, 0);
      for (const { images } of [fixed, same, adaptive]) images.dispose();
    }
  },
);

gpuTest("draw() and drawAdaptive() take the defaults for what is left out", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, SIZES);
  using condition = device.tensor(new Float32Array(4).fill(0.5), [1, 4]);
  const whole = { ...parseConfig("").sample, steps: 3 };
  const drawn = [
    draw({ model, condition, config: whole }),
    draw({ model, condition, config: { steps: 3 } }),
    await drawAdaptive({ model, condition, config: { steps: 3 } }),
  ];
  const [want, ...others] = await Promise.all(drawn.map(({ images }) => images.read()));
  for (const images of others) assert.deepEqual(images, want);
  for (const { images } of drawn) images.dispose();
  const all = draw({ model, condition });
  assert.equal(all.evaluations, 100);
  all.images.dispose();
});

gpuTest("checkSampling() refuses what drawing would", (device) => {
  const { sample: config } = parseConfig("");
  for (const sampler of ["euler", "dopri5", "sde-heun"] as const) {
    checkSampling(device, { config: { ...config, sampler } });
  }
  const prediction = "noise";
  checkSampling(device, { config, prediction });
  for (
    const [wrong, message] of [
      [{ sampler: "dopri5", timestepShift: 3 }, "timestepShift is 3, expected 1 with dopri5"],
      [{ sampler: "sde-heun", steps: 1 }, "steps is 1, expected at least 2 with sde-heun"],
      [{ epsilon: 0 }, "epsilon is 0, expected a number, above 0"],
    ] as const
  ) {
    assert.throws(
      () => checkSampling(device, { config: wrong }),
      (error: Error) => error.name === "SyntaxError" && error.message.includes(message),
    );
  }
  // Where the official samplers give infinite numbers.
  for (
    const singular of [
      { sampler: "euler-maruyama", diffusion: { form: "sbdm", norm: 1 } },
      { sampler: "sde-heun", diffusion: { form: "constant", norm: 1 }, lastStep: "none" },
    ] as const
  ) {
    assert.throws(() => checkSampling(device, { config: { ...config, ...singular } }), {
      name: "RangeError",
      message: /epsilon/,
    });
    checkSampling(device, { config: { ...config, ...singular, epsilon: 1e-3 } });
  }
});
