/** Training on latents, with snippets of their CLS tokens and the alignment loss. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { loadBank } from "../../bank/load.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { toBytes } from "../../bank/pixels.ts";
import { indicesOfClass, indicesOfName } from "../../bank/retrieve.ts";
import { readRunLog } from "../../cli/run_log.ts";
import { AdmBatchWriter, openAdmBatch } from "../../evaluate/adm_batch.ts";
import { readPixels } from "../../evaluate/image_stream.ts";
import type { EvaluationReport } from "../../evaluate/report.ts";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { SiT } from "../../model/sit.ts";
import { saveCheckpoint } from "../../train/checkpoint.ts";
import { type Config, resolveConfig } from "../../train/config.ts";
import { writeStatistics } from "../../train/datasets/latent_scaling.ts";
import type { LatentShards } from "../../train/datasets/latent_shards.ts";
import { tileImages } from "../../train/datasets/picture.ts";
import { decodePng } from "../../train/datasets/png.ts";
import type { TrainRecord } from "../../train/history.ts";
import { loadData } from "../../train/load_data.ts";
import { OnnxDecoder } from "../../train/onnx_decoder.ts";
import { buildRun, latentScaling, type Run } from "../../train/run.ts";
import { SampleDistance } from "../../train/sample_distance.ts";
import { Trainer, type TrainerOptions } from "../../train/trainer.ts";
import { openViewer } from "../../train/viewer.ts";
import { gpuTest, halvesTest } from "../_gpu.ts";
import { runTask } from "../_tasks.ts";
import { CHANNELS, DIM, rowsOf, SIDE, TOKEN_WIDTH, TOKENS, writeShards } from "./_shards.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_latent_runs_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

const DECODER = fileURLToPath(new URL("../fixtures/tiny_decoder.onnx", import.meta.url));
const INCEPTION = fileURLToPath(new URL("../fixtures/tiny_inception.onnx", import.meta.url));

const SIZE = 24;
const SHARDS = join(TEMPORARY, "shards");
Deno.mkdirSync(SHARDS);
const WRITTEN = writeShards(SHARDS, { counts: [10, 3, 11], dtype: "F16" });

/** The settings of a network and a run of a few thousand parameters on the shards. */
const SETTINGS = {
  data: { kind: "latents", path: SHARDS, imageSize: SIDE, channels: CHANNELS, flip: true },
  model: {
    ...{ patchSize: 2, width: 16, depth: 2, heads: 2, zeroInit: false },
    repa: { depth: 1, projectorWidth: 12, targetWidth: TOKEN_WIDTH },
  },
  bank: { mask: { kind: "zero", ratio: 0.25 } },
  train: { batchSize: 8, steps: 40, seed: 3 },
  optimizer: { learningRate: 5e-3 },
  interpolant: {},
};

type Settings = {
  [Section in "data" | "model" | "bank" | "train" | "interpolant"]?: Record<string, unknown>;
};

function configOf(changes: Settings = {}): Config {
  const sections = Object.entries(SETTINGS).map(([name, section]) => [
    name,
    { ...section, ...changes[name as keyof Settings] },
  ]);
  return resolveConfig(Object.fromEntries(sections));
}

interface OpenRun extends Run {
  readonly notes: readonly string[];
}

/** A run on the shards in a folder of its own. */
async function openRun(
  device: Device,
  options: { directory: string; config?: Config; checkpoint?: string },
): Promise<OpenRun> {
  const { config = configOf(), checkpoint, directory: name } = options;
  const directory = join(TEMPORARY, name), notes: string[] = [];
  Deno.mkdirSync(directory, { recursive: true });
  const note = (line: string) => void notes.push(line);
  const data = await loadData(config.data, { seed: config.train.seed, note });
  try {
    const run = await buildRun({
      device,
      config,
      ...data,
      runDirectory: directory,
      checkpoint,
      note,
    });
    return {
      ...run,
      notes,
      [Symbol.dispose]() {
        run[Symbol.dispose]();
        data[Symbol.dispose]();
      },
    };
  } catch (error) {
    data[Symbol.dispose]();
    throw error;
  }
}

async function train(run: Run, steps: number): Promise<TrainRecord[]> {
  return await Array.fromAsync(run.trainer.run({ steps, logEvery: 1 }));
}

