import assert from "node:assert/strict";
import type { Device, Precision } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Shape, Tensor } from "../../kernels/core/tensor.ts";
import { MODEL_SIZES } from "../../model/config.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { assertClose, randomValues, sumTolerance } from "../_check_op.ts";
import { dispatchesOf, forcedTest, gpuTest, halvesTest, lacksHalves } from "../_gpu.ts";
import officialKeys from "../fixtures/sit_b_2_keys.json" with { type: "json" };
import {
  type NdArray,
  type ReferenceConfig,
  type ReferenceOutputs,
  referenceSit,
  type Weights,
} from "./reference_sit.ts";

const SIZES = { inputSize: 8, channels: 4, patchSize: 2, width: 32, depth: 2, heads: 2 };
const LABELS = { condition: { classes: 5 } };
const SNIPPETS = { condition: { snippetDim: 12 } };
const LIGHTNING = { swiglu: true, rope: true, rmsNorm: true, qkNorm: true };
const ODD = { inputSize: 5, channels: 3, patchSize: 1, width: 48, depth: 2, heads: 3 };

const MODELS: Readonly<Record<string, SiTOptions>> = {
  "SiT with labels": { ...SIZES, ...LABELS },
  "SiT with a linear map of snippets": { ...SIZES, ...SNIPPETS },
  "SiT with three layers for snippets": {
    ...SIZES,
    condition: { snippetDim: 12, embedding: "mlp3" },
  },
  "LightningDiT with all switches": { ...SIZES, ...SNIPPETS, ...LIGHTNING },
  "LightningDiT with layer norms and GELU": { ...SIZES, ...LABELS, rope: true, qkNorm: true },
  "LightningDiT without shifts": { ...SIZES, ...LABELS, ...LIGHTNING, noShift: true },
  "SiT with variance channels": { ...SIZES, ...LABELS, learnSigma: true },
  "SiT of odd sizes": { ...ODD, ...SNIPPETS, mlpRatio: 3 },
  "LightningDiT of odd sizes": { ...ODD, ...SNIPPETS, ...LIGHTNING },
  "SiT with heads of 10 channels": { ...SIZES, ...LABELS, width: 20, depth: 1 },
};

/** The longest sums are those over the 256 features of a time. */
const TOLERANCE = sumTolerance(256);

const TIMES = Float64Array.of(0, Math.fround(0.37), 1);

/** A model with random parameters, none of them zero, and what it is run on. */
interface Subject extends Disposable {
  readonly model: SiT;
  readonly config: ReferenceConfig;
  /** The parameters and tables in float64. */
  readonly weights: Weights;
  /** States, times and conditions in float64. */
  readonly values: { readonly x: NdArray; readonly t: NdArray; readonly condition: NdArray };
  /** The same on the GPU. */
  readonly x: Tensor;
  readonly t: Tensor;
  readonly condition: Tensor;
}

async function makeSubject(device: Device, options: SiTOptions): Promise<Subject> {
  const store = new ParameterStore(device, { seed: 1 });
  const model = new SiT(store, options);
  let seed = 1000;
  for (const [name, parameter] of store.entries()) {
    if (!parameter.frozen) parameter.write(drawParameter(name, parameter.shape, seed++));
  }
  const weights = new Map<string, NdArray>();
  for await (const [{ name, shape }, data] of store.read()) {
    weights.set(name, { shape, data: new Float64Array(data) });
  }
  const { inputSize, channels } = options, batch = TIMES.length;
  const shape = [batch, channels, inputSize, inputSize];
  const x = { shape, data: randomValues(shape, 2) };
  const t = { shape: [batch], data: TIMES };
  const condition = drawCondition(options, batch);
  const tensors = {
    x: device.tensor(new Float32Array(x.data), shape),
    t: device.tensor(new Float32Array(t.data), t.shape),
    condition: device.tensor(
      "classes" in options.condition
        ? new Uint32Array(condition.data)
        : new Float32Array(condition.data),
      condition.shape,
    ),
  };
  return {
    model,
    config: referenceConfig(options),
    weights,
    values: { x, t, condition },
    ...tensors,
    [Symbol.dispose]() {
      for (const tensor of Object.values(tensors)) tensor.dispose();
      store.dispose();
    },
  };
}

