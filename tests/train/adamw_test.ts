import assert from "node:assert/strict";
import { adamwReference, type AdamwReferenceState } from "../../kernels/adamw/reference.ts";
import { combine } from "../../kernels/combine/mod.ts";
import type { Device } from "../../kernels/core/device.ts";
import { type Parameter, ParameterStore } from "../../kernels/core/parameter_store.ts";
import type { Tensor } from "../../kernels/core/tensor.ts";
import { globalNormReference } from "../../kernels/global_norm/reference.ts";
import { LossScale } from "../../train/loss_scale.ts";
import { AdamW } from "../../train/optimizers/adamw.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const SHAPES = { "a.weight": [3, 7], "a.bias": [3], "b.weight": [130] } as const;
const NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];

/** Three parameters whose sizes need padding, with values in [-1, 1), and a frozen one of twos. */
function makeStore(device: Device): ParameterStore {
  const store = new ParameterStore(device);
  NAMES.forEach((name, seed) =>
    store.parameter(name, SHAPES[name], (values) => {
      values.set(randomValues([values.length], seed + 1));
    })
  );
  store.frozen("table", [5], (values) => values.fill(2));
  return store;
}

function trained(store: ParameterStore): Parameter[] {
  return NAMES.map((name) => store.get(name));
}

function writeGradients(store: ParameterStore, gradient: (i: number) => Float64Array): void {
  store.device.scope(() => {
    trained(store).forEach((parameter, i) => {
      parameter.gradient.write(new Float32Array(gradient(i)));
    });
  });
}

/** Gradients in [-1, 1) that differ by step and parameter. */
function gradientsAt(step: number): (i: number) => Float64Array {
  return (i) => randomValues([[21, 3, 130][i]!], 50 * step + i);
}

async function readAll(
  entries: Iterable<[string, Tensor]>,
): Promise<Record<string, Float32Array>> {
  const values: Record<string, Float32Array> = {};
  for (const [name, tensor] of entries) values[name] = await tensor.read();
  return values;
}

async function stepAndRead(
  optimizer: AdamW,
  options: Parameters<AdamW["step"]>[0],
): Promise<[norm: number, factor: number]> {
  using result = optimizer.step(options);
  const [norm, factor] = await result.read();
  return [norm!, factor!];
}

gpuTest("AdamW matches a float64 AdamW with clipping, decay and EMA over steps", async (device) => {
  using store = makeStore(device);
  const constants = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };
  const learningRate = 0.01, clip = 1.5, emaDecay = 0.9, steps = 6;
  using optimizer = new AdamW(store, { ...constants, clip, emaDecay });
  const states: AdamwReferenceState[] = NAMES.map((name, seed) => {
    const size = store.get(name).elements;
    return {
      values: randomValues([size], seed + 1),
      averages: randomValues([size], seed + 1),
      gradients: new Float64Array(size),
      firstMoments: new Float64Array(size),
      secondMoments: new Float64Array(size),
    };
  });
  const factors: number[] = [];
  for (let step = 1; step <= steps; step++) {
    // From a norm far above the limit to one below it.
    const size = 4 ** (2 - step);
    states.forEach((state, i) => {
      state.gradients = gradientsAt(step)(i).map((gradient) => size * gradient);
    });
    writeGradients(store, (i) => states[i]!.gradients);
    const want = globalNormReference(states.map(({ gradients }) => gradients), { maxNorm: clip });
    const got = await stepAndRead(optimizer, { learningRate });
    assertClose(got, want, { tolerance: 16 * ROUNDING, name: `step ${step}` });
    factors.push(got[1]);
    for (const state of states) {
      adamwReference(state, { ...constants, learningRate, factor: want[1], step, emaDecay });
    }
  }
  assert.ok(factors[0]! < 0.1 && factors.at(-1) === 1, `clip factors ${factors}`);
  const parameters = await readAll(store.entries());
  const averages = await readAll(optimizer.averageEntries());
  const moments = await readAll(optimizer.stateEntries());
  NAMES.forEach((name, i) => {
    const { values, averages: means, firstMoments, secondMoments } = states[i]!;
    // As for the kernel alone: eight roundings a step at most.
    const tolerance = steps * 8 * ROUNDING;
    assertClose(parameters[name]!, values, { tolerance, scale: 1, name });
    assertClose(averages[name]!, means, { tolerance, scale: 1, name: `average ${name}` });
    assertClose(moments[`exp_avg.${name}`]!, firstMoments, { tolerance, name: `exp_avg ${name}` });
    assertClose(moments[`exp_avg_sq.${name}`]!, secondMoments, {
      tolerance,
      name: `exp_avg_sq ${name}`,
    });
  });
  for (const slab of store.gradients) {
    assert.ok((await slab.read()).every((value) => value === 0), "gradients were not zeroed");
  }
});

