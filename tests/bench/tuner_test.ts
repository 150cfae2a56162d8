import assert from "node:assert/strict";
import { openDryDevice } from "../../bench/dry_gpu.ts";
import {
  describeTuning,
  questionsOf,
  TUNABLE_OPS,
  type TunableOp,
  tune,
  type TunedModel,
  tuningTable,
} from "../../bench/tuner.ts";
import type { Device } from "../../kernels/core/device.ts";
import { type OpWithVariants, shapeKey, type VariantShape } from "../../kernels/core/tuning.ts";
import { NO_ADAPTER, openDevice, testProfile } from "../_gpu.ts";

const MODEL: TunedModel = {
  model: {
    inputSize: 8,
    channels: 3,
    patchSize: 4,
    width: 16,
    depth: 2,
    heads: 2,
    condition: { snippetDim: 12 },
  },
  batchSize: 8,
  gradientAccumulation: 2,
  precision: "f32",
  sampleCount: 3,
  guided: false,
};

/** An op whose variants do nothing but tell which of them ran. */
function fakeOp(variants: readonly string[], ran: string[]): TunableOp {
  return {
    candidates: () => variants,
    prepare: (device: Device, shape: VariantShape) => ({
      record: () =>
        ran.push(device.variant<string>("matmul", variants[0]!, {
          among: Object.fromEntries(variants.map((name) => [name, true])),
          shape,
        })),
      [Symbol.dispose]() {},
    }),
  };
}

/** Tunes one size of a fake op whose variants take the given times. */
async function tuneFake(milliseconds: Record<string, number>, picked: string) {
  using device = openDryDevice();
  const ran: string[] = [], limits: number[] = [];
  const before = device.tuning;
  const [result] = await tune(device, [{ op: "matmul", shape: { M: 1 }, picked }], {
    ops: { matmul: fakeOp(Object.keys(milliseconds), ran) },
    time(record, giveUpAfter) {
      record();
      limits.push(giveUpAfter);
      return Promise.resolve(milliseconds[ran.at(-1)!]!);
    },
  });
  assert.equal(device.tuning, before);
  return { result: result!, ran, limits };
}

Deno.test("tune() chooses the fastest variant, and times the picked one first", async () => {
  const { result, ran, limits } = await tuneFake({ b: 2, a: 10, c: 5 }, "b");
  assert.deepEqual(ran, ["b", "a", "c"]);
  assert.equal(result.chosen, "b");
  assert.deepEqual(result.times, { b: 2, a: 10, c: 5 });
  // Whatever takes three times as long as the best so far is not worth exact timing.
  assert.deepEqual(limits, [Infinity, 6, 6]);
  assert.equal((await tuneFake({ a: 10, b: 4, c: 5 }, "a")).result.chosen, "b");
});

Deno.test("tune() keeps the picked variant where another gains no more than noise", async () => {
  assert.equal((await tuneFake({ a: 10, b: 9.8 }, "a")).result.chosen, "a");
  assert.equal((await tuneFake({ a: 10, b: 9.6 }, "a")).result.chosen, "b");
});

Deno.test("tune() times nothing where there is one variant, and restores after a failure", async () => {
  assert.deepEqual((await tuneFake({ a: 1 }, "a")).ran, []);
  using device = openDryDevice();
  const before = device.tuning;
  await assert.rejects(
    tune(device, [{ op: "matmul", shape: {}, picked: "a" }], {
      ops: { matmul: fakeOp(["a", "b"], []) },
      time: () => Promise.reject(new Error("lost")),
    }),
    /lost/,
  );
  assert.equal(device.tuning, before);
});

Deno.test("tuningTable() holds every size by op", () => {
  const row = { picked: "a", times: {} };
  assert.deepEqual(
    tuningTable([
      { ...row, op: "matmul", shape: { M: 1 }, chosen: "a" },
      { ...row, op: "matmul", shape: { M: 2 }, chosen: "b" },
      { ...row, op: "attention", shape: { T: 1 }, chosen: "c" },
    ]),
    { matmul: { "M=1": "a", "M=2": "b" }, attention: { "T=1": "c" } },
  );
});