/** Numbers that keep activations near one: weights of norms around one, matrices of gain one. */
function drawParameter(name: string, shape: Shape, seed: number): Float32Array {
  const values = randomValues(shape, seed);
  const isNormWeight = shape.length === 1 && name.endsWith(".weight");
  const inputs = values.length / shape[0]!;
  const isTable = name.endsWith("embedding_table.weight");
  const size = shape.length === 1 ? 0.3 : isTable ? 1 : Math.sqrt(3 / inputs);
  return Float32Array.from(values, (value) => (isNormWeight ? 1 : 0) + size * value);
}

/** Labels, the last of them the null class, or snippets. */
function drawCondition({ condition }: SiTOptions, batch: number): NdArray {
  if ("classes" in condition) {
    const { classes } = condition;
    return { shape: [batch], data: Float64Array.from([2, 0, classes]) };
  }
  const shape = [batch, condition.snippetDim];
  return { shape, data: randomValues(shape, 3) };
}

function referenceConfig(options: SiTOptions): ReferenceConfig {
  const { patchSize, depth, heads, condition } = options;
  return {
    patchSize,
    depth,
    heads,
    conditioning: "classes" in condition ? "label" : "snippet",
    snippetEmbedding: "classes" in condition ? "linear" : condition.embedding ?? "linear",
    learnSigma: options.learnSigma ?? false,
    qkNorm: options.qkNorm ?? false,
    swiglu: options.swiglu ?? false,
    rope: options.rope ?? false,
    rmsNorm: options.rmsNorm ?? false,
    noShift: options.noShift ?? false,
    repa: options.projector ? { depth: options.projector.depth } : null,
  };
}

function runReference(
  subject: Subject,
  changed: Partial<Subject["values"]> = {},
): ReferenceOutputs {
  const { config, weights, values } = subject;
  return referenceSit(config, { weights, ...values, ...changed });
}

for (const [name, options] of Object.entries(MODELS)) {
  gpuTest(`SiT.forward() matches the reference: ${name}`, async (device) => {
    using subject = await makeSubject(device, options);
    const { model, x, t, condition } = subject;
    const seen = new Map<string, Tensor>();
    function observe(activation: string, tensor: Tensor): void {
      const copy = device.unscoped(() => device.empty(tensor.shape));
      device.copyInto(copy, tensor);
      seen.set(activation, copy);
    }
    using output = model.forward(x, t, condition, { observe });
    const reference = runReference(subject);
    for (const [activation, { shape, data }] of reference.activations) {
      using copy = seen.get(activation)!;
      assert.deepEqual(copy.shape, shape, activation);
      assertClose(await copy.read(), data, { tolerance: TOLERANCE, name: activation });
    }
    assert.deepEqual([...seen.keys()].sort(), [...reference.activations.keys()].sort());
    assert.deepEqual(output.shape, reference.output.shape);
    assertClose(await output.read(), reference.output.data, {
      tolerance: TOLERANCE,
      name: "output",
    });
  });
}

const PROJECTOR = { projector: { depth: 1, width: 24, targetWidth: 10 } };

gpuTest("SiT.forwardWithProjection() matches the reference", async (device) => {
  using subject = await makeSubject(device, { ...SIZES, ...SNIPPETS, ...PROJECTOR });
  const { model, x, t, condition } = subject;
  const { output, projection } = model.forwardWithProjection(x, t, condition);
  const reference = runReference(subject);
  assert.deepEqual(projection.shape, reference.projected!.shape);
  assertClose(await projection.read(), reference.projected!.data, {
    tolerance: TOLERANCE,
    name: "projection",
  });
  assertClose(await output.read(), reference.output.data, { tolerance: TOLERANCE, name: "output" });
  output.dispose();
  projection.dispose();
});