function losses(records: readonly TrainRecord[]): [number, number | undefined][] {
  return records.map(({ loss, alignmentLoss }) => [loss, alignmentLoss]);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value) / values.length;
}

gpuTest(
  "buildRun() trains on latents with snippets of CLS tokens and aligned tokens",
  async (device) => {
    using run = await openRun(device, { directory: "whole" });
    assert.deepEqual([run.bank?.size, run.bank?.dim, run.encoder], [SIZE, DIM, undefined]);
    const cls = Float32Array.from(rowsOf(WRITTEN.get("cls_tokens")!, [4], SIZE));
    assert.deepEqual(await run.bank!.snippet(4), normalizeSnippets(cls, { dim: DIM }));
    assert.deepEqual([...run.bank!.labels!.subarray(0, 4)], [0, 1, 2, 0]);
    assert.equal(run.bank!.encoder?.kind, "features");
    assert.match(run.notes[0]!, /^latents statistics measured, in .*latents_stats\.safetensors$/);
    const records = await train(run, 40);
    const part = (from: number, to: number, of: "loss" | "alignmentLoss") =>
      mean(records.slice(from, to).map((record) => record[of]!));
    assert.ok(part(30, 40, "loss") < 0.8 * part(0, 5, "loss"), `${losses(records)}`);
    assert.ok(part(30, 40, "alignmentLoss") < part(0, 5, "alignmentLoss") - 0.1);
    assert.ok(records.every(({ alignmentLoss }) => Math.abs(alignmentLoss!) <= 1));
    const config = configOf();
    const unmeasured = { run, config, heldOut: undefined, viewer: undefined };
    assert.equal(await SampleDistance.prepare(unmeasured), undefined);
  },
);

gpuTest(
  "SampleDistance.measure() compares decoded samples with decoded latents",
  async (device) => {
    const config = configOf({
      data: { decoder: DECODER, heldOut: 8 },
      bank: { resolution: 4 },
    });
    using run = await openRun(device, { directory: "measured", config });
    using data = await loadData(config.data, { seed: config.train.seed, note: () => {} });
    const heldOut = data.heldOut as LatentShards;
    const directory = join(TEMPORARY, "measured");
    using viewer = (await openViewer(config.data, directory))!;
    const scaled = heldOut.scaled(latentScaling(config.data, directory));
    const decoded: number[][] = [];
    const distance = (await SampleDistance.prepare({
      ...{ run, config, viewer, heldOut: scaled },
      onPrepared: (...counts) => decoded.push(counts),
    }))!;
    assert.deepEqual(decoded, [[16, 16]]);
    const before = await distance.measure();
    assert.deepEqual(await distance.measure(), before);
    await train(run, 2);
    const after = await distance.measure();
    assert.ok(after.frechet > 0 && after.frechet !== before.frechet);
    assert.ok(after.frechetHeldOut! > 0 && after.frechetHeldOut === before.frechetHeldOut);
    // The training latents themselves, held out, are as near as numbers allow.
    const same = await SampleDistance.prepare({
      run,
      config,
      viewer,
      heldOut: run.dataset as LatentShards,
    });
    const { frechetHeldOut } = await same!.measure();
    assert.ok(frechetHeldOut! < 1e-6, `${frechetHeldOut}`);
  },
);

gpuTest("a run on latents goes on from its checkpoint bit for bit", async (device) => {
  using whole = await openRun(device, { directory: "uninterrupted" });
  const expected = losses(await train(whole, 6));
  const shards = join(TEMPORARY, "changing");
  Deno.mkdirSync(shards);
  writeShards(shards, { counts: [10, 3, 11], dtype: "F16" });
  const config = configOf({ data: { path: shards } });
  let checkpoint: string;
  {
    using first = await openRun(device, { directory: "resumed", config });
    assert.deepEqual(losses(await train(first, 3)), expected.slice(0, 3));
    checkpoint = await saveCheckpoint(join(TEMPORARY, "resumed"), first.trainer, {
      ...first,
      config,
    });
  }
  using weights = SafetensorsFile.open(join(checkpoint, "model.safetensors"));
  assert.deepEqual(
    weights.keys().filter((name) => name.startsWith("proj")).sort(),
    [0, 2, 4].flatMap((layer) => [`projectors.0.${layer}.bias`, `projectors.0.${layer}.weight`]),
  );
  // The run keeps the statistics that it began with.
  writeStatistics(join(shards, "latents_stats.safetensors"), {
    mean: Float32Array.of(100, 100),
    std: Float32Array.of(1, 1),
  });
  // A new run does not, though another one left some in its folder.
  for (let i = 0; i < 2; i++) {
    using fresh = await openRun(device, { directory: "fresh", config });
    assert.match(
      fresh.notes[0]!,
      /^latents statistics of .*changing\/latents_stats\.safetensors, in/,
    );
  }
  using second = await openRun(device, { directory: "resumed", config, checkpoint });
  assert.deepEqual(losses(await train(second, 6)), expected.slice(3));
  for (const i of [0, 1]) {
    const values = ({ model, trainer }: Run) =>
      [model.parameters.values, trainer.optimizer.averages][i]![0]!.read();
    assert.deepEqual(await values(second), await values(whole));
  }
});

