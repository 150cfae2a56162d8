import assert from "node:assert/strict";
import { join } from "node:path";
import type { Bank } from "../../bank/bank.ts";
import type { Encoder } from "../../bank/encoders/encoder.ts";
import { frechetDistance, FrechetReference, GaussianStatistics } from "../../evaluate/frechet.ts";
import { toBytes, toValues } from "../../bank/pixels.ts";
import type { Device } from "../../kernels/core/device.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { type Config, resolveConfig } from "../../train/config.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import type { ImageSet } from "../../train/datasets/image_set.ts";
import { spreadIndices } from "../../bank/select_rows.ts";
import { FullBank } from "../../bank/full_bank.ts";
import { trainingFeatures } from "../../train/features.ts";
import { Preview } from "../../train/preview.ts";
import { drawSpread } from "../../train/draw_spread.ts";
import { describeReport, reportConditioning } from "../../train/report.ts";
import { buildRun, type Run } from "../../train/run.ts";
import { openViewer } from "../../train/viewer.ts";
import type { Viewer } from "../../sample/viewer.ts";
import { SampleDistance } from "../../train/sample_distance.ts";
import { testNumbers } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_evaluation_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

interface Opened {
  run: Run;
  config: Config;
  heldOut: ImageSet;
  viewer: Viewer | undefined;
}

async function open(
  device: Device,
  conditioning: "snippet" | "label",
  { size = 100, mask = {} }: { size?: number; mask?: Partial<Config["bank"]["mask"]> } = {},
): Promise<Opened> {
  const config = resolveConfig({
    data: { imageSize: 8 },
    model: { conditioning, width: 16, depth: 1, heads: 2, patchSize: 4 },
    bank: { dim: 8, resolution: 8, mask },
    train: { batchSize: 8, steps: 4 },
    optimizer: { learningRate: 1e-2 },
  });
  const { train, heldOut } = (await loadEmoji({ imageSize: 8 })).split({
    heldOut: 1906 - size,
    seed: 0,
  });
  const options = { device, config, train, runDirectory: join(TEMPORARY, conditioning) };
  Deno.mkdirSync(options.runDirectory, { recursive: true });
  const run = await buildRun({ ...options, note: () => {} });
  return { run, config, heldOut, viewer: await openViewer(config.data, options.runDirectory) };
}

gpuTest(
  "SampleDistance.measure() follows training, beside the held-out images' own",
  async (device) => {
    const opened = await open(device, "snippet");
    using run = opened.run;
    const distance = (await SampleDistance.prepare(opened))!;
    const before = await distance.measure();
    assert.deepEqual(await distance.measure(), before);
    for await (const _ of run.trainer.run({ steps: 4 }));
    const after = await distance.measure();
    assert(after.frechet !== before.frechet && after.frechet > 0);
    // The network begins at zero, so samples are noise: farther than images are.
    assert(before.frechetHeldOut! > 0 && before.frechet > 2 * before.frechetHeldOut!);
    assert.equal(after.frechetHeldOut, before.frechetHeldOut);
    // Of as many held-out images as there are samples, spread over them.
    const { heldOut } = opened, encoder = run.encoder!, { dim } = encoder;
    const unseen = heldOut.read(spreadIndices(100, heldOut.size));
    const shape = { count: 100, channels: 3, height: 8, width: 8 };
    const statistics = (rows: Float32Array) => new GaussianStatistics(dim).add(rows);
    using snippets = run.bank!.gather(Uint32Array.from({ length: 100 }, (_, i) => i));
    const reference = new FrechetReference(statistics(await snippets.read()));
    const expected = reference.distanceTo(statistics(await encoder.encode(unseen, shape)));
    assert.ok(Math.abs(before.frechetHeldOut! - expected) < 1e-6 * expected, `${expected}`);
    const alone = (await SampleDistance.prepare({ ...opened, heldOut: undefined }))!;
    assert.deepEqual(await alone.measure(), { frechet: after.frechet });
  },
);

gpuTest("SampleDistance.measure() measures the bytes of samples", async (device) => {
  const opened = await open(device, "snippet");
  using run = opened.run;
  const viewer = opened.viewer!, { channels, imageSize } = viewer;
  const measure = async (change: (images: Float32Array) => Float32Array) => {
    const view = async (samples: Float32Array) => change(await viewer.view(samples));
    const changed = { channels, imageSize, view, [Symbol.dispose]() {} };
    using distance = (await SampleDistance.prepare({ ...opened, run, viewer: changed }))!;
    return await distance.measure();
  };
  // The network begins at zero, so samples are noise, a third of which no byte holds.
  assert.deepEqual(
    await measure((images) => images),
    await measure((images) => toValues(toBytes(images))),
  );
  await assert.rejects(measure((images) => images.fill(NaN, 3 * 8 * 8)), {
    name: "RangeError",
    message: "Cannot use sample 1: it holds NaN, expected finite numbers",
  });
});