const DIFFERENTIATED: Readonly<Record<string, SiTOptions>> = {
  "SiT with labels": { ...SIZES, ...LABELS, width: 16, learnSigma: true },
  "SiT with a projector": { ...SIZES, ...SNIPPETS, ...PROJECTOR, width: 16 },
  "LightningDiT with all switches": { ...SIZES, ...SNIPPETS, ...LIGHTNING, width: 16 },
  "LightningDiT with layer norms, without shifts": {
    ...SIZES,
    ...LABELS,
    width: 16,
    rope: true,
    qkNorm: true,
    noShift: true,
  },
};

for (const [name, options] of Object.entries(DIFFERENTIATED)) {
  gpuTest(`SiT's gradients match the slopes of the reference: ${name}`, async (device) => {
    using subject = await makeSubject(device, options);
    const { weights, values } = subject;
    const reference = differentiated(runReference(subject));
    const cotangent = { shape: reference.shape, data: randomValues(reference.shape, 5) };
    const gradients = await gradientsOf(subject, { cotangent });

    function objective(outputs: ReferenceOutputs): number {
      const { data } = differentiated(outputs);
      return data.reduce((sum, value, i) => sum + value * cotangent.data[i]!, 0);
    }
    let seed = 2000;
    for (const [parameter, gradient] of gradients) {
      const { shape, data } = weights.get(parameter) ?? values[parameter as "x" | "condition"];
      const direction = unitDirection(shape, seed++);
      // The differences' own error is h² times the third derivative, some 1e-8 of the slope.
      const h = 1e-4;
      const [up, down] = [h, -h].map((step) => {
        const moved = { shape, data: data.map((value, i) => value + step * direction[i]!) };
        if (!weights.has(parameter)) {
          return objective(runReference(subject, { [parameter]: moved }));
        }
        const changed = { ...subject, weights: new Map(weights).set(parameter, moved) };
        return objective(runReference(changed));
      });
      const slope = (up! - down!) / (2 * h);
      const got = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
      assertClose([got], [slope], {
        tolerance: TOLERANCE,
        scale: Math.hypot(...gradient),
        name: parameter,
      });
    }
  });
}

function unitDirection(shape: Shape, seed: number): Float64Array {
  const values = randomValues(shape, seed), length = Math.hypot(...values);
  return values.map((value) => value / length);
}

/** The projected tokens if there are any, else the prediction. */
function differentiated({ output, projected }: ReferenceOutputs): NdArray {
  return projected ?? output;
}

/**
 * Gradients of `sum(cotangent * result)` by every trained parameter, `x` and a snippet; the result
 * is the projected tokens if there are any, else the prediction. Those of parameters held NaN, and what lies between
 * them stays zero.
 */
async function gradientsOf(
  subject: Subject,
  options: {
    cotangent: NdArray;
    recompute?: boolean;
    precision?: Precision;
    onRecorded?: () => void;
  },
): Promise<Map<string, Float32Array>> {
  const { model, x, t, condition } = subject;
  const { cotangent, recompute = false, precision = "f32", onRecorded } = options;
  const { device, parameters } = model;
  const trained = [...parameters.entries()].flatMap(([, each]) => each.frozen ? [] : [each]);
  for (const { gradient, elements } of trained) {
    using held = gradient;
    held.write(new Float32Array(elements).fill(NaN));
  }
  parameters.zeroGradients();
  const watched = new Map([["x", x]]);
  if (condition.dtype === "f32") watched.set("condition", condition);
  const tape = new Tape(device);
  for (const tensor of watched.values()) tape.watch(tensor);
  using dy = device.tensor(new Float32Array(cotangent.data), cotangent.shape);
  using result = device.scope(() =>
    device.withPrecision(
      precision,
      () =>
        tape.record(() =>
          model.options.projector
            ? model.forwardWithProjection(x, t, condition, { recompute }).projection
            : model.forward(x, t, condition, { recompute })
        ),
    )
  );
  onRecorded?.();
  const inputGradients = device.scope(() => {
    tape.backwardFrom(result, dy);
    return Array.from(watched, ([name, tensor]) => [name, tape.gradient(tensor)] as const);
  });
  const between = await Promise.all(parameters.gradients.map((slab) => slab.read()));
  for (const parameter of trained) {
    const { slab, first } = parameters.placeOf(parameter);
    between[slab]!.fill(0, first, first + parameter.elements);
  }
  assert.ok(between.every((slab) => slab.every((value) => value === 0)), "between the parameters");
  const gradients = new Map<string, Float32Array>();
  for await (const [{ name, frozen }, values] of parameters.read(parameters.gradients)) {
    if (!frozen) gradients.set(name, values);
  }
  for (const [name, gradient] of inputGradients) {
    gradients.set(name, await gradient.read());
    gradient.dispose();
  }
  return gradients;
}

