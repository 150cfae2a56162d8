import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { Device } from "../../kernels/core/device.ts";
import { Kernel } from "../../kernels/core/kernel.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { linearInterpolant } from "../../model/interpolants/linear.ts";
import { SiT } from "../../model/sit.ts";
import { draw } from "../../sample/draw.ts";
import { BatchInputs } from "../../train/batch.ts";
import {
  checkpointsAfter,
  findCheckpoint,
  imagesFingerprint,
  listCheckpoints,
  loadCheckpoint,
  readCheckpointState,
  removeOldCheckpoints,
  requireSpace,
  saveCheckpoint,
} from "../../train/checkpoint.ts";
import { resolveConfig } from "../../train/config.ts";
import { DataOrder } from "../../train/data_order.ts";
import { ImageSet } from "../../train/datasets/image_set.ts";
import { NonFiniteLossError, type TrainRecord } from "../../train/history.ts";
import { Trainer, type TrainerOptions } from "../../train/trainer.ts";
import { sumTolerance, testNumbers } from "../_check_op.ts";
import { gpuTest, halvesTest, NO_ADAPTER, openDevice } from "../_gpu.ts";

const SIZE = 24, DIM = 8;

const BROKEN = new Kernel({
  source: /* wgsl */ `
    @group(0) @binding(1) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1) fn broken() { out[0] = nonsense; }`,
});

/** Images whose left and right halves have random colours, in three classes. */
function makeImages(): ImageSet {
  const next = testNumbers(3);
  const pixels = new Uint8Array(SIZE * 3 * 64);
  for (let i = 0; i < SIZE * 3; i++) {
    const sides = [next(), next()].map((value) => Math.floor(127.5 * (value + 1)));
    for (let p = 0; p < 64; p++) pixels[i * 64 + p] = sides[p % 8 < 4 ? 0 : 1]!;
  }
  return new ImageSet({
    imageSize: 8,
    channels: 3,
    pixels,
    names: Array.from({ length: SIZE }, (_, i) => `image ${i}`),
    labels: Uint32Array.from({ length: SIZE }, (_, i) => i % 3),
    classes: ["a", "b", "c"],
  });
}

function makeBank(device: Device): FullBank {
  const next = testNumbers(4);
  const values = Float32Array.from({ length: SIZE * DIM }, next);
  const snippets = normalizeSnippets(values, { dim: DIM });
  return FullBank.from(device, { snippets, dim: DIM });
}

interface Parts extends Disposable {
  dataset: ImageSet;
  model: SiT;
  trainer: Trainer;
}

function makeTrainer(
  device: Device,
  options: Partial<TrainerOptions> & {
    labels?: boolean;
    zeroInit?: boolean;
    freezes?: (name: string) => boolean;
  } = {},
): Parts {
  const { labels = false, zeroInit = true, freezes = () => false, ...rest } = options;
  const dataset = makeImages();
  const bank = labels ? undefined : makeBank(device);
  const store = new ParameterStore(device, { seed: 5, freezes });
  const model = new SiT(store, {
    inputSize: 8,
    channels: 3,
    patchSize: 4,
    width: 16,
    depth: 1,
    heads: 2,
    condition: labels ? { classes: 3 } : { snippetDim: DIM },
    zeroInit,
  });
  const trainer = new Trainer({
    model,
    dataset,
    bank,
    batchSize: 8,
    seed: 7,
    learningRate: 1e-2,
    mask: labels ? undefined : { kind: "zero", ratio: 0.25 },
    ...rest,
  });
  return {
    dataset,
    model,
    trainer,
    [Symbol.dispose]() {
      trainer[Symbol.dispose]();
      store.dispose();
      bank?.[Symbol.dispose]();
    },
  };
}

async function losses(trainer: Trainer, steps: number): Promise<number[]> {
  const out: number[] = [];
  for await (const { loss } of trainer.run({ steps, logEvery: 1 })) out.push(loss);
  return out;
}

/** Every parameter's values, by its name. */
async function valuesOf({ parameters }: SiT): Promise<Map<string, Float32Array>> {
  const read = await Array.fromAsync(parameters.read());
  return new Map(read.map(([{ name }, values]) => [name, values.slice()]));
}

async function weights({ parameters }: SiT): Promise<Float32Array> {
  return await parameters.values[0]!.read();
}

gpuTest("Trainer.run() lowers the loss and repeats bit for bit", async (device) => {
  const runs: number[][] = [];
  for (let i = 0; i < 2; i++) {
    using parts = makeTrainer(device);
    runs.push(await losses(parts.trainer, 30));
  }
  assert.deepEqual(runs[0], runs[1]);
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  assert.ok(mean(runs[0]!.slice(-5)) < 0.9 * mean(runs[0]!.slice(0, 5)), `${runs[0]}`);
});

gpuTest("Trainer.run() takes the ten steps that it always took", async (device) => {
  const recorded = [
    1.361255,
    1.317699,
    1.312749,
    1.260985,
    1.209955,
    1.323827,
    1.147590,
    1.162270,
    1.208539,
    1.079891,
  ];
  const { gpu, profile } = device;
  // The second has the kernels of GPUs, but for those that a CPU driver compiles for a minute.
  const variants = { attention: "naive" };
  const forGpus = new Device(gpu, { profile: { ...profile, driver: "gpu" }, variants });
  for (const each of [device, forGpus]) {
    using parts = makeTrainer(each);
    const found = await losses(parts.trainer, 10);
    // Half a unit of the last digit is 5e-7; kernels differ by some 1e-7, and ten steps of AdamW,
    // whose first have the size of the rate whatever the gradient's, may multiply that.
    for (const [i, loss] of found.entries()) {
      assert.ok(Math.abs(loss / recorded[i]! - 1) < 1e-5, `step ${i}: ${loss}, not ${recorded[i]}`);
    }
  }
});

gpuTest(
  "Trainer.run() steps the parameters that the store does not freeze, as if it froze none",
  async (device) => {
    const zeroInit = false, inHead = (name: string) => name.startsWith("final_layer.");
    using all = makeTrainer(device, { zeroInit, clip: null });
    using head = makeTrainer(device, { zeroInit, clip: null, freezes: (name) => !inHead(name) });
    const before = await valuesOf(all.model);
    // The gradients of a first step are the same; later ones meet other blocks.
    for (const { trainer } of [all, head]) await losses(trainer, 1);
    const [whole, part] = [await valuesOf(all.model), await valuesOf(head.model)];
    assert.deepEqual([...part.keys()].sort(), [...whole.keys()].sort());
    for (const [name, values] of part) {
      assert.deepEqual(values, inHead(name) ? whole.get(name) : before.get(name), name);
      if (inHead(name)) assert.notDeepEqual(values, before.get(name), name);
    }
  },
);

gpuTest("Trainer.run() allocates nothing after the first step", async (device) => {
  using parts = makeTrainer(device);
  await losses(parts.trainer, 2);
  const { created } = device.pool;
  await losses(parts.trainer, 5);
  assert.equal(device.pool.created, created);
});

gpuTest("Trainer.run() submits once a step besides its inputs", async (device) => {
  using parts = makeTrainer(device);
  for await (const _ of parts.trainer.run({ steps: 10, logEvery: 10 })) { /* warm */ }
  const { submits, mostDispatches } = device.recorder;
  // As on a GPU that was seen to be fast.
  device.recorder.mostDispatches = Infinity;
  for await (const _ of parts.trainer.run({ steps: 20, logEvery: 10 })) { /* measured */ }
  device.recorder.mostDispatches = mostDispatches;
  // Ten steps and one reading of the losses.
  assert.equal(device.recorder.submits - submits, 11);
});