gpuTest("a run on latents allocates nothing after the first step", async (device) => {
  for (const precision of device.profile.f16 ? ["f32", "f16"] as const : ["f32"] as const) {
    const config = configOf({ train: { precision, gradientAccumulation: 2 } });
    using run = await openRun(device, { directory: `pool_${precision}`, config });
    await train(run, 2);
    const { created } = device.pool;
    await train(run, 6);
    assert.equal(device.pool.created, created);
  }
});

halvesTest(
  "the alignment loss is the same in parts and recomputed, and near in f16",
  async (device) => {
    let dispatches = 0;
    const run = async (train_: Record<string, unknown>) => {
      using opened = await openRun(device, {
        directory: "same",
        config: configOf({ train: train_ }),
      });
      const before = device.recorder.dispatches;
      const records = await train(opened, 3);
      dispatches = device.recorder.dispatches - before;
      return losses(records) as [number, number][];
    };
    const plain = await run({}), once = dispatches;
    assert.deepEqual(await run({ recompute: true }), plain);
    assert.ok(dispatches > once, "the blocks' kernels run again");
    // Sums of other order, and operands rounded by 2^-11 at most, which three steps of AdamW spread.
    for (
      const [changes, bound] of [[{ gradientAccumulation: 4 }, 1e-4], [
        { precision: "f16" },
        2e-3,
      ]] as const
    ) {
      const other = await run(changes);
      for (const [i, [loss, alignment]] of plain.entries()) {
        assert.ok(Math.abs(other[i]![0] - loss) < bound * Math.abs(loss), `${plain} and ${other}`);
        assert.ok(Math.abs(other[i]![1] - alignment) < bound, `${plain} and ${other}`);
      }
    }
    const recomputed = await run({ precision: "f16", recompute: true });
    assert.deepEqual(recomputed, await run({ precision: "f16" }));
  },
);

gpuTest(
  "the weight of the alignment loss adds to the total, and trains the projector",
  async (device) => {
    // All that the denoising loss may take into account.
    const interpolant = { prediction: "noise", weighting: "velocity", cosineLoss: true };
    const open = (directory: string, repa: Record<string, unknown> | null) =>
      openRun(device, { directory, config: configOf({ model: { repa }, interpolant }) });
    const first = async (weight: number, directory: string) => {
      using run = await open(directory, { ...SETTINGS.model.repa, weight });
      const projector = run.model.parameters.get("projectors.0.4.weight");
      const before = await projector.read();
      const [record] = await train(run, 1);
      const moved = (await projector.read()).some((value, i) => value !== before[i]);
      return { ...record!, moved };
    };
    const none = await first(0, "weight_0"), some = await first(0.5, "weight_half");
    assert.equal(some.alignmentLoss, none.alignmentLoss);
    using run = await open("without", null);
    const [{ loss }] = await train(run, 1) as [TrainRecord];
    assert.equal(none.loss, loss);
    // Two roundings of the sum.
    assert.ok(Math.abs(some.loss - none.loss - 0.5 * none.alignmentLoss!) < 2 ** -22 * some.loss);
    assert.deepEqual([none.moved, some.moved], [false, true]);
  },
);