gpuTest(
  "SiT.forward() gives the same gradients with recompute, in less memory",
  async (device) => {
    for (const options of [MODELS["SiT with labels"]!, MODELS["LightningDiT with all switches"]!]) {
      using subject = await makeSubject(device, options);
      const { shape } = subject.x;
      const cotangent = { shape, data: randomValues(shape, 5) };
      const live: number[] = [];
      const onRecorded = () => {
        live.push(device.pool.liveBytes);
      };
      const kept = await gradientsOf(subject, { cotangent, onRecorded });
      const recomputed = await gradientsOf(subject, { cotangent, onRecorded, recompute: true });
      assert.deepEqual(recomputed, kept);
      assert.ok(kept.values().every((gradient) => gradient.some((value) => value !== 0)));
      assert.ok(live[1]! < live[0]!, `${live[1]} bytes after recording, ${live[0]} without`);
    }
  },
);

gpuTest("SiT shows each activation once, with recompute too", async (device) => {
  using subject = await makeSubject(device, MODELS["SiT with labels"]!);
  const { model, x, t, condition } = subject, seen: string[][] = [];
  for (const recompute of [false, true]) {
    const names: string[] = [];
    device.scope(() => {
      using tape = new Tape(device);
      const observe = (name: string) => void names.push(name);
      const output = tape.record(() => model.forward(x, t, condition, { observe, recompute }));
      tape.backwardFrom(output, output);
    });
    seen.push(names);
  }
  assert.ok(seen[0]!.includes("blocks.1.mlp"), `${seen[0]}`);
  assert.deepEqual(seen[1], seen[0]);
});

halvesTest(
  "SiT rounds the operands of its blocks and its projector alone in f16",
  async (device) => {
    const options: SiTOptions = {
      ...SIZES,
      condition: { snippetDim: 12, embedding: "mlp3" },
      projector: { depth: 1, width: 16, targetWidth: 8 },
    };
    const { projector: _, ...ends } = { ...options, depth: 0 };
    {
      // Without blocks nothing is rounded.
      using subject = await makeSubject(device, ends);
      const { model, x, t, condition } = subject;
      const [plain, rounded] = await Promise.all((["f32", "f16"] as const).map((precision) => {
        const run = () => model.forward(x, t, condition);
        using output = device.withPrecision(precision, run);
        return output.read();
      }));
      assert.deepEqual(rounded, plain);
    }
    using subject = await makeSubject(device, { ...options, depth: 1 });
    const { model, x, t, condition } = subject;
    const names = dispatchesOf(device, () =>
      device.withPrecision("f16", () =>
        device.scope(() => {
          model.forwardWithProjection(x, t, condition);
        })));
    // Input and weight of qkv, proj, two layers behind them and three of the projector; kernels of GPUs store inputs
    // of the first four in f16.
    const stored = device.profile.driver === "gpu" ? 4 : 0;
    assert.equal(names.filter((name) => name.startsWith("cast_to_f16")).length, 2 * 7 - stored);
  },
);