gpuTest("buildRun() masks snippets, or none, as the configuration says", async (device) => {
  const lossesOf = async (mask: Partial<Config["bank"]["mask"]>) => {
    const { run: opened } = await open(device, "snippet", { mask });
    using run = opened;
    const records = await Array.fromAsync(run.trainer.run({ steps: 5, logEvery: 1 }));
    return records.map(({ loss }) => loss);
  };
  const unmasked = await lossesOf({ kind: "none", ratio: 0.9 });
  assert.deepEqual(unmasked, await lossesOf({ kind: "zero", ratio: 0 }));
  // The network begins at zero, so it takes some steps until snippets count.
  assert.notDeepEqual(unmasked, await lossesOf({ kind: "zero", ratio: 0.9 }));
});

gpuTest("SampleDistance.measure() follows a model that labels guide", async (device) => {
  const opened = await open(device, "label");
  using run = opened.run;
  using distance = (await SampleDistance.prepare(opened))!;
  const before = await distance.measure();
  for await (const _ of run.trainer.run({ steps: 4 }));
  const after = await distance.measure();
  assert(after.frechet !== before.frechet && after.frechet > 0);
  assert(before.frechetHeldOut! > 0 && before.frechet > 2 * before.frechetHeldOut!);
  assert.equal(await SampleDistance.prepare({ ...opened, viewer: undefined }), undefined);
});

/** Rows of any numbers for whatever is encoded, beside the images that they are of. */
function noteEncoded(encoder: Encoder): { encoder: Encoder; images: number[]; rows: number[] } {
  const images: number[] = [], rows: number[] = [], next = testNumbers(2);
  const noting = {
    ...{ dim: encoder.dim, description: encoder.description },
    encode(values: Float32Array, { count }: { count: number }) {
      images.push(...values);
      const made = Float32Array.from({ length: count * encoder.dim }, () => next());
      rows.push(...made);
      return Promise.resolve(made);
    },
  };
  return { encoder: noting as unknown as Encoder, images, rows };
}

gpuTest("reportConditioning() compares the samples with snippets and images", async (device) => {
  // An odd number: one half of the images has one more.
  const SIZE = 101, made = await open(device, "snippet", { size: SIZE });
  const config = { ...made.config, sample: { ...made.config.sample, steps: 2 } };
  using run = made.run;
  const { heldOut } = made, bank = run.bank!, { dim } = bank, length = 3 * 8 * 8;
  const { encoder, images, rows } = noteEncoded(run.encoder!);
  const trainingFeatures = run.trainingFeatures!;
  const progress: number[][] = [];
  const report = await reportConditioning({
    ...{ ...run, bank, encoder, trainingFeatures, config, heldOut },
    onDrawn: (done, total) => progress.push([done, total]),
  });
  assert.deepEqual(progress, [[64, SIZE], [SIZE, SIZE]]);
  const drawn = await drawSpread(run, { count: SIZE, config, sample: config.sample });
  const all = Uint32Array.from({ length: SIZE }, (_, i) => i);
  const unseen = spreadIndices(SIZE, heldOut.size);
  using given = bank.gather(all);
  const snippets = await given.read();
  // Samples, held-out images, noise, as many of each; the snippets of training images are the bank's.
  assert.equal(images.length, 3 * SIZE * length);
  const parts = [0, 1, 2].map((part) => ({
    seen: images.slice(part * SIZE * length, (part + 1) * SIZE * length),
    vectors: Float32Array.from(rows.slice(part * SIZE * dim, (part + 1) * SIZE * dim)),
  }));
  const [samples, held, noise] = parts as [typeof parts[0], ...typeof parts];
  assert.deepEqual(samples.seen, [...toValues(toBytes(drawn.images))]);
  assert.deepEqual(held!.seen, [...heldOut.read(unseen)]);
  const square = noise!.seen.reduce((sum, value) => sum + value ** 2, 0) / noise!.seen.length;
  // Normal numbers kept within ±1 have squares of mean 0.516 and variance 0.163; five standard errors.
  assert.ok(Math.abs(square - 0.516) < 5 * Math.sqrt(0.163 / noise!.seen.length), `${square}`);
  assert.deepEqual(noise!.seen, [...toValues(toBytes(Float32Array.from(noise!.seen)))]);

  assert.deepEqual([report.samples, report.evaluations], [SIZE, drawn.evaluations]);
  const cosine = (offset: number) => {
    let sum = 0;
    for (let i = 0; i < SIZE; i++) {
      const other = (i + offset) % SIZE;
      for (let k = 0; k < dim; k++) {
        sum += samples.vectors[i * dim + k]! * snippets[other * dim + k]!;
      }
    }
    return sum / SIZE;
  };
  // Sums of a thousand products in float64, one order or another.
  const near = (found: number, want: number) =>
    assert.ok(Math.abs(found - want) < 1e-12, `${found}`);
  near(report.cosine, cosine(0));
  near(report.shuffledCosine, cosine(50));
  assert.notEqual(report.cosine, report.shuffledCosine);
  const statistics = (vectors: Float32Array) => new GaussianStatistics(dim).add(vectors);
  const toReal = ({ vectors }: { vectors: Float32Array }) =>
    frechetDistance(statistics(snippets), statistics(vectors));
  const half = (first: number) =>
    statistics(snippets.filter((_, i) => Math.floor(i / dim) % 2 === first));
  assert.deepEqual(report.frechet, {
    samples: toReal(samples),
    noise: toReal(noise!),
    heldOut: toReal(held!),
    halves: frechetDistance(half(0), half(1)),
  });
  // A covariance takes two images.
  const one = heldOut.subset(Uint32Array.of(0));
  const { frechet } = await reportConditioning({
    ...{ ...run, bank, encoder, trainingFeatures, config, heldOut: one },
  });
  assert.equal(frechet.heldOut, undefined);
  // Samples are drawn with the averaged weights, whatever the others are.
  for (const slab of run.model.parameters.values) fill(slab, 0.01);
  const again = await drawSpread(run, { count: SIZE, config, sample: config.sample });
  assert.deepEqual(again.images, drawn.images);
});