gpuTest(
  "latents train with labels, held-out parts, no statistics and another bank",
  async (device) => {
    const label = configOf({
      data: { heldOut: 4, latentMultiplier: 0.5 },
      model: { conditioning: "label", repa: null },
    });
    {
      using run = await openRun(device, { directory: "labels", config: label });
      assert.equal(run.bank, undefined);
      const { condition } = run.model.options;
      assert.deepEqual([condition, run.dataset.size], [{ classes: 3, nullClass: true }, 20]);
      assert.ok((await train(run, 2)).every(({ alignmentLoss }) => alignmentLoss === undefined));
      using labels = run.conditionOf(Uint32Array.of(0, 5));
      assert.deepEqual([...await labels.readUint32()], [
        run.dataset.labels[0],
        run.dataset.labels[5],
      ]);
    }
    const plain = configOf({ data: { latentNorm: false, latentMultiplier: 0.18215 } });
    {
      using run = await openRun(device, { directory: "plain", config: plain });
      assert.ok(!run.notes.some((line) => line.startsWith("latents")));
      const stored = rowsOf(WRITTEN.get("latents")!, [3], SIZE);
      assert.deepEqual(
        [...await run.dataset.read(Uint32Array.of(3))],
        stored.map((value) => Math.fround(value * 0.18215)),
      );
    }
    const path = join(TEMPORARY, "plain", "bank.safetensors");
    using bank = loadBank(device, path);
    const given = configOf({ bank: { path } });
    using run = await openRun(device, { directory: "given", config: given });
    assert.deepEqual(await run.bank!.snippet(9), await bank.snippet(9));
    const heldOut = configOf({ bank: { path }, data: { heldOut: 4 } });
    await assert.rejects(
      openRun(device, { directory: "given", config: heldOut }),
      /it has 24 snippets for 20 images, expected one each: .* same data\.heldOut$/,
    );
  },
);

gpuTest("buildRun() keeps the names of latents and classes with their snippets", async (device) => {
  const path = join(TEMPORARY, "named"), names = ["d", "a", "c", "b"], classes = ["x", "y", "z"];
  Deno.mkdirSync(path);
  const metadata = { names: JSON.stringify(names), classes: JSON.stringify(classes) };
  writeShards(path, { counts: [4], metadata });
  using run = await openRun(device, { directory: "names", config: configOf({ data: { path } }) });
  const { bank } = run;
  assert.deepEqual([bank!.names, bank!.classes, [...bank!.labels!]], [names, classes, [
    0,
    1,
    2,
    0,
  ]]);
  assert.deepEqual([...indicesOfName(bank!, "c"), ...indicesOfClass(bank!, "x")], [2, 0, 3]);
});

gpuTest("buildRun() names the tensor that the shards lack, and what it is for", async (device) => {
  const lacking = async (keys: readonly string[], changes: Settings): Promise<void> => {
    const path = join(TEMPORARY, `lacks_${keys.join("_")}`);
    Deno.mkdirSync(path);
    writeShards(path, {
      counts: [4],
      change: (tensors) => keys.forEach((key) => tensors.delete(key)),
    });
    const { data, ...others } = changes;
    const config = configOf({ ...others, data: { ...data, path } });
    using _ = await openRun(device, { directory: "lacking", config });
  };
  for (
    const [keys, changes, message] of [
      [["latents_flip"], {}, /"latents_flip" .*there is none, expected it for data\.flip$/],
      [["representations", "representations_flip"], {}, /"representations" .* for model\.repa$/],
      [["representations_flip"], {}, /"representations_flip" .* for model\.repa with data\.flip$/],
      [["cls_tokens"], {}, /"cls_tokens" .* for the bank, while bank\.path is null$/],
      [["labels"], { model: { conditioning: "label" } }, /"labels" .* model\.conditioning label$/],
    ] as const
  ) {
    await assert.rejects(lacking(keys, changes), (error: Error) => {
      assert.equal(error.name, "CheckpointError");
      assert.match(error.message, message);
      return true;
    });
  }
  const repa = { ...SETTINGS.model.repa, targetWidth: 10 };
  await assert.rejects(
    openRun(device, { directory: "wide", config: configOf({ model: { repa } }) }),
    {
      name: "SettingError",
      message:
        /have 4 tokens of 6 for a latent, and the network 4 of model\.repa\.targetWidth 10, /,
    },
  );
  await assert.rejects(
    openRun(device, { directory: "fine", config: configOf({ model: { patchSize: 1 } }) }),
    /and the network 16 of model\.repa\.targetWidth 6, for model\.patchSize is 1: expected as many/,
  );
  // Before the bank is made.
  for (const directory of ["wide", "fine"]) {
    assert(!existsSync(join(TEMPORARY, directory, "bank.safetensors")));
  }
});