forcedTest("SiT trains in f16 with the kernels of GPUs, bit for bit so with recompute", {
  variants: {},
  profile: { driver: "gpu" },
  async run(device) {
    if (lacksHalves(device)) return;
    for (const name of ["SiT with labels", "LightningDiT with all switches"]) {
      using subject = await makeSubject(device, MODELS[name]!);
      const { shape } = subject.x, cotangent = { shape, data: randomValues(shape, 5) };
      const exact = await gradientsOf(subject, { cotangent });
      const casts: number[] = [], found: Map<string, Float32Array>[] = [];
      for (const recompute of [false, true]) {
        let gradients: Promise<Map<string, Float32Array>> | undefined;
        const names = dispatchesOf(device, () => {
          gradients = gradientsOf(subject, { cotangent, recompute, precision: "f16" });
        });
        casts.push(names.filter((kernel) => kernel.startsWith("cast_to_f16")).length);
        found.push(await gradients!);
      }
      assert.deepEqual(found[1], found[0], name);
      // The weights of each block; of LightningDiT also what the norm of queries and keys gives as a gradient, what
      // SwiGLU makes, and what that gives.
      const { depth } = MODELS[name]!, perBlock = name.startsWith("SiT") ? 4 : 4 + 3;
      assert.equal(casts[0], depth * perBlock, name);
      for (const [key, gradient] of exact) {
        // Sums over what is rounded to 2^-11 three layers deep, with the same sign where they are largest.
        assertClose(found[0]!.get(key)!, gradient, { tolerance: 2 ** -5, name: `${name} d${key}` });
      }
    }
  },
});

gpuTest("SiT starts as zero, and not without zeroInit", async (device) => {
  for (const zeroInit of [true, false]) {
    using subject = await makeSubject(device, { ...SIZES, ...SNIPPETS });
    using store = new ParameterStore(device, { seed: 3 });
    const fresh = new SiT(store, { ...SIZES, ...SNIPPETS, zeroInit });
    using output = fresh.forward(subject.x, subject.t, subject.condition);
    assert.equal((await output.read()).every((value) => value === 0), zeroInit);
  }
});

gpuTest("SiT has the official names and shapes", (device) => {
  const { depth, width, heads } = MODEL_SIZES.B;
  using store = new ParameterStore(device);
  new SiT(store, {
    inputSize: 32,
    channels: 4,
    patchSize: 2,
    width,
    depth,
    heads,
    condition: { classes: 1000 },
    learnSigma: true,
  });
  const shapes = Object.fromEntries(
    Array.from(store.entries(), ([name, { shape }]) => [name, [...shape]]),
  );
  assert.deepEqual(shapes, officialKeys);
});

gpuTest("SiT has as many parameters as the official sizes", (device) => {
  // As the official script prints them: with the table of 256 positions, which is not trained.
  const published = { S: 32_963_360, B: 130_512_416, L: 458_102_816, XL: 675_129_632 };
  for (const size of ["S", "B", "L", "XL"] as const) {
    const { depth, width: D, heads } = MODEL_SIZES[size];
    using store = new ParameterStore(device);
    new SiT(store, {
      inputSize: 32,
      channels: 4,
      patchSize: 2,
      width: D,
      depth,
      heads,
      condition: { classes: 1000 },
      learnSigma: true,
    });
    const patches = (4 * 2 * 2 + 1) * D, time = (256 + 1) * D + (D + 1) * D, labels = 1001 * D;
    const attention = 3 * D * (D + 1) + D * (D + 1);
    const mlp = 4 * D * (D + 1) + D * (4 * D + 1);
    const modulation = 6 * D * (D + 1);
    const final = 2 * D * (D + 1) + 2 * 2 * 8 * (D + 1);
    const trained = patches + time + labels + depth * (attention + mlp + modulation) + final;
    assert.equal(store.trainedElements, trained, size);
    assert.equal(trained + 256 * D, published[size], size);
  }
});