Deno.test("describeTuning() sets what was chosen beside the built-in choice, in 100 columns", () => {
  const sizes = { M: 16384, N: 4608, K: 16384, batch: 1 };
  const shape = { ...sizes, transposeA: 1, transposeB: 0, f16: 1 };
  const times = { subgroup: 0.1374, naive: 2.051, tiled_128: 1104.2, register: 0.1311 };
  const lines = describeTuning([
    { op: "matmul", shape, picked: "tiled_128", chosen: "register", times },
    { op: "layerNorm", shape: { rows: 64 }, picked: "subgroup", chosen: "subgroup", times },
    // There was nothing to choose.
    { op: "attention", shape: { tokens: 1 }, picked: "rows", chosen: "rows", times: { rows: 1 } },
  ]);
  const cells = lines.map((line) => line.trim().split(/ {2,}/));
  assert.deepEqual(cells.slice(2, 5), [
    ["matmul", "M=16384 N=4608 K=16384 batch=1 transposeA f16", "tiled_128", "1104", "register"]
      .concat("0.131"),
    ["layerNorm", "rows=64", "subgroup", "0.137", "subgroup", "0.137"],
    [""],
  ]);
  assert.match(lines.at(-1)!, /^1 of 3 sizes run faster with another variant than the built-in/);
  for (const line of lines) assert(line.length <= 100, line);
});

Deno.test("questionsOf() has each size of training and drawing once", async () => {
  const { profile } = openDryDevice();
  const questions = await questionsOf(MODEL, profile);
  const keys = questions.map(({ op, shape }) => `${op} ${shapeKey(shape)}`);
  assert.equal(new Set(keys).size, keys.length);
  const rows = (op: string, axis: string) =>
    new Set(questions.filter((each) => each.op === op).map(({ shape }) => shape[axis]));
  // Parts of 4 images in training, 3 images in drawing.
  assert.deepEqual(rows("attention", "batch"), new Set([4, 3]));
  assert.deepEqual(rows("layerNorm", "rows"), new Set([16, 12]));
  const product = (M: number, N: number, K: number, transposeA: number, transposeB: number) =>
    keys.some((key) =>
      key.startsWith(`matmul M=${M} N=${N} K=${K} `) &&
      key.includes(`transposeA=${transposeA} transposeB=${transposeB}`)
    );
  // The qkv layer of 16 tokens: forward, and the gradients of its input and weight.
  assert.ok(product(16, 48, 16, 0, 1) && product(16, 16, 48, 0, 0) && product(48, 16, 16, 1, 0));
  assert.ok(product(12, 48, 16, 0, 1));

  // What is drawn in parts of 64 is asked for in parts, guided or not.
  for (const [guided, expected] of [[false, [4, 64, 2]], [true, [4, 128, 4]]] as const) {
    const many = await questionsOf({ ...MODEL, sampleCount: 1026, guided }, profile);
    const batches = many.filter(({ op }) => op === "attention").map(({ shape }) => shape["batch"]);
    assert.deepEqual(new Set(batches), new Set(expected));
  }

  const labelled = await questionsOf({
    ...MODEL,
    model: { ...MODEL.model, condition: { classes: 3, nullClass: false } },
  }, profile);
  assert.ok(labelled.some(({ op }) => op === "attention"));
});

Deno.test("a GPU is offered no product by kernels for CPU drivers, whose textures are too small", () => {
  const { profile } = openDryDevice();
  const candidates = (shape: VariantShape) => TUNABLE_OPS.matmul!.candidates(profile, shape);
  // 384 MiB, of which the texture of many GPUs holds 256.
  assert.deepEqual(candidates({ M: 32768, N: 768, K: 3072 }), ["tiled", "tiled_128"]);
  assert.deepEqual(candidates({ M: 32, N: 64, K: 1024 }), ["naive", "split", "tiled", "tiled_128"]);
  const cpu = testProfile({ driver: "cpu" });
  assert.deepEqual(TUNABLE_OPS.matmul!.candidates(cpu, { M: 64, N: 64, K: 1024 }), [
    "naive",
    "register",
    "subgroup",
  ]);
});

Deno.test("every variant that is offered for tuning runs on the adapter at hand", {
  ignore: NO_ADAPTER,
}, async () => {
  using device = await openDevice();
  const shapes: Readonly<Record<string, VariantShape>> = {
    matmul: { M: 8, N: 16, K: 12, batch: 1, transposeA: 1, transposeB: 0, f16: 0 },
    attention: { batch: 1, heads: 2, tokens: 4, headWidth: 8 },
    layerNorm: { rows: 6, width: 16, tokens: 6 },
  };
  assert.deepEqual(Object.keys(shapes), Object.keys(TUNABLE_OPS));
  const questions = Object.entries(shapes).map(([op, shape]) => ({
    op: op as OpWithVariants,
    shape,
    picked: TUNABLE_OPS[op]!.candidates(device.profile, shape)[0]!,
  }));
  const live = device.pool.liveBytes;
  const results = await tune(device, questions, {
    async time(record) {
      record();
      await device.settle();
      return 1;
    },
  });
  for (const { op, picked, chosen, times } of results) {
    assert.equal(chosen, picked);
    assert.ok(Object.keys(times).length > 1, `${op} has ${Object.keys(times)} only`);
  }
  assert.equal(device.pool.liveBytes, live);
});