gpuTest("Trainer mirrors images and tokens by one coin of seed and step", async (device) => {
  const coins = async (options: Partial<TrainerOptions> = {}) => {
    const seen: { images: number[][]; tokens: number[][] } = { images: [], tokens: [] };
    using store = new ParameterStore(device, { seed: 1 });
    const model = new SiT(store, {
      ...{ inputSize: SIDE, channels: CHANNELS, patchSize: 2, width: 16, depth: 1, heads: 2 },
      condition: { classes: 2 },
      projector: { depth: 1, width: 8, targetWidth: TOKEN_WIDTH },
    });
    const dataset: TrainerOptions["dataset"] = {
      size: 16,
      labels: new Uint32Array(16),
      read: () => assert.fail("it has mirror images of its own"),
      readMirrored(indices, mirrored) {
        seen.images.push([...mirrored]);
        return new Float32Array(indices.length * CHANNELS * SIDE ** 2).fill(0.5);
      },
      tokens: {
        ...{ count: TOKENS, width: TOKEN_WIDTH },
        read(indices, mirrored) {
          seen.tokens.push([...mirrored!]);
          return new Float32Array(indices.length * TOKENS * TOKEN_WIDTH).fill(1);
        },
      },
    };
    using trainer = new Trainer({
      ...{ model, dataset, batchSize: 8, flip: true, alignmentWeight: 0.5, seed: 9 },
      ...options,
    });
    for await (const _ of trainer.run({ steps: 4 })) { /* four batches */ }
    assert.deepEqual(seen.images, seen.tokens);
    return seen.images.flat();
  };
  const once = await coins();
  assert.equal(once.length, 32);
  assert.ok(once.includes(0) && once.includes(1));
  assert.notDeepEqual(once.slice(0, 8), once.slice(8, 16));
  assert.deepEqual(await coins({ gradientAccumulation: 4 }), once);
  assert.notDeepEqual(await coins({ seed: 10 }), once);
});

gpuTest("Trainer refuses to align without a projector or without tokens", async (device) => {
  using opened = await openRun(device, { directory: "refused" });
  const { model, bank, dataset } = opened;
  const without = { ...{ size: SIZE, labels: dataset.labels }, read: () => new Float32Array() };
  assert.throws(() => new Trainer({ model, bank, dataset: without, alignmentWeight: 1 }), {
    name: "TypeError",
    message: "Cannot align tokens: those of the data are missing, expected [4, 6] as the model's " +
      "projector has them",
  });
  using store = new ParameterStore(device, { seed: 1 });
  const { projector: _, ...plain } = model.options;
  const bare = new SiT(store, plain);
  assert.throws(() => new Trainer({ model: bare, bank, dataset, alignmentWeight: 1 }), {
    name: "TypeError",
    message: "Cannot align tokens: the model has no projector, expected one",
  });
});

gpuTest("Trainer names the image whose tokens have a number that is not finite", async (device) => {
  using opened = await openRun(device, { directory: "not_finite" });
  const { model, bank, dataset } = opened;
  const tokens: TrainerOptions["dataset"]["tokens"] = {
    ...{ count: TOKENS, width: TOKEN_WIDTH },
    read(indices) {
      const length = TOKENS * TOKEN_WIDTH;
      const values = new Float32Array(indices.length * length).fill(1);
      const at = indices.indexOf(11);
      if (at >= 0) values[(at + 1) * length - 1] = Infinity;
      return values;
    },
  };
  const { size, labels, read } = dataset;
  const changed = { size, labels, tokens, read: read.bind(dataset) };
  using trainer = new Trainer({ model, bank, dataset: changed, alignmentWeight: 1, batchSize: 4 });
  await assert.rejects(async () => {
    for await (const _ of trainer.run({ steps: SIZE / 4 })) { /* once through the data */ }
  }, /Cannot train on image 11: its tokens hold Infinity, expected finite numbers/);
});