gpuTest("Preview draws with the averaged weights, whatever the others are", async (device) => {
  const { run: opened, config, viewer } = await open(device, "label");
  using run = opened;
  const directory = join(TEMPORARY, "pictures");
  const preview = new Preview({ run, config, viewer: viewer!, directory });
  const before = await Deno.readFile(await preview.write());
  for (const slab of run.model.parameters.values) fill(slab, 0.01);
  assert.deepEqual(await Deno.readFile(await preview.write()), before);
  for (const slab of run.trainer.optimizer.averages) fill(slab, 0.01);
  assert.notDeepEqual(await Deno.readFile(await preview.write()), before);
});

gpuTest("features of training images are the snippets of a bank, or made anew", async (device) => {
  const SIZE = 101, made = await open(device, "snippet", { size: SIZE });
  using run = made.run;
  const { encoder } = run, bank = run.bank!, dataset = run.dataset as ImageSet;
  assert.deepEqual([bank.rank, bank.imageSize], [undefined, 8]);
  using given = bank.gather(Uint32Array.from({ length: SIZE }, (_, i) => i));
  const snippets = await given.read();
  assert.deepEqual(await run.trainingFeatures!(), snippets);
  // Of a larger bank no more snippets are read than it takes.
  const asked: Uint32Array[] = [];
  const large = {
    ...{ rank: undefined, imageSize: 8, size: 20_003 },
    gather(indices: Uint32Array) {
      asked.push(indices);
      return bank.gather(indices.map((index) => index % SIZE));
    },
  } as unknown as Bank;
  const images = { ...dataset, imageSize: 8, size: 20_003 } as unknown as ImageSet;
  await trainingFeatures({ device, bank: large, encoder: encoder!, images })();
  assert.deepEqual(asked, [spreadIndices(10_000, 20_003)]);

  // One that keeps the snippets in part, or that is of larger images, has others.
  const part = new Float32Array(SIZE * bank.dim).fill(bank.dim ** -0.5);
  using other = FullBank.from(device, { dim: bank.dim, snippets: part, imageSize: 16 });
  using kept = FullBank.from(device, { dim: bank.dim, snippets: part, imageSize: 8 });
  const counts: number[][] = [];
  for (const unlike of [other, { ...kept, rank: 4, imageSize: 8 } as unknown as Bank]) {
    const features = trainingFeatures({ device, bank: unlike, encoder: encoder!, images: dataset });
    const found = await features((...count) => counts.push(count));
    assert.deepEqual(found, snippets);
    // They are made once.
    assert.equal(await features(), found);
  }
  assert.deepEqual(counts, [[64, SIZE], [SIZE, SIZE], [64, SIZE], [SIZE, SIZE]]);
});

Deno.test("describeReport() leaves out what was not measured", () => {
  const report = {
    ...{ step: 7, samples: 9, evaluations: 5, cosine: 0.5, shuffledCosine: 0.25 },
    frechet: { samples: 0.125, noise: 2, heldOut: 0.0625, halves: 0.75 },
  };
  assert.deepEqual(describeReport(report), [
    "samples follow their snippets: cosine 0.500, shuffled 0.250",
    "distance to the training images (encoder space): samples 0.1250, noise 2.0000, " +
    "held-out images 0.0625; one half of them to the other 0.7500",
  ]);
  const frechet = { ...report.frechet, heldOut: undefined, halves: undefined };
  assert.match(describeReport({ ...report, frechet })[1]!, /: samples 0\.1250, noise 2\.0000$/);
});