gpuTest("AdamW.step() with a zero gradient only applies weight decay", async (device) => {
  for (const weightDecay of [0, 0.5]) {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { weightDecay, clip: 1 });
    const before = await readAll(store.entries());
    assert.deepEqual(await stepAndRead(optimizer, { learningRate: 0.5 }), [0, 1]);
    const after = await readAll(store.entries());
    for (const name of NAMES) {
      assert.deepEqual(after[name], before[name]!.map((value) => (1 - 0.5 * weightDecay) * value));
    }
    assert.deepEqual(after.table, before.table, "a frozen parameter moved");
  }
});

gpuTest(
  "AdamW.step() without gradients changes nothing unless it decays weights",
  async (device) => {
    using store = makeStore(device);
    using optimizer = new AdamW(store);
    const before = await readAll(store.entries());
    await stepAndRead(optimizer, { learningRate: 0.1 });
    assert.deepEqual(await readAll(store.entries()), before);
  },
);

gpuTest("AdamW.step() clips a huge gradient to the limit", async (device) => {
  const results: Record<string, Float32Array>[] = [];
  // A power of two scales norm and gradients exactly.
  for (const size of [1, 2 ** 40]) {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { clip: 2 ** -10 });
    writeGradients(store, (i) => gradientsAt(1)(i).map((gradient) => size * gradient));
    const [norm, factor] = await stepAndRead(optimizer, { learningRate: 0.01 });
    assertClose([factor * norm], [2 ** -10], { tolerance: 1e-5, name: "clipped norm" });
    results.push(await readAll(optimizer.stateEntries()));
  }
  for (const [key, small] of Object.entries(results[0]!)) {
    // The 1e-6 beside the norm, some 7 here, is all that differs.
    assertClose(results[1]![key]!, small, { tolerance: 1e-6, name: key });
  }
});

gpuTest("AdamW.step() skips a gradient that is not finite and goes on after it", async (device) => {
  for (const bad of [NaN, Infinity, 1e30]) {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { weightDecay: 0.1, clip: 1, emaDecay: 0.5 });
    writeGradients(store, gradientsAt(1));
    await stepAndRead(optimizer, { learningRate: 0.01 });
    const values = await readAll(store.entries());
    const averages = await readAll(optimizer.averageEntries());
    const moments = await readAll(optimizer.stateEntries());

    const poisoned = randomValues([130], 3);
    poisoned[129] = bad;
    writeGradients(store, (i) => i === 2 ? poisoned : gradientsAt(2)(i));
    const [norm, factor] = await stepAndRead(optimizer, { learningRate: 0.01 });
    assert.ok(!Number.isFinite(norm));
    assert.equal(factor, 0);
    assert.deepEqual(await readAll(store.entries()), values);
    assert.deepEqual(await readAll(optimizer.averageEntries()), averages);
    assert.deepEqual(await readAll(optimizer.stateEntries()), moments);
    for (const slab of store.gradients) assert.ok((await slab.read()).every((x) => x === 0));

    writeGradients(store, gradientsAt(3));
    assert.ok((await stepAndRead(optimizer, { learningRate: 0.01 }))[1] > 0);
    assert.notDeepEqual(await readAll(store.entries()), values);
  }
});

gpuTest("AdamW.step() takes a loss scale off before it clips, to the bit", async (device) => {
  const results: Record<string, Float32Array>[] = [], norms: [number, number][] = [];
  for (const scaled of [false, true]) {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { clip: 1 });
    using lossScale = new LossScale(device);
    // 2^16, by which every sum is scaled exactly.
    writeGradients(store, (i) => gradientsAt(1)(i).map((g) => scaled ? 2 ** 16 * g : g));
    const options = { learningRate: 0.1, lossScale: scaled ? lossScale : undefined };
    norms.push(await stepAndRead(optimizer, options));
    results.push(await readAll(store.entries()));
  }
  assert.equal(norms[1]![0], norms[0]![0]);
  assertClose([norms[1]![1] * 2 ** 16], [norms[0]![1]], { tolerance: ROUNDING, name: "factor" });
  assert.deepEqual(results[1], results[0]);
});