/** A run of four steps by the command, of which the notes are returned. */
async function trainTask(directory: string, ...args: string[]): Promise<string> {
  const file = join(TEMPORARY, "latents.yaml");
  const steps = { steps: 4, logEvery: 1, sampleEvery: 2, runDirectory: directory };
  const sections = { train: { ...SETTINGS.train, ...steps }, sample: { count: 3, steps: 2 } };
  Deno.writeTextFileSync(file, JSON.stringify({ ...SETTINGS, ...sections }));
  const { code, stderr } = await runTask("train", [file, ...args]);
  assert.equal(code, 0, stderr);
  return stderr;
}

function entriesOf(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

gpuTest("train and sample run on latents, and what needs images says so", async () => {
  const directory = join(TEMPORARY, "commands");
  const notes = await trainTask(directory);
  assert.match(
    notes,
    /no pictures, no evaluation and no report: samples are latents, and data.decoder/,
  );
  assert.match(notes, / {2}loss \S+ {2}alignment \S+ {2}/);
  assert.deepEqual(entriesOf(directory), [
    "bank.safetensors",
    "latents_stats.safetensors",
    "log.jsonl",
    "loss.svg",
    "step_0000004",
  ]);
  assert.match(Deno.readTextFileSync(join(directory, "loss.svg")), /alignment loss/);
  const out = join(TEMPORARY, "samples.safetensors");
  const sampled = await runTask("sample", ["--checkpoint", directory, "--out", out]);
  assert.equal(sampled.code, 0, sampled.stderr);
  using samples = SafetensorsFile.open(out);
  assert.deepEqual(samples.entry("latents").shape, [3, CHANNELS, SIDE, SIDE]);
  // On the scale of the tokenizer, whose second channel has mean 3.
  const values = samples.readFloat32("latents"), plane = SIDE ** 2;
  const average = mean([...values].filter((_, i) => Math.floor(i / plane) % CHANNELS === 1));
  assert.ok(average > 1.5 && average < 4.5, `${average}`);
  const drawn = await runTask("sample", ["--checkpoint", directory]);
  assert.equal(drawn.code, 2);
  assert.match(
    drawn.stderr,
    /its data are latents, expected their decoder by .*, or --out FILE\.safetensors/,
  );
  const evaluated = await runTask("evaluate", ["--checkpoint", directory]);
  assert.equal(evaluated.code, 2);
  assert.match(
    evaluated.stderr,
    /its data are latents, expected their decoder by --set data\.decoder=FILE\.onnx, or images by/,
  );
  const between = await runTask("bank", ["interpolate", "0", "1", "--checkpoint", directory]);
  assert.equal(between.code, 2);
  assert.match(between.stderr, /its model makes latents, expected a model of images$/m);
  const against = await runTask("evaluate", ["--checkpoint", directory, "--data", "photos"]);
  assert.equal(against.code, 2);
  assert.match(
    against.stderr,
    /Cannot take --data with .*: its model is trained on latents, expected the images .* --reference/,
  );
});

/** The images [n, C, H, W] of a `.npz` file. */
async function pixelsIn(path: string): Promise<Uint8Array> {
  using batch = openAdmBatch(path);
  return await readPixels(batch.images!);
}

gpuTest("train, sample and evaluate see latents by what a decoder makes of them", async () => {
  const directory = join(TEMPORARY, "decoded"), at = (name: string) => join(TEMPORARY, name);
  const settings = [`data.decoder=${DECODER}`, "train.evaluateEvery=2", "bank.resolution=4"];
  const notes = await trainTask(directory, ...settings.flatMap((each) => ["--set", each]));
  assert.match(
    notes,
    / {8}no report: nothing encodes images as the snippets; distances are by pix/,
  );
  assert.deepEqual(entriesOf(join(directory, "samples")), ["step_0000002.png", "step_0000004.png"]);
  const log = await readRunLog(join(directory, "log.jsonl"));
  assert.deepEqual(log.map(({ frechet }) => Number(frechet) > 0), [false, true, false, true]);
  assert.match(Deno.readTextFileSync(join(directory, "evaluation.svg")), /Fréchet distance to/);

  const count = ["--checkpoint", directory, "--count", "8"];
  const [picture, latents] = [at("grid.png"), at("grid.safetensors")];
  for (const out of [picture, latents]) {
    const { code, stderr } = await runTask("sample", [...count, "--out", out]);
    assert.equal(code, 0, stderr);
  }
  using network = await OnnxDecoder.open(DECODER, { channels: CHANNELS, imageSize: SIDE });
  using file = SafetensorsFile.open(latents);
  const images = await network.decode(file.readFloat32("latents"));
  const { width, height, data } = decodePng(await Deno.readFile(picture));
  const scale = Math.round(640 / (4 * 2 * SIDE));
  const tiles = tileImages(images, { columns: 4, imageSize: 2 * SIDE, channels: 3, scale });
  assert.deepEqual([width, height], [tiles.width, tiles.height]);
  assert.deepEqual(data, tiles.data);

  // Evaluated are the same images, as the official decoding writes them.
  const drawn = at("drawn.npz"), common = ["--resamples", "0", "--json", "--set", "bank.dim=6"];
  const evaluate = async (...args: string[]): Promise<EvaluationReport> => {
    const { code, stdout, stderr } = await runTask("evaluate", [...common, ...args]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const own = await evaluate(
    ...[...count, "--out", drawn, "--copies", at("copies.png")],
    ...["--inception", INCEPTION],
  );
  const bytes = images.map((value) => Math.trunc(Math.min(255, Math.max(0, 127.5 * value + 128))));
  assert.deepEqual([...await pixelsIn(drawn)], [...bytes]);
  assert.deepEqual([own.encoder.kind, own.encoder.reference, own.reference], [
    "pixel_pca",
    SIZE,
    { source: "the training images", count: SIZE },
  ]);
  assert.match(own.warnings.join("\n"), /the training images are 24 decoded latents, of 24: /);
  assert.ok(own.encoder.frechet.value > 0 && own.inception!.fid > 0);

  // The stored latents, decoded without the scaling of training, are the reference itself.
  const stored = at("stored.npz");
  {
    const all = await network.decode(WRITTEN.get("latents")!);
    using writer = new AdmBatchWriter(stored, { size: SIZE, imageSize: 2 * SIDE, channels: 3 });
    writer.append({ first: 0, count: SIZE, pixels: toBytes(all) });
    writer.commit();
  }
  const report = ["--report", at("report.json")];
  const same = await evaluate("--checkpoint", directory, "--samples", stored, ...report);
  assert.ok(same.encoder.frechet.value < 1e-6, `${same.encoder.frechet.value}`);
  // With images on both sides nothing is decoded.
  const without = ["--set", "data.decoder=null", "--set", `data.path=${at("nowhere")}`];
  const again = await evaluate(
    ...["--checkpoint", directory, "--samples", drawn, "--reference", stored],
    ...["--inception", INCEPTION, ...without, ...report],
  );
  assert.ok(Math.abs(again.inception!.fid / own.inception!.fid - 1) < 1e-6);
  // Files that may have any size are taken as large as decoded images, not as latents.
  const photos = at("photos");
  Deno.mkdirSync(photos);
  for (let i = 0; i < 7; i++) {
    const data = Uint8Array.from({ length: 3 * 12 ** 2 }, (_, k) => (k * k + 40 * i) % 251);
    const photo = sharp(data, { raw: { width: 12, height: 12, channels: 3 } });
    await photo.jpeg().toFile(join(photos, `${i}.jpg`));
  }
  const { reference } = await evaluate(...count, "--reference", photos, ...report);
  assert.deepEqual(reference, { source: photos, count: 7 });
});

gpuTest("what a decoder makes of finite latents is drawn only where it is finite", async () => {
  const directory = join(TEMPORARY, "spoiled"), spoiled = join(TEMPORARY, "spoiled.onnx");
  // The last weight of the decoder becomes NaN.
  const bytes = Deno.readFileSync(DECODER);
  const weight = new Uint8Array(Float32Array.of(Math.sin(23)).buffer);
  const at = bytes.findIndex((_, i) => weight.every((byte, k) => bytes[i + k] === byte));
  assert.ok(at > 0);
  bytes.set(new Uint8Array(Float32Array.of(NaN).buffer), at);
  Deno.writeFileSync(spoiled, bytes);

  const notes = await trainTask(directory, "--set", `data.decoder=${spoiled}`);
  assert.match(notes, /training image 0: it holds NaN, expected finite numbers/);
  const out = join(TEMPORARY, "spoiled.png");
  const { code, stderr } = await runTask("sample", ["--checkpoint", directory, "--out", out]);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /Cannot use sample 0: it holds NaN, expected finite numbers/);
  assert.throws(() => Deno.statSync(out), Deno.errors.NotFound);
});