gpuTest("labels or snippets guide a SiT, never both", (device) => {
  using store = new ParameterStore(device);
  // @ts-expect-error The types refuse both where they are written down.
  const both: SiTOptions["condition"] = { classes: 5, snippetDim: 12 };
  const neither = {} as SiTOptions["condition"];
  const wrong = [[both, "both classes and snippetDim"], [neither, "neither"]] as const;
  for (const [condition, found] of wrong) {
    assert.throws(() => new SiT(store, { ...SIZES, condition }), {
      name: "TypeError",
      message:
        `Cannot make the model: its condition has ${found}, expected one of classes and snippetDim`,
    });
  }
});

gpuTest("SiT names what does not fit", (device) => {
  using store = new ParameterStore(device);
  const wrong: [Partial<SiTOptions>, string][] = [
    [{ depth: NaN }, "depth is NaN, expected a whole number"],
    [{ depth: -1 }, "depth is -1, expected a whole number"],
    [{ channels: 1.5 }, "channels is 1.5, expected a whole number"],
    [{ condition: { classes: -1 } }, "classes is -1, expected a whole number"],
    [{ condition: { snippetDim: 1.5 } }, "snippetDim is 1.5, expected a whole number"],
    [{ inputSize: 9 }, "size 9 is no multiple of patch 2"],
    [{ width: 30 }, "width 30 is no multiple of 4"],
    [{ heads: 5 }, "width 32 is no multiple of 5 heads"],
    [
      { width: 36, heads: 6, rope: true },
      "head width 6 is no multiple of 4, as rotary positions need",
    ],
    [
      { projector: { depth: 3, width: 8, targetWidth: 8 } },
      "projector after block 3, expected 1 to 2",
    ],
    [
      { projector: { depth: 1.5, width: 8, targetWidth: 8 } },
      "projector after block 1.5, expected 1 to 2",
    ],
  ];
  for (const [options, problem] of wrong) {
    assert.throws(() => new SiT(store, { ...SIZES, ...LABELS, ...options }), {
      name: "RangeError",
      message: `Cannot make the model: ${problem}`,
    });
  }
  const embedding = "mlp" as "mlp3";
  assert.throws(() => new SiT(store, { ...SIZES, condition: { snippetDim: 12, embedding } }), {
    name: "RangeError",
    message:
      "Cannot make the model: embedding is mlp, did you mean mlp3? Expected one of linear, mlp3",
  });
  // The last block is one of them.
  using projecting = new ParameterStore(device);
  new SiT(projecting, {
    ...{ ...SIZES, ...LABELS },
    projector: { depth: SIZES.depth, width: 8, targetWidth: 8 },
  });
  const model = new SiT(store, { ...SIZES, ...LABELS });
  device.scope(() => {
    const t = device.empty([2]), labels = device.empty([2], { dtype: "u32" });
    assert.throws(() => model.forward(device.empty([2, 3, 8, 8]), t, labels), {
      name: "TypeError",
      message: "Cannot run the model on states [2, 3, 8, 8] at times [2]: " +
        "expected [B, 4, 8, 8] and [B]",
    });
    const states = device.empty([2, 4, 8, 8]), three = device.empty([3], { dtype: "u32" });
    assert.throws(() => model.forward(states, t, three), {
      name: "TypeError",
      message: "Cannot run the model on 2 states under 3 conditions: expected one each",
    });
    assert.throws(() => model.forward(states, t, device.empty([2])), {
      name: "TypeError",
      message: "Cannot run the model under a condition [2] of f32: expected labels [B] of u32",
    });
    using other = new ParameterStore(device);
    const guided = new SiT(other, { ...SIZES, condition: { snippetDim: 4 } });
    for (
      const [wrong, found] of [[device.empty([2, 3]), "[2, 3] of f32"], [
        labels,
        "[2] of u32",
      ]] as const
    ) {
      assert.throws(() => guided.embed(wrong), {
        name: "TypeError",
        message: `Cannot run the model under a condition ${found}: expected snippets [B, 4] of f32`,
      });
    }
    assert.throws(() => model.forwardWithProjection(device.empty([2, 4, 8, 8]), t, labels), {
      name: "TypeError",
      message: "Cannot project tokens: the model has no projector",
    });
  });
});