gpuTest(
  "Trainer.run() raises the learning rate over the warm-up, then keeps it or does as it is told",
  async (device) => {
    const ratesOf = async (options: Partial<TrainerOptions>) => {
      using parts = makeTrainer(device, { learningRate: 0.5 ** 6, ...options });
      const { optimizer } = parts.trainer, { step } = optimizer, rates: number[] = [];
      optimizer.step = (given) => {
        rates.push(given.learningRate);
        return step.call(optimizer, given);
      };
      await losses(parts.trainer, 6);
      return rates.map((rate) => rate / 0.5 ** 6);
    };
    assert.deepEqual(await ratesOf({ warmupSteps: 4 }), [0.25, 0.5, 0.75, 1, 1, 1]);
    assert.deepEqual(await ratesOf({}), Array(6).fill(1));
    const learningRate = (step: number) => 0.5 ** 6 * (8 - step);
    assert.deepEqual(await ratesOf({ learningRate, warmupSteps: 2 }), [4, 7, 6, 5, 4, 3]);
    const rising = (step: number) => 0.5 ** 6 * step;
    assert.deepEqual(await ratesOf({ learningRate: rising }), [0, 1, 2, 3, 4, 5]);
  },
);

gpuTest(
  "Trainer.run() goes on after a step whose learning rate is none as if it were not",
  async (device) => {
    let rate = 1e-2;
    using parts = makeTrainer(device, { learningRate: (step) => step === 2 ? rate : 1e-2 });
    using same = makeTrainer(device);
    const expected = await losses(same.trainer, 4);
    for (rate of [NaN, -1, Infinity]) {
      await assert.rejects(losses(parts.trainer, 4), {
        name: "RangeError",
        message: `Cannot train: the learning rate of step 2 is ${rate}, expected a number from 0`,
      });
    }
    rate = 1e-2;
    assert.deepEqual(await losses(parts.trainer, 4), expected.slice(2));
  },
);

gpuTest("Trainer.run() waits for the GPU the more seldom the shorter steps are", async (device) => {
  const { settle } = device, { now } = performance, { mostDispatches } = device.recorder;
  const waitsOf = async (milliseconds: number) => {
    using parts = makeTrainer(device);
    const waits: number[] = [];
    let clock = 0;
    performance.now = () => clock;
    device.settle = async () => {
      waits.push(parts.trainer.step);
      await settle.call(device);
    };
    try {
      const onStep = () => void (clock += milliseconds);
      for await (const { imagesPerSecond } of parts.trainer.run({ steps: 12, onStep })) {
        assert.equal(imagesPerSecond, 8 * 1000 / milliseconds);
      }
    } finally {
      [performance.now, device.settle] = [now, settle];
    }
    return waits;
  };
  // Ten steps at most, and no more than 1.5 seconds of them; the first one is timed alone.
  assert.deepEqual(await waitsOf(100), [1, 11]);
  assert.deepEqual(await waitsOf(300), [1, 6, 11]);
  assert.deepEqual(await waitsOf(750), [1, 3, 5, 7, 9, 11]);
  // The made-up times are none to go by.
  device.recorder.mostDispatches = mostDispatches;
});