gpuTest("LossScale refuses an interval and a state that training cannot have", async (device) => {
  for (const growthInterval of [0, -1, 1.5]) {
    assert.throws(() => new LossScale(device, { growthInterval }), {
      name: "RangeError",
      message: `Cannot scale the loss: growthInterval is ${growthInterval}, expected a whole ` +
        "number from 1",
    });
  }
  using lossScale = new LossScale(device);
  const state = (scale: number, goodSteps: number) => (key: string) =>
    Float32Array.of(key.endsWith("scale") ? scale : goodSteps);
  lossScale.loadState(state(1, 0));
  lossScale.loadState(state(2 ** 24, 7));
  const loaded = await Promise.all(
    [...lossScale.stateEntries()].map(([, tensor]) => tensor.read()),
  );
  assert.deepEqual(loaded, [Float32Array.of(2 ** 24), Float32Array.of(7)]);
  for (const [scale, goodSteps] of [[0.5, 0], [2 ** 25, 0], [1, -1], [1, 2 ** 25]] as const) {
    assert.throws(() => lossScale.loadState(state(scale, goodSteps)), RangeError);
  }
  assert.throws(() => lossScale.loadState(() => Float32Array.of(1, 1)), /it is \[1, 1\]/);
});

gpuTest("LossScale doubles after 2,000 good steps, and never beyond 2^24", async (device) => {
  using lossScale = new LossScale(device);
  const update = async () => {
    device.scope(() => {
      lossScale.update(device.tensor(Float32Array.of(1, 1), [2]));
    });
    return [(await lossScale.scale.read())[0], (await lossScale.goodSteps.read())[0]];
  };
  lossScale.loadState((key) => Float32Array.of(key.endsWith("scale") ? 2 ** 23 : 1998));
  assert.deepEqual(await update(), [2 ** 23, 1999]);
  assert.deepEqual(await update(), [2 ** 24, 0]);
  lossScale.loadState((key) => Float32Array.of(key.endsWith("scale") ? 2 ** 24 : 1999));
  assert.deepEqual(await update(), [2 ** 24, 0]);
});

gpuTest("AdamW with emaWarmup averages by (1 + t) / (10 + t) until emaDecay", async (device) => {
  using store = makeStore(device);
  using optimizer = new AdamW(store, { emaDecay: 0.2, emaWarmup: true });
  let want = (await store.get("b.weight").read())[0]!;
  for (const decay of [2 / 11, 0.2, 0.2]) {
    writeGradients(store, gradientsAt(1));
    await stepAndRead(optimizer, { learningRate: 0.1 });
    const [value] = await store.get("b.weight").read();
    want = decay * want + (1 - decay) * value!;
    const averages = await readAll(optimizer.averageEntries());
    assertClose([averages["b.weight"]![0]!], [want], { tolerance: 8 * ROUNDING, name: "average" });
  }
});

gpuTest(
  "AdamW averages start at the parameters, and resetAverages() puts them there again",
  async (device) => {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { emaDecay: 0.9 });
    assert.deepEqual(await readAll(optimizer.averageEntries()), await readAll(store.entries()));
    store.get("a.bias").write(Float32Array.of(7, 8, 9));
    assert.notDeepEqual(await readAll(optimizer.averageEntries()), await readAll(store.entries()));
    optimizer.resetAverages();
    const averages = await readAll(optimizer.averageEntries());
    assert.deepEqual(averages, await readAll(store.entries()));
    assert.deepEqual([...averages["a.bias"]!], [7, 8, 9]);
    assert.deepEqual([...averages.table!], [2, 2, 2, 2, 2]);
  },
);

gpuTest("AdamW without emaDecay has the parameters as their own averages", async (device) => {
  using store = makeStore(device);
  using optimizer = new AdamW(store);
  assert.equal(optimizer.averages, store.values);
  optimizer.resetAverages();
  writeGradients(store, gradientsAt(1));
  await stepAndRead(optimizer, { learningRate: 0.1 });
  assert.deepEqual(await readAll(optimizer.averageEntries()), await readAll(store.entries()));
});