gpuTest("loadCheckpoint() goes on exactly where saveCheckpoint() stopped", async (device) => {
  const directory = await Deno.makeTempDir();
  try {
    using whole = makeTrainer(device, { emaWarmup: true });
    const expected = await losses(whole.trainer, 6);
    using first = makeTrainer(device, { emaWarmup: true });
    await losses(first.trainer, 3);
    const path = await saveCheckpoint(directory, first.trainer, { config: { any: 1 } });
    assert.equal(findCheckpoint(directory), path);
    using second = makeTrainer(device, { emaWarmup: true, seed: 7 });
    // The newest one in the run's folder.
    const state = loadCheckpoint(directory, second.trainer);
    const images = imagesFingerprint(makeImages());
    assert.deepEqual(state, { format: 1, step: 3, seen: 24, config: { any: 1 }, images });
    assert.deepEqual(await losses(second.trainer, 6), expected.slice(3));
    assert.deepEqual(await weights(second.model), await weights(whole.model));
    const averages = (parts: Parts) => parts.trainer.optimizer.averages[0]!.read();
    assert.deepEqual(await averages(second), await averages(whole));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "loadCheckpoint() goes on in the order of the images with batches of another size",
  async (device) => {
    const directory = await Deno.makeTempDir(), order: number[] = [];
    /** A trainer that notes which images it takes. */
    const noting = (options: Partial<TrainerOptions>) => {
      const images = makeImages();
      const dataset = {
        ...{ size: images.size, labels: images.labels },
        read: (indices: Uint32Array) => {
          order.push(...indices);
          return images.read(indices);
        },
      };
      return makeTrainer(device, { ...options, dataset });
    };
    try {
      for (const [steps, batchSize, gradientAccumulation] of [[3, 4, 1], [5, 12, 3], [7, 6, 1]]) {
        using parts = noting({
          batchSize: batchSize!,
          gradientAccumulation: gradientAccumulation!,
        });
        const { trainer } = parts;
        if (steps! > 3) loadCheckpoint(directory, trainer);
        await losses(trainer, steps!);
        await saveCheckpoint(directory, trainer);
        assert.deepEqual([trainer.seen, readCheckpointState(findCheckpoint(directory)).seen], [
          order.length,
          order.length,
        ]);
        assert.throws(() => trainer.seen = -1, RangeError);
      }
      // 12, 24 and 12 images of 24: two epochs.
      assert.deepEqual(order, [...new DataOrder({ size: SIZE, seed: 7 }).take(0, 2 * SIZE)]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

gpuTest(
  "Trainer.run() goes on from a checkpoint that is loaded at one of its records",
  async (device) => {
    const runDirectory = Deno.makeTempDirSync();
    using straight = makeTrainer(device);
    const all = await losses(straight.trainer, 1);
    const earlier = await saveCheckpoint(runDirectory, straight.trainer);
    all.push(...await losses(straight.trainer, 5));
    const later = await saveCheckpoint(runDirectory, straight.trainer);
    all.push(...await losses(straight.trainer, 9));

    using jumping = makeTrainer(device);
    const { trainer } = jumping, found: [step: number, loss: number][] = [];
    // Begun near the end: the steps from an earlier checkpoint on are more than those to go.
    await losses(trainer, 7);
    const jumps = [earlier, later];
    for await (
      const { step, loss } of trainer.run({
        steps: 9,
        logEvery: 100,
        alsoAfter: (step) => step === 8 || step === 4,
      })
    ) {
      found.push([step, loss]);
      const jump = jumps.shift();
      if (jump !== undefined) loadCheckpoint(jump, trainer);
    }
    const mean = (first: number, last: number) => {
      const part = all.slice(first - 1, last);
      return part.reduce((sum, loss) => sum + loss) / part.length;
    };
    const wanted = [[8, mean(8, 8)], [4, mean(2, 4)], [8, mean(6, 8)], [9, mean(9, 9)]];
    // The order of a float64 sum is the record's own.
    const rounded = (records: number[][]) =>
      records.map(([step, loss]) => [step, loss!.toFixed(12)]);
    assert.deepEqual(rounded(found), rounded(wanted));
    assert.deepEqual(await weights(jumping.model), await weights(straight.model));
    Deno.removeSync(runDirectory, { recursive: true });
  },
);

gpuTest("loadCheckpoint() names a file with a number that is not finite", async (device) => {
  const directory = await Deno.makeTempDir();
  try {
    using parts = makeTrainer(device);
    const path = await saveCheckpoint(directory, parts.trainer, { config: {} });
    for (const name of ["model", "ema", "optimizer"]) {
      const file = `${path}/${name}.safetensors`, whole = Deno.readFileSync(file);
      const header = Number(new DataView(whole.buffer).getBigUint64(0, true));
      // The last number of the file becomes NaN, or the first.
      for (const [first, place] of [[whole.length - 4, "\\d+"], [8 + header, "0"]] as const) {
        Deno.writeFileSync(file, whole.slice().fill(0xff, first, first + 4));
        assert.throws(() => loadCheckpoint(path, parts.trainer), {
          name: "CheckpointError",
          message: new RegExp(
            `^Cannot load ${file}: \\S+ holds NaN at ${place}, expected finite numbers$`,
          ),
        });
      }
      Deno.writeFileSync(file, whole);
    }
    loadCheckpoint(path, parts.trainer);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest("saveCheckpoint() keeps the old checkpoint when it fails", async (device) => {
  const directory = await Deno.makeTempDir();
  try {
    using parts = makeTrainer(device);
    const path = await saveCheckpoint(directory, parts.trainer, { config: {} });
    const before = await Deno.readFile(`${path}/model.safetensors`);
    const broken = {
      toJSON: () => {
        throw new Error("disk full");
      },
    };
    await assert.rejects(saveCheckpoint(directory, parts.trainer, { config: broken }), /disk full/);
    assert.deepEqual(await Deno.readFile(`${path}/model.safetensors`), before);
    assert.equal(listCheckpoints(directory).length, 1);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["step_0000000"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "saveCheckpoint() keeps the old checkpoint when the new one cannot take its place",
  async (device) => {
    const directory = await Deno.makeTempDir();
    const { renameSync } = Deno;
    try {
      using parts = makeTrainer(device);
      const path = await saveCheckpoint(directory, parts.trainer, { config: { first: true } });
      for (const failing of [1, 2]) {
        let renames = 0;
        Deno.renameSync = (from, to) => {
          // Files are renamed as well; folders are those of checkpoints.
          if (/step_\d+(?:\.\w+)?$/.test(String(from)) && ++renames === failing) {
            throw new Error("no space");
          }
          renameSync(from, to);
        };
        await assert.rejects(saveCheckpoint(directory, parts.trainer, { config: {} }), /no space/);
        Deno.renameSync = renameSync;
        assert.deepEqual(readCheckpointState(path).config, { first: true });
        assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), [
          "step_0000000",
        ]);
      }
      // What a process that was killed between the two renames leaves behind is found again.
      renameSync(path, `${path}.old`);
      assert.equal(findCheckpoint(directory), path);
      assert.deepEqual(readCheckpointState(path).config, { first: true });
      // What one leaves after them or before them goes with the next checkpoint, whatever its step.
      Deno.mkdirSync(`${path}.old`);
      Deno.mkdirSync(`${directory}/step_0000007.partial`);
      parts.trainer.step = 1;
      await saveCheckpoint(directory, parts.trainer, { config: {} });
      assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
        ...["step_0000000", "step_0000001"],
      ]);
    } finally {
      Deno.renameSync = renameSync;
      await Deno.remove(directory, { recursive: true });
    }
  },
);

Deno.test("readCheckpointState() refuses what is no state of a checkpoint", async () => {
  const path = await Deno.makeTempDir();
  try {
    const state = { format: 1, step: 3, config: {} };
    const write = (text: string) => Deno.writeTextFileSync(`${path}/state.json`, text);
    assert.throws(() => readCheckpointState(path), /^CheckpointError: Cannot read .*state\.json: /);
    write(JSON.stringify(state));
    assert.deepEqual(readCheckpointState(path), state);
    write("{");
    assert.throws(() => readCheckpointState(path), /^CheckpointError: Cannot read .*state\.json: /);
    for (
      const wrong of [
        ...[null, {}, { ...state, format: 2 }],
        ...[-1, 0.5, "3", { toString: 1 }, undefined].map((step) => ({ ...state, step })),
      ]
    ) {
      write(JSON.stringify(wrong));
      assert.throws(() => readCheckpointState(path), /format .* at step .*, expected format 1$/);
    }
    const all = {
      seen: 24,
      images: "ab",
      bank: { size: 2, sha256: "cd" },
      classes: ["a", "b"],
      classCounts: [1, 0],
    };
    write(JSON.stringify({ ...state, ...all }));
    assert.deepEqual(readCheckpointState(path), { ...state, ...all });
    for (
      const [key, wrong, message] of [
        ["config", undefined, /its config is missing, expected an object$/],
        ["config", null, /its config is null, expected an object$/],
        ["seen", -1, /its seen is -1, expected a whole number$/],
        ["images", 5, /its images is 5, expected a text$/],
        ["ownModel", false, /its ownModel is false, expected true$/],
        ["bank", { size: 2 }, /its bank is {"size":2}, expected an object of size and sha256$/],
        ["bank", { size: -1, sha256: "cd" }, /its bank is /],
        ["classes", "ab", /its classes is "ab", expected a list of texts$/],
        ["classes", ["a", 1], /its classes is \["a",1\], /],
        ["classCounts", { 0: 1 }, /its classCounts is {"0":1}, expected a list of whole numbers$/],
        ["classCounts", [1, -1], /its classCounts is \[1,-1\], /],
      ] as const
    ) {
      write(JSON.stringify({ ...state, [key]: wrong }));
      assert.throws(() => readCheckpointState(path), { name: "CheckpointError", message });
    }
  } finally {
    await Deno.remove(path, { recursive: true });
  }
});

/** Makes a folder with the files of a checkpoint and others. */
function writeCheckpoint(directory: string, step: number, others: readonly string[] = []): void {
  const path = `${directory}/step_000000${step}`;
  Deno.mkdirSync(path);
  const files = ["model", "ema", "optimizer"].map((name) => `${name}.safetensors`);
  for (const file of [...files, "state.json", ...others]) {
    Deno.writeTextFileSync(`${path}/${file}`, file);
  }
}

Deno.test("removeOldCheckpoints() keeps the newest and whatever is no checkpoint", async () => {
  const directory = await Deno.makeTempDir();
  const names = () => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  try {
    for (const step of [1, 2, 4, 5, 6]) writeCheckpoint(directory, step);
    writeCheckpoint(directory, 3, ["evaluation.json"]);
    // Neither whole checkpoints, nor folders, nor of such a name.
    Deno.mkdirSync(`${directory}/step_0000000`);
    Deno.writeTextFileSync(`${directory}/step_0000000/state.json`, "{}");
    Deno.writeTextFileSync(`${directory}/step_0000007`, "");
    writeCheckpoint(`${directory}`, 8);
    Deno.renameSync(`${directory}/step_0000008`, `${directory}/kept`);
    const others = ["kept", "step_0000000", "step_0000003", "step_0000007"];
    // What processes leave that were killed while they removed one.
    for (const step of [0, 1]) {
      const left = `${directory}/step_000000${step}.partial`;
      Deno.mkdirSync(left);
      Deno.writeTextFileSync(`${left}/model.safetensors`, "");
    }
    const kept = (...steps: number[]) =>
      [...others, ...steps.map((step) => `step_000000${step}`)].sort();
    removeOldCheckpoints(directory, 2);
    assert.deepEqual(names(), kept(5, 6));
    removeOldCheckpoints(directory, 3);
    assert.deepEqual(names(), kept(5, 6));
    removeOldCheckpoints(directory, 0);
    assert.deepEqual(names(), kept());
    assert.equal([...Deno.readDirSync(`${directory}/step_0000003`)].length, 5);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("checkpointsAfter() counts those on the way and the last one", () => {
  const counted = (step: number, checkpointEvery: number | null) =>
    checkpointsAfter(step, { steps: 10, checkpointEvery });
  assert.deepEqual([0, 3, 4, 8, 9, 10, 12].map((step) => counted(step, 4)), [3, 3, 2, 1, 1, 0, 0]);
  assert.deepEqual([0, 4, 5, 10].map((step) => counted(step, 5)), [2, 2, 1, 0]);
  assert.deepEqual([0, 5, 10].map((step) => counted(step, null)), [1, 1, 0]);
});

Deno.test("requireSpace() says what the checkpoints of a run take and the disk has", async () => {
  const directory = await Deno.makeTempDir();
  const saying = (options: { coming: number; keep: number | null }, said: RegExp) =>
    assert.throws(
      () => requireSpace(directory, [["weight", { elements: 2 ** 58 }]], options),
      said,
    );
  try {
    requireSpace(directory, [["weight", { elements: 2 }]], { coming: 9, keep: null });
    requireSpace(directory, [["weight", { elements: 2 ** 58 }]], { coming: 0, keep: 3 });
    saying(
      { coming: 1, keep: 3 },
      /Cannot keep a run in .*: a checkpoint takes 4611686018 GB, the disk has [\d.]+ [kMG]B free, .*runDirectory$/,
    );
    saying(
      { coming: 3, keep: 3 },
      /: 3 checkpoints take 13835058055 GB, .*, or fewer by train\.keepCheckpoints=1$/,
    );
    // One more than are kept, while it is written.
    saying({ coming: 9, keep: 3 }, /: 4 checkpoints take /);
    saying({ coming: 9, keep: null }, /: 9 checkpoints take /);
    saying({ coming: 9, keep: 3 }, /or another disk by train\.runDirectory/);
    saying(
      { coming: 9, keep: 1 },
      /: 2 checkpoints take .*, or the last one alone by train\.checkpointEvery=null$/,
    );
    // Those that are there will go, but for one that is not the run's alone.
    for (const step of [1, 2]) writeCheckpoint(directory, step);
    writeCheckpoint(directory, 3, ["evaluation.json"]);
    saying({ coming: 9, keep: 3 }, /: 2 checkpoints take /);
    saying({ coming: 9, keep: 1 }, /: a checkpoint takes .*room or the run's folder moved to/);
    saying({ coming: 9, keep: null }, /: 9 checkpoints take /);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "loadCheckpoint() refuses other images or snippets than those of the run",
  async (device) => {
    const directory = await Deno.makeTempDir();
    try {
      using parts = makeTrainer(device);
      const images = imagesFingerprint(makeImages());
      const path = await saveCheckpoint(directory, parts.trainer, {
        config: {},
        imagesFingerprint: images,
      });
      assert.equal(
        loadCheckpoint(path, parts.trainer, { imagesFingerprint: images }).images,
        images,
      );
      const { size, names, labels } = makeImages();
      const turned = imagesFingerprint({ size, names: names.toReversed(), labels });
      // Data of one's own may have neither.
      assert.equal(
        imagesFingerprint({ size }),
        imagesFingerprint({ size, names: [], labels: new Uint32Array() }),
      );
      assert.throws(
        () => loadCheckpoint(path, parts.trainer, { imagesFingerprint: turned }),
        /Cannot go on from .*: the images, or which of them are held out, are not those/,
      );
      const bank = { size: 8, sha256: "ab" };
      const guided = await saveCheckpoint(directory, parts.trainer, {
        config: {},
        bankFingerprint: bank,
      });
      assert.deepEqual(loadCheckpoint(guided, parts.trainer, { bankFingerprint: bank }).bank, bank);
      for (const other of [{ ...bank, size: 9 }, { ...bank, sha256: "ac" }]) {
        assert.throws(
          () => loadCheckpoint(guided, parts.trainer, { bankFingerprint: other }),
          /Cannot go on from .*: the snippets of the bank are not those that it was trained with/,
        );
      }
      // The trainer tells its images where nothing else is said.
      const plain = await saveCheckpoint(directory, parts.trainer, { config: {} });
      assert.equal(
        loadCheckpoint(plain, parts.trainer, { imagesFingerprint: images }).images,
        images,
      );
      // One that does not know its images is taken for what it is.
      const file = `${plain}/state.json`, state = JSON.parse(Deno.readTextFileSync(file));
      Deno.writeTextFileSync(file, JSON.stringify({ ...state, images: undefined }));
      assert.equal(
        loadCheckpoint(plain, parts.trainer, { imagesFingerprint: turned }).images,
        undefined,
      );
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

gpuTest(
  "saveCheckpoint() keeps the classes of a model that labels guide, and how many images each has",
  async (device) => {
    const directory = await Deno.makeTempDir();
    try {
      const images = makeImages(), dataset = images.subset(Uint32Array.of(0, 1, 3, 6));
      for (const labels of [true, false]) {
        using parts = makeTrainer(device, { labels });
        const path = await saveCheckpoint(directory, parts.trainer, { config: {}, dataset });
        const { classes, classCounts } = readCheckpointState(path);
        const kept = labels ? [images.classes, [3, 1, 0]] : [undefined, undefined];
        assert.deepEqual([classes, classCounts], kept);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

gpuTest("Trainer gives the same step in one part and in four", async (device) => {
  // Labels bear on the first loss only where the blocks do something; half of them are dropped.
  for (const options of [{}, { labels: true, zeroInit: false, classDropout: 0.5 }]) {
    using one = makeTrainer(device, options);
    using four = makeTrainer(device, { ...options, gradientAccumulation: 4 });
    const [a, b] = [await losses(one.trainer, 3), await losses(four.trainer, 3)];
    for (const [i, loss] of a.entries()) {
      // Sums of other order: some roundings of 2^-24 that three steps of AdamW spread.
      assert.ok(Math.abs(loss - b[i]!) < 1e-4 * loss, `${a} and ${b}`);
    }
  }
});

gpuTest("Trainer weighs a loss by the time that it draws within the path's", async (device) => {
  const first = async (options: Partial<TrainerOptions>) => {
    using parts = makeTrainer(device, { ...options, batchSize: 1, zeroInit: false });
    const [loss] = await losses(parts.trainer, 1);
    return loss!;
  };
  const random = new Random(7, Stream.Time);
  for (const prediction of ["noise", "score"] as const) {
    for (const timeDistribution of ["uniform", "logit-normal"] as const) {
      const share = timeDistribution === "uniform"
        ? random.uniform(0, 0, 0)
        : 1 / (1 + Math.exp(-random.normal(0, 0, 0)));
      // These predictions keep a thousandth from both ends of the linear path, on which the weight of a
      // velocity loss is 1 / t² times that of the plain one.
      const t = 1e-3 + (1 - 2e-3) * share, options = { prediction, timeDistribution };
      const plain = await first(options);
      const weighed = await first({ ...options, weighting: "velocity" });
      // Both are sums of the same 192 squares but for the roundings of their factors.
      const ratio = weighed / plain * t ** 2;
      assert.ok(Math.abs(ratio - 1) < 4 * sumTolerance(192), `${prediction} at ${t}: ${ratio}`);
    }
  }
});

gpuTest("Trainer lets timers and signals be heard between the parts of a step", async (device) => {
  using parts = makeTrainer(device, { gradientAccumulation: 4 });
  const { dataset } = parts, { read } = dataset;
  let rounds = 0;
  const heard: number[] = [];
  dataset.read = function (indices) {
    heard.push(rounds);
    setTimeout(() => rounds++);
    return read.call(this, indices);
  };
  for await (const _ of parts.trainer.run({ steps: 1 }));
  assert.deepEqual(heard, [0, 1, 2, 3]);
});

gpuTest("Trainer takes more parts where the GPU could not bind a tensor of them", (device) => {
  // The hidden tokens of one image take 1,024 bytes.
  const within = (maxBindingBytes: number) =>
    new Device(device.gpu, { profile: { ...device.profile, maxBindingBytes } });
  const most = 1024 * SIZE;
  for (const [bytes, wanted] of [[most, 1], [most - 1, 2]] as const) {
    using parts = makeTrainer(within(bytes), { batchSize: SIZE });
    assert.equal(parts.trainer.parts, wanted);
  }
  using asked = makeTrainer(within(most - 1), { batchSize: SIZE, gradientAccumulation: 4 });
  assert.equal(asked.trainer.parts, 4);
});

gpuTest("Trainer gives the same step with and without recomputation", async (device) => {
  using plain = makeTrainer(device);
  using recomputed = makeTrainer(device, { recompute: true });
  const { recorder } = device, start = recorder.dispatches;
  const expected = await losses(plain.trainer, 3), middle = recorder.dispatches;
  assert.deepEqual(await losses(recomputed.trainer, 3), expected);
  // The block's kernels run again.
  assert.ok(recorder.dispatches - middle > middle - start);
});

gpuTest("Trainer trains with labels, flips, and the cosine loss", async (device) => {
  using parts = makeTrainer(device, { labels: true, flip: true, cosineLoss: true });
  const values = await losses(parts.trainer, 20);
  assert.ok(values.at(-1)! < values[0]!, `${values}`);
});

gpuTest("Trainer mirrors the same images whether the data or it turns the rows", async (device) => {
  const images = makeImages(), { size, labels } = images, drawn: number[] = [];
  const dataset = {
    ...{ size, labels, read: (indices: Uint32Array) => images.read(indices) },
    readMirrored(indices: Uint32Array, mirrored: Uint8Array) {
      drawn.push(...mirrored);
      const values = images.read(indices), length = 3 * 64;
      return values.map((_, at) =>
        values[mirrored[Math.floor(at / length)] ? at - at % 8 + 7 - at % 8 : at]!
      );
    },
  };
  const options = { flip: true, gradientAccumulation: 2 };
  using own = makeTrainer(device, options);
  using given = makeTrainer(device, { ...options, dataset });
  assert.deepEqual(await losses(own.trainer, 4), await losses(given.trainer, 4));
  const random = new Random(7, Stream.Flip);
  const coins = Array.from(
    { length: 4 * 8 },
    (_, i) => Number(random.uniform(Math.floor(i / 8), i % 8, 0) < 0.5),
  );
  assert.deepEqual(drawn, coins);
  assert.equal(new Set(coins).size, 2);
});

gpuTest("BatchInputs drops the labels that a draw for step and image picks", async (device) => {
  using parts = makeTrainer(device, { labels: true });
  const { model, dataset } = parts;
  using inputs = new BatchInputs(device, {
    ...{ model, dataset, bank: undefined, alignmentWeight: undefined, flip: false, seed: 7 },
    ...{ batchSize: 8, gradientAccumulation: 2, classDropout: 0.25, timeDistribution: "uniform" },
    ...{ interpolant: linearInterpolant, prediction: "velocity", weighting: "none" },
  });
  const random = new Random(7, Stream.Label), labels: number[] = [], expected: number[] = [];
  for (let number = 0; number < 8; number++) {
    const part = await inputs.read(number);
    const step = Math.floor(number / 2), firstSample = number % 2 * 4;
    inputs.write(part, { step, firstSample });
    labels.push(...await inputs.condition.readUint32());
    for (const [i, index] of part.indices.entries()) {
      const dropped = random.uniform(step, firstSample + i, 0) < 0.25;
      expected.push(dropped ? 3 : dataset.labels![index]!);
    }
  }
  assert.deepEqual(labels, expected);
  assert.deepEqual(new Set(labels), new Set([0, 1, 2, 3]));
});

gpuTest("Trainer turns the rows of a copy, not of what the data gave", async (device) => {
  const images = makeImages(), { size } = images, given: Float32Array[] = [];
  const read = (indices: Uint32Array) => {
    const values = images.read(indices);
    given.push(values, values.slice());
    return values;
  };
  // Snippets guide the model, so the data need no labels.
  using parts = makeTrainer(device, { flip: true, dataset: { size, read } });
  await losses(parts.trainer, 2);
  assert.deepEqual(given[0], given[1]);
  assert.deepEqual(given[2], given[3]);
});

gpuTest("Trainer.run() stops at a loss that is not finite", async (device) => {
  using parts = makeTrainer(device);
  const bias = parts.model.parameters.get("final_layer.linear.bias");
  bias.write(new Float32Array(bias.elements).fill(NaN));
  await assert.rejects(
    losses(parts.trainer, 2),
    (error: Error) => error instanceof NonFiniteLossError && error.step === 1,
  );
});

gpuTest("Trainer.run() stops after the step in which it is aborted", async (device) => {
  using parts = makeTrainer(device);
  const abort = new AbortController();
  const records = parts.trainer.run({
    steps: 100,
    logEvery: 50,
    signal: abort.signal,
    onStep: (step) => step === 4 && abort.abort(),
  });
  for await (const { step } of records) assert.equal(step, 4);
  assert.equal(parts.trainer.step, 4);
  assert.throws(() => parts.trainer.step = 1.5, RangeError);
  assert.equal(parts.trainer.step, 4);
});

gpuTest("Trainer.run() loses no record to an end that comes while it waits", async (device) => {
  using parts = makeTrainer(device);
  const abort = new AbortController(), { settle } = device;
  device.settle = async () => {
    await settle.call(device);
    abort.abort();
  };
  const steps: number[] = [];
  const records = parts.trainer.run({ steps: 100, logEvery: 50, signal: abort.signal });
  try {
    for await (const { step } of records) steps.push(step);
  } finally {
    device.settle = settle;
  }
  assert.deepEqual(steps, [parts.trainer.step]);
});

gpuTest(
  "Trainer.run() yields at multiples of logEvery and where it is asked to",
  async (device) => {
    using parts = makeTrainer(device);
    const run = async (steps: number) => {
      const found: number[] = [];
      const records = parts.trainer.run({
        steps,
        logEvery: 4,
        alsoAfter: (step) => step % 6 === 0,
      });
      for await (const { step } of records) found.push(step);
      return found;
    };
    assert.deepEqual(await run(10), [4, 6, 8, 10]);
    // A run that goes on has its records at the same steps.
    assert.deepEqual(await run(13), [12, 13]);
  },
);

gpuTest("Trainer.run() names the image that has a number that is not finite", async (device) => {
  const images = makeImages();
  using parts = makeTrainer(device, {
    dataset: {
      size: images.size,
      labels: images.labels,
      read: (indices) => {
        const values = images.read(indices), at = indices.indexOf(11);
        if (at >= 0) values[at * 3 * 64 + 5] = NaN;
        return values;
      },
    },
  });
  await assert.rejects(
    losses(parts.trainer, 3),
    /Cannot train on image 11: its values hold NaN, expected finite numbers/,
  );
});

gpuTest("Trainer.run() takes a step back whose data could not be read", async (device) => {
  const images = makeImages();
  using whole = makeTrainer(device, { gradientAccumulation: 2 });
  const expected = await losses(whole.trainer, 4);
  let reads = 0;
  using parts = makeTrainer(device, {
    gradientAccumulation: 2,
    dataset: {
      size: images.size,
      labels: images.labels,
      read: (indices) => {
        // The second part of the second step.
        if (++reads === 4) throw new Error("disk on holiday");
        return images.read(indices);
      },
    },
  });
  const found: number[] = [];
  const run = async () => {
    for await (const { loss } of parts.trainer.run({ steps: 4, logEvery: 1 })) found.push(loss);
  };
  await assert.rejects(run, /disk on holiday/);
  await run();
  assert.deepEqual(found, expected);
  assert.deepEqual(await weights(parts.model), await weights(whole.model));
});

gpuTest("Trainer.run() records the steps before one whose data cannot be read", async (device) => {
  const images = makeImages(), { size, labels } = images;
  const read = (indices: Uint32Array) => {
    if (++reads === 4) throw new Error("disk on holiday");
    return images.read(indices);
  };
  let reads = 0;
  using parts = makeTrainer(device, { dataset: { size, labels, read } });
  const steps: number[] = [];
  const run = async () => {
    for await (const { step } of parts.trainer.run({ steps: 9, logEvery: 100 })) steps.push(step);
  };
  await assert.rejects(run, /disk on holiday/);
  assert.deepEqual(steps, [3]);
  // A loss that is not finite tells more than the data do.
  const bias = parts.model.parameters.get("final_layer.linear.bias");
  bias.write(new Float32Array(bias.elements).fill(NaN));
  reads = 2;
  await assert.rejects(run, { name: "NonFiniteLossError" });
  assert.deepEqual(steps, [3]);
});

gpuTest(
  "Trainer.run() reads the next batch while the GPU works, and none past the end",
  async (device) => {
    const images = makeImages();
    using whole = makeTrainer(device, { flip: true, gradientAccumulation: 2 });
    const expected = await losses(whole.trainer, 6);
    let begun = 0, ended = 0;
    const dataset = {
      ...{ size: images.size, labels: images.labels },
      read: async (indices: Uint32Array) => {
        begun++;
        await new Promise((resolve) => setTimeout(resolve, 1));
        ended++;
        return images.read(indices);
      },
    };
    using parts = makeTrainer(device, { flip: true, gradientAccumulation: 2, dataset });
    const { trainer, model } = parts, { settle } = device, waits: number[][] = [];
    device.settle = async () => {
      waits.push([trainer.step, begun]);
      await settle.call(device);
    };
    const found: number[] = [];
    try {
      // A run that is left waits for what it has begun to read; the next one goes on.
      for (const [steps, last] of [[6, 3], [6, 6]] as const) {
        for await (const { step, loss } of trainer.run({ steps, logEvery: 1, syncEvery: 1 })) {
          found.push(loss);
          if (step === last) break;
        }
        assert.equal(begun, ended);
      }
    } finally {
      device.settle = settle;
    }
    assert.deepEqual(found, expected);
    assert.deepEqual(await weights(model), await weights(whole.model));
    // Two parts a step, and the first of the next one; once more where the run was left.
    assert.deepEqual(waits, [[1, 3], [2, 5], [3, 7], [4, 10], [5, 12]]);
    assert.equal(begun, 13);
  },
);

gpuTest("Trainer counts and saves no step whose commands failed", async (device) => {
  const directory = await Deno.makeTempDir({ prefix: "gmem_failed_" });
  using out = device.empty([1]);
  const all = makeImages();
  let fail: ((at: "read" | "gather") => unknown) | undefined;
  const dataset = {
    size: all.size,
    labels: all.labels,
    async read(indices: Uint32Array) {
      // The second part, while the first is recorded.
      await fail?.("read");
      return all.read(indices);
    },
  };
  using bank = makeBank(device);
  const gather = bank.gather.bind(bank);
  bank.gather = (indices) => {
    fail?.("gather");
    return gather(indices);
  };
  try {
    using parts = makeTrainer(device, { dataset, bank, gradientAccumulation: 2 });
    const { trainer } = parts;
    await losses(trainer, 2);
    const path = await saveCheckpoint(directory, trainer);
    const expected = await losses(trainer, 4);
    const refused = /^Error: Cannot use what was trained: commands after step 2 failed on the GPU/;
    const failing = () => device.dispatch(BROKEN, { tensors: { out }, workgroups: [1] });
    const told = () => {
      failing();
      return assert.rejects(out.read(), { name: "ShaderCompilationError" });
    };
    const ways = [
      ["read", failing, /^ShaderCompilationError/],
      // Another wait, which ended before the trainer's own, is told of the error.
      ["read", told, refused],
      // The optimiser's commands are lost as well, which would zero the gradients of the first part.
      ["gather", failing, /^ShaderCompilationError/],
    ] as const;
    for (const [when, how, error] of ways) {
      loadCheckpoint(path, trainer);
      let calls = 0;
      fail = (at) => at === when && ++calls === 2 ? how() : undefined;
      await assert.rejects(losses(trainer, 4), error);
      fail = undefined;
      assert.equal(trainer.step, 2);
      await assert.rejects(losses(trainer, 4), refused);
      await assert.rejects(saveCheckpoint(directory, trainer), refused);
    }
    assert.deepEqual(listCheckpoints(directory).map(({ step }) => step), [2]);
    loadCheckpoint(path, trainer);
    assert.deepEqual(await losses(trainer, 4), expected);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest("Trainer does not go on from a checkpoint that was read in part", async (device) => {
  const directory = await Deno.makeTempDir({ prefix: "gmem_damaged_" });
  try {
    using parts = makeTrainer(device);
    const { trainer } = parts;
    const good = await saveCheckpoint(directory, parts.trainer);
    await losses(trainer, 2);
    const damaged = await saveCheckpoint(directory, parts.trainer),
      expected = await losses(trainer, 4);
    const moments = `${damaged}/optimizer.safetensors`;
    Deno.truncateSync(moments, Deno.statSync(moments).size - 100);
    assert.throws(() => loadCheckpoint(damaged, parts.trainer), { name: "CheckpointError" });
    const refused = /^Error: Cannot use what was trained: .* or a checkpoint was read in part, /;
    await assert.rejects(losses(trainer, 6), refused);
    await assert.rejects(saveCheckpoint(directory, parts.trainer), refused);
    loadCheckpoint(good, parts.trainer);
    assert.deepEqual((await losses(trainer, 4)).slice(2), expected);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test({
  name: "saveCheckpoint() does not hide that the GPU was lost",
  ignore: NO_ADAPTER,
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "gmem_lost_" });
    const device = await openDevice();
    try {
      using parts = makeTrainer(device);
      await losses(parts.trainer, 1);
      device.gpu.destroy();
      await device.gpu.lost;
      await assert.rejects(saveCheckpoint(directory, parts.trainer), { name: "DeviceLostError" });
      assert.deepEqual([...Deno.readDirSync(directory)], []);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

gpuTest("a trainer that was disposed of neither trains nor is saved", async (device) => {
  using parts = makeTrainer(device);
  parts.trainer[Symbol.dispose]();
  const refused = {
    name: "ReferenceError",
    message: "Cannot use the trainer: it was disposed of",
  };
  await assert.rejects(losses(parts.trainer, 1), refused);
  await assert.rejects(saveCheckpoint("never_written", parts.trainer), refused);
  using others = makeTrainer(device);
  const run = others.trainer.run({ steps: 2, logEvery: 1 });
  await run.next();
  others.trainer[Symbol.dispose]();
  await assert.rejects(run.next(), refused);
});

gpuTest("a trainer that cannot be made gives back what it took", async (device) => {
  const own = new Device(device.gpu, { profile: device.profile });
  {
    using parts = makeTrainer(own, { labels: true });
    const { dataset, model } = parts, before = own.pool.liveBytes;
    // Two moments, averages, and six inputs.
    for (let room = 0; room <= 9; room++) {
      let made = 0;
      own.empty = (...of) => {
        if (made++ === room) throw new RangeError("no room");
        return Device.prototype.empty.apply(own, of);
      };
      const make = () => new Trainer({ model, dataset, batchSize: 8 });
      if (room < 9) assert.throws(make, { message: "no room" });
      else make()[Symbol.dispose]();
      assert.equal(own.pool.liveBytes, before, `with room for ${room}`);
    }
  }
  await own.settle();
  assert.equal(own.pool.liveBytes, 0);
});

gpuTest("Trainer.run() refuses a second run beside one that goes on", async (device) => {
  using parts = makeTrainer(device);
  for await (const _ of parts.trainer.run({ steps: 2, logEvery: 1 })) {
    await assert.rejects(losses(parts.trainer, 2), {
      name: "Error",
      message: "Cannot train: another run of this trainer goes on, expected one at a time",
    });
    break;
  }
  // One that was left is over; its log may be as long as it likes.
  for await (const { step } of parts.trainer.run({ steps: 3, logEvery: Infinity })) {
    assert.equal(step, 3);
  }
});

gpuTest("saveCheckpoint() refuses weights that changed while it wrote", async (device) => {
  const directory = await Deno.makeTempDir();
  try {
    using parts = makeTrainer(device);
    await losses(parts.trainer, 1);
    const saving = saveCheckpoint(directory, parts.trainer, { config: {} });
    await Promise.all([
      assert.rejects(saving, {
        name: "CheckpointError",
        message: /the trainer went on to step 2 meanwhile, expected it to wait/,
      }),
      losses(parts.trainer, 2),
    ]);
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "saveCheckpoint() refuses what no checkpoint loads, and leaves what was there",
  async (device) => {
    const directory = await Deno.makeTempDir();
    try {
      using parts = makeTrainer(device);
      const path = await saveCheckpoint(directory, parts.trainer, { config: {} });
      const before = await Deno.readFile(`${path}/model.safetensors`);
      const { parameters } = parts.model, { optimizer } = parts.trainer;
      const name = "final_layer.linear.bias", bias = parameters.get(name);
      const moments = new Map(optimizer.stateEntries()),
        averages = new Map(optimizer.averageEntries());
      const moment = [...moments.keys()].find((key) => key.includes(name))!;
      const places = [
        ["model", name, bias],
        ["ema", name, averages.get(name)!],
        ["optimizer", moment, moments.get(moment)!],
      ] as const;
      for (const [file, key, tensor] of places) {
        const good = await tensor.read();
        tensor.write(good.map((value, i) => i === 3 ? Infinity : value));
        await assert.rejects(saveCheckpoint(directory, parts.trainer, { config: {} }), {
          name: "CheckpointError",
          message: new RegExp(
            `^Cannot write .*${file}.safetensors: ${key} holds Infinity at 3, expected finite numbers$`,
          ),
        });
        tensor.write(good);
      }
      assert.deepEqual([...Deno.readDirSync(directory)].map((each) => each.name), ["step_0000000"]);
      assert.deepEqual(await Deno.readFile(`${path}/model.safetensors`), before);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

/** Makes the last layer, and with it all gradients, thirty times as large. */
async function enlargeOutput({ parameters }: SiT): Promise<void> {
  const weight = parameters.get("final_layer.linear.weight");
  weight.write((await weight.read()).map((value) => 30 * value));
}

halvesTest(
  "Trainer in f16 follows f32 over thirty steps, and repeats bit for bit",
  async (device) => {
    const runs: number[][] = [];
    for (const precision of ["f32", "f16", "f16"] as const) {
      // Blocks that start at work: zero gates would hide them from the first steps.
      using parts = makeTrainer(device, { precision, zeroInit: false });
      runs.push(await losses(parts.trainer, 30));
    }
    const [single, half, again] = runs as [number[], number[], number[]];
    assert.deepEqual(half, again);
    assert.notDeepEqual(half, single);
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value) / values.length;
    assert.ok(mean(half.slice(20)) < 0.7 * half[0]!, `${half}`);
    // An operand is rounded by 2^-11 at most. Sums over roundings of random sign change the loss by
    // far less, and small weight changes from the same start do not run away: 1e-5 was measured.
    for (const [i, loss] of half.entries()) {
      assert.ok(Math.abs(loss / single[i]! - 1) < 2 ** -11, `step ${i + 1}: ${loss}, ${single[i]}`);
    }
  },
);

halvesTest(
  "Trainer in f16 allocates nothing after the first step",
  async (device) => {
    using parts = makeTrainer(device, { precision: "f16", gradientAccumulation: 2 });
    await losses(parts.trainer, 1);
    const { created } = device.pool;
    await losses(parts.trainer, 4);
    assert.equal(device.pool.created, created);
  },
);

halvesTest("Trainer in f16 gives the same step with and without recomputation", async (device) => {
  using plain = makeTrainer(device, { precision: "f16", zeroInit: false });
  using recomputed = makeTrainer(device, { precision: "f16", zeroInit: false, recompute: true });
  assert.deepEqual(await losses(plain.trainer, 3), await losses(recomputed.trainer, 3));
});

halvesTest(
  "Trainer in f16 skips a step that overflows and halves the scale, then goes on",
  async (device) => {
    using parts = makeTrainer(device, { precision: "f16", zeroInit: false, lossScaleInterval: 3 });
    const { trainer, model } = parts;
    await enlargeOutput(model);
    trainer.loadLossScale((key) => Float32Array.of(key.endsWith("scale") ? 2 ** 24 : 0));
    const before = await weights(model);
    const records: TrainRecord[] = [];
    for await (const record of trainer.run({ steps: 16, logEvery: 1 })) {
      records.push(record);
      if (record.step === 1) assert.deepEqual(await weights(model), before);
    }
    let scale = 2 ** 24, good = 0;
    for (const { skipped, lossScale, loss, gradientNorm } of records) {
      good = skipped ? 0 : good + 1;
      if (skipped) scale /= 2;
      else if (good === 3) [scale, good] = [Math.min(2 * scale, 2 ** 24), 0];
      assert.equal(lossScale, scale);
      assert.ok(Number.isFinite(loss) && Number.isFinite(gradientNorm));
    }
    assert.equal(records[0]!.skipped, 1);
    const taken = records.filter(({ skipped }) => skipped === 0);
    assert.ok(taken.length >= 3, `scales ${records.map(({ lossScale }) => lossScale)}`);
    // The norm is that of the loss itself: of the size that the same model has in f32.
    using single = makeTrainer(device, { zeroInit: false });
    await enlargeOutput(single.model);
    for await (const { gradientNorm } of single.trainer.run({ steps: 1 })) {
      assert.ok(Math.abs(taken[0]!.gradientNorm / gradientNorm - 1) < 0.5);
    }
  },
);

halvesTest("Trainer.run() means over the steps since the last record", async (device) => {
  const options = { precision: "f16", zeroInit: false, lossScaleInterval: 1 } as const;
  const recordsOf = async (logEvery: number) => {
    using parts = makeTrainer(device, options);
    // The scale that doubles after each step is too large for every other one.
    await enlargeOutput(parts.model);
    return await Array.fromAsync(parts.trainer.run({ steps: 8, logEvery }));
  };
  const single = await recordsOf(1), records = await recordsOf(4);
  assert.deepEqual(records.map(({ step }) => step), [4, 8]);
  for (const [i, { loss, gradientNorm, skipped, lossScale }] of records.entries()) {
    const steps = single.slice(4 * i, 4 * i + 4);
    const sum = (of: (record: TrainRecord) => number) =>
      steps.reduce((sum, record) => sum + of(record), 0);
    // Sums of four in float64; a skipped step has a norm of 0.
    assert.ok(Math.abs(loss - sum(({ loss }) => loss) / 4) < 1e-12 * loss);
    assert.equal(skipped, sum(({ skipped }) => skipped));
    const norm = sum(({ gradientNorm }) => gradientNorm) / (4 - skipped);
    assert.ok(Math.abs(gradientNorm - norm) < 1e-12 * norm, `${gradientNorm} and ${norm}`);
    assert.equal(lossScale, steps[3]!.lossScale);
  }
  assert.ok(records[0]!.skipped > 0 && records[0]!.skipped < 4);
  assert.notEqual(records[0]!.lossScale, single[0]!.lossScale);
});

halvesTest(
  "Trainer in f16 goes on from a checkpoint bit for bit, loss scale included",
  async (device) => {
    const options = { precision: "f16", zeroInit: false, lossScaleInterval: 2 } as const;
    using whole = makeTrainer(device, options);
    const expected = await losses(whole.trainer, 6);
    const directory = await Deno.makeTempDir();
    try {
      using first = makeTrainer(device, options);
      await losses(first.trainer, 3);
      const path = await saveCheckpoint(directory, first.trainer, { config: {} });
      using second = makeTrainer(device, options);
      loadCheckpoint(path, second.trainer);
      const state = async ({ trainer }: Parts) =>
        await Promise.all(
          [...trainer.lossScaleEntries()].map(async ([, x]) => (await x.read())[0]),
        );
      assert.deepEqual(await state(second), [2 ** 17, 1]);
      assert.deepEqual(await losses(second.trainer, 6), expected.slice(3));
      assert.deepEqual(await weights(second.model), await weights(whole.model));
      assert.deepEqual(await state(second), await state(whole));
      // A run in f32 reads it too, and what f32 wrote starts f16 with a fresh scale.
      using single = makeTrainer(device, { zeroInit: false });
      loadCheckpoint(path, single.trainer);
      const other = await saveCheckpoint(directory, single.trainer, { config: {} });
      using third = makeTrainer(device, options);
      loadCheckpoint(other, third.trainer);
      assert.deepEqual(await state(third), [2 ** 16, 0]);
      assert.throws(
        () => third.trainer.loadLossScale(() => Float32Array.of(NaN)),
        /^RangeError: Cannot load loss_scale.scale: it is \[NaN\], expected one number from 1/,
      );
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

gpuTest(
  "Trainer.run() refuses numbers of steps that are none, and images of another size",
  async (device) => {
    using parts = makeTrainer(device);
    for (
      const wrong of [
        { steps: NaN },
        { steps: 2.5 },
        { logEvery: 0 },
        { syncEvery: -1 },
        { steps: Infinity, logEvery: Infinity },
      ]
    ) {
      await assert.rejects(parts.trainer.run({ steps: 2, ...wrong }).next(), {
        name: "RangeError",
        message: new RegExp(`^Cannot train: ${Object.keys(wrong)[0]} (is|and) `),
      });
    }
    const { labels } = makeImages(), read = () => new Float32Array(8 * 3 * 16);
    using small = makeTrainer(device, { dataset: { size: SIZE, labels, read } });
    await assert.rejects(losses(small.trainer, 1), {
      name: "TypeError",
      message:
        "Cannot train: the data gave 384 values for images [8, 3, 8, 8], expected 1536, as many " +
        "as the model's states have",
    });
  },
);

gpuTest("Trainer takes the default for an option that is undefined", async (device) => {
  const defaults: Partial<TrainerOptions> = {
    interpolant: linearInterpolant,
    prediction: "velocity",
    weighting: "none",
    timeDistribution: "uniform",
    precision: "f32",
    ...{ gradientAccumulation: 1, seed: 0, cosineLoss: false, flip: false, classDropout: 0.1 },
    ...{ learningRate: 1e-4, warmupSteps: 0, clip: 1, emaDecay: 0.9999, emaWarmup: false },
    ...{ recompute: false, lossScaleInterval: 2000 },
  };
  // As a caller may write it whose compiler does not tell undefined from what is left out.
  const undefineds: Partial<TrainerOptions> = Object.fromEntries(
    Object.keys(defaults).map((name) => [name, undefined]),
  );
  const trained: Float32Array[] = [];
  for (const options of [defaults, undefineds]) {
    using parts = makeTrainer(device, { labels: true, ...options });
    await losses(parts.trainer, 2);
    trained.push(await weights(parts.model), await parts.trainer.optimizer.averages[0]!.read());
  }
  assert.notDeepEqual(trained[0], trained[1]);
  assert.deepEqual(trained.slice(2), trained.slice(0, 2));
});

gpuTest("Trainer refuses parts that do not fit", (device) => {
  using fitting = makeTrainer(device);
  const { model } = fitting, dataset = makeImages();
  assert.throws(() => new Trainer({ model, dataset }), /expected a bank/);
  using labelled = new ParameterStore(device, { seed: 0 });
  const condition = { classes: 3, nullClass: false };
  const classes = new SiT(labelled, { ...model.options, condition });
  assert.throws(() => new Trainer({ model: classes, dataset, batchSize: 8 }), {
    name: "RangeError",
    message: /no null class for labels to be dropped to, expected classDropout 0 in place of 0\.1$/,
  });
  new Trainer({ model: classes, dataset, batchSize: 8, classDropout: 0 })[Symbol.dispose]();
  using bank = makeBank(device);
  assert.throws(
    () => new Trainer({ model, dataset, bank, batchSize: 8, gradientAccumulation: 3 }),
    /gradientAccumulation is 3, expected a divisor of batchSize 8/,
  );
  const settings = [
    ...[{ batchSize: 0 }, { batchSize: 2.5 }, { gradientAccumulation: 0 }],
    ...[{ warmupSteps: -1 }, { classDropout: 2 }, { classDropout: NaN }],
    ...[{ learningRate: -1 }, { learningRate: NaN }, { learningRate: Infinity }],
  ];
  for (const wrong of settings) {
    assert.throws(() => new Trainer({ model, dataset, bank, ...wrong }), {
      name: "RangeError",
      message: new RegExp(`^Cannot train: ${Object.keys(wrong)[0]} (is|and) `),
    });
  }
  const misspelt: [wrong: unknown, problem: string][] = [
    [
      { prediction: "nosie" },
      "train: prediction is nosie, did you mean noise? Expected one of velocity",
    ],
    [{ weighting: "loss" }, "train: weighting is loss, expected one of none, velocity, likelihood"],
    [{ timeDistribution: "normal" }, "train: timeDistribution is normal, expected one of uniform"],
    [
      { mask: { kind: "zeros", ratio: 0.4 } },
      "train: mask.kind is zeros, did you mean zero? Expected one of zero, zero-plain, random, noise, whole",
    ],
    [
      { precision: "fp16" },
      "compute: precision is fp16, did you mean f16? Expected one of f32, f16",
    ],
  ];
  for (const [wrong, problem] of misspelt) {
    assert.throws(
      () => new Trainer({ model, dataset, bank, ...wrong as Partial<TrainerOptions> }),
      {
        name: "RangeError",
        message: new RegExp(`^Cannot ${problem.replace("?", "\\?")}`),
      },
    );
  }
  const { size } = dataset, read = () => new Float32Array();
  const labels = Uint32Array.from(dataset.labels);
  labels[5] = 3;
  const withoutNull = { model: classes, classDropout: 0 };
  const empty = { size: 0, labels: new Uint32Array(), read };
  assert.throws(() => new Trainer({ ...withoutNull, dataset: empty }), {
    name: "RangeError",
    message: "Cannot train: the data have 0 images, expected one at least",
  });
  assert.throws(() => new Trainer({ ...withoutNull, dataset: { size, labels, read } }), {
    name: "RangeError",
    message: "Cannot train: image 5 has label 3, expected one of the model's 3 classes",
  });
  for (const given of [labels.subarray(1), undefined]) {
    assert.throws(() => new Trainer({ ...withoutNull, dataset: { size, labels: given, read } }), {
      name: "TypeError",
      message: `Cannot train: ${given?.length ?? "no"} labels, expected one for each of ${SIZE}`,
    });
  }

  assert.throws(() => new Trainer({ ...withoutNull, dataset, bank }), {
    name: "TypeError",
    message: "Cannot train: labels guide the model, expected no bank",
  });
  const mask = { kind: "whole", ratio: 0.1 } as const;
  assert.throws(() => new Trainer({ ...withoutNull, dataset, mask }), {
    name: "TypeError",
    message: "Cannot train: labels guide the model, expected no mask",
  });
  assert.throws(() => new Trainer({ model, dataset, bank, classDropout: 0.1 }), {
    name: "TypeError",
    message:
      "Cannot train: snippets guide the model, expected no classDropout, but a mask of kind whole",
  });
  using short = FullBank.from(device, { snippets: Float32Array.of(1, 0, 0, 1), dim: 2 });
  assert.throws(() => new Trainer({ model, dataset, bank: short }), {
    name: "TypeError",
    message:
      `Cannot train: the bank's snippets have 2 components, expected ${DIM} as the model takes`,
  });
  const one = Float32Array.from({ length: DIM }, (_, i) => Number(i === 0));
  using few = FullBank.from(device, { snippets: one, dim: DIM });
  assert.throws(() => new Trainer({ model, dataset, bank: few }), {
    name: "TypeError",
    message: `Cannot train: the bank has 1 snippet for ${SIZE} images, expected one each`,
  });
  class Huge extends SiT {
    override largestActivationBytes(): number {
      return 2 ** 50;
    }
  }
  using own = new ParameterStore(device, { seed: 0 });
  const huge = new Huge(own, model.options);
  assert.throws(() => new Trainer({ model: huge, dataset, bank }), {
    name: "RangeError",
    message:
      /^Cannot train: a tensor of one image takes 1125899906842624 bytes, the GPU binds \d+ at most, /,
  });
});

gpuTest("Trainer and draw() refuse at once what lies on another device", async (device) => {
  using fitting = makeTrainer(device);
  const { model } = fitting, dataset = makeImages();
  using other = await openDevice();
  using bank = makeBank(other);
  assert.throws(() => new Trainer({ model, dataset, bank, batchSize: 8 }), {
    name: "TypeError",
    message: /lies on another device/,
  });
  using condition = bank.gather([0]);
  assert.throws(() => draw({ model, condition, config: resolveConfig({}).sample }), {
    name: "TypeError",
    message: "Cannot draw: the condition lies on another device, expected tensors of one",
  });
});

Deno.test("DataOrder.take() shows every image once an epoch, whatever the batch size", () => {
  const order = new DataOrder({ size: 10, seed: 1 });
  const whole = order.take(0, 20);
  for (const epoch of [whole.subarray(0, 10), whole.subarray(10)]) {
    assert.deepEqual([...epoch].sort((a, b) => a - b), [...Array(10).keys()]);
  }
  assert.notDeepEqual(whole.subarray(0, 10), whole.subarray(10));
  const again = new DataOrder({ size: 10, seed: 1 });
  const parts = [...again.take(0, 7), ...again.take(7, 7), ...again.take(14, 6)];
  assert.deepEqual(parts, [...whole]);
});