gpuTest("weight decay that a loop takes off one parameter is AdamW's", async (device) => {
  const learningRate = 0.01, weightDecay = 0.5, name = "b.weight";
  const stepThrice = async (decays: "all" | "one" | "none") => {
    using store = makeStore(device);
    using optimizer = new AdamW(store, { weightDecay: decays === "all" ? weightDecay : 0 });
    const parameter = store.get(name);
    for (let step = 1; step <= 3; step++) {
      writeGradients(store, gradientsAt(step));
      device.scope(() => {
        if (decays !== "one") return;
        device.copyInto(parameter, combine([[parameter, 1 - learningRate * weightDecay]]));
      });
      await stepAndRead(optimizer, { learningRate });
    }
    return await readAll(store.entries());
  };
  const all = await stepThrice("all"),
    one = await stepThrice("one"),
    none = await stepThrice("none");
  // Of numbers below 2, three roundings a step on each side.
  one[name]!.forEach((value, i) => {
    assert.ok(Math.abs(value - all[name]![i]!) <= 2 * 9 * ROUNDING * 2, `${i}`);
  });
  assert.deepEqual({ ...one, [name]: 0 }, { ...none, [name]: 0 });
  assert.notDeepEqual(one[name], none[name]);
});

gpuTest("AdamW goes on from a loaded state as if never interrupted", async (device) => {
  const options = { clip: 1, emaDecay: 0.99, emaWarmup: true, weightDecay: 0.01 };
  using store = makeStore(device);
  using optimizer = new AdamW(store, options);
  for (let step = 1; step <= 2; step++) {
    writeGradients(store, gradientsAt(step));
    await stepAndRead(optimizer, { learningRate: 0.01 });
  }
  using resumedStore = makeStore(device);
  using resumed = new AdamW(resumedStore, options);
  const saved = {
    values: await readAll(store.entries()),
    averages: await readAll(optimizer.averageEntries()),
    moments: await readAll(optimizer.stateEntries()),
  };
  assert.deepEqual(
    Object.keys(saved.moments),
    NAMES.flatMap((name) => [`exp_avg.${name}`, `exp_avg_sq.${name}`]),
  );
  for (const [name, parameter] of resumedStore.entries()) parameter.write(saved.values[name]!);
  for (const [name, average] of resumed.averageEntries()) average.write(saved.averages[name]!);
  resumed.loadState((key) => saved.moments[key]!);
  resumed.stepCount = optimizer.stepCount;
  assert.equal(resumed.stepCount, 2);
  for (const [each, itsStore] of [[optimizer, store], [resumed, resumedStore]] as const) {
    writeGradients(itsStore, gradientsAt(3));
    await stepAndRead(each, { learningRate: 0.01 });
  }
  assert.deepEqual(await readAll(resumedStore.entries()), await readAll(store.entries()));
  assert.deepEqual(
    await readAll(resumed.averageEntries()),
    await readAll(optimizer.averageEntries()),
  );
  assert.deepEqual(await readAll(resumed.stateEntries()), await readAll(optimizer.stateEntries()));
});

gpuTest("AdamW names a state of the wrong size, a bad step count and a bad decay", (device) => {
  using store = makeStore(device);
  using optimizer = new AdamW(store);
  assert.throws(() => optimizer.loadState(() => new Float32Array(21)), {
    name: "TypeError",
    message: "Cannot load exp_avg.a.bias [3]: 21 values, expected 3",
  });
  assert.throws(() => optimizer.stepCount = -1, RangeError);
  assert.throws(() => optimizer.stepCount = 0.5, RangeError);
  assert.equal(optimizer.stepCount, 0);
  for (const emaDecay of [1, -0.1, NaN]) {
    assert.throws(() => new AdamW(store, { emaDecay }), RangeError);
  }
  for (
    const wrong of [
      { clip: 0 },
      { clip: -1 },
      { clip: NaN },
      { beta1: 1 },
      { beta2: -1 },
      { epsilon: 0 },
      { weightDecay: NaN },
    ]
  ) {
    assert.throws(() => new AdamW(store, wrong), RangeError, JSON.stringify(wrong));
  }
});

gpuTest("AdamW.step() makes no buffers from the second step on", async (device) => {
  using store = makeStore(device);
  using optimizer = new AdamW(store, { clip: 1, emaDecay: 0.9 });
  const created: number[] = [];
  for (let step = 0; step < 4; step++) {
    optimizer.step({ learningRate: 0.1 }).dispose();
    await device.settle();
    created.push(device.pool.created);
  }
  assert.deepEqual(created, Array(4).fill(created[0]));
});
