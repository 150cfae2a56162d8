/** The claims from training to pages, on a network too small to show anything. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeBank } from "../../bank/bank_writer.ts";
import { encodeImages } from "../../bank/build.ts";
import { OnnxEncoder } from "../../bank/encoders/onnx.ts";
import { cosines } from "../../bank/normalize.ts";
import { type Arm, stepsFor } from "../../claims/arm.ts";
import { coarsePixels } from "../../claims/coarse_pixels.ts";
import { Laboratory } from "../../claims/laboratory.ts";
import type { Result } from "../../claims/pages.ts";
import { CLAIMS, laboratoriesOf, testClaim } from "../../claims/run.ts";
import type { Scale } from "../../claims/scales.ts";
import { intervalOf } from "../../claims/statistics.ts";
import type { Device } from "../../kernels/core/device.ts";
import { ImageSet } from "../../train/datasets/image_set.ts";
import { decodePng } from "../../train/datasets/png.ts";
import { gpuTest } from "../_gpu.ts";

const SMOKE: Scale = {
  name: "smoke",
  description: "a network that only compiles",
  config: "configs/emoji_tiny.yaml",
  overrides: [
    ...["data.imageSize=8", "data.heldOut=24", "bank.dim=12", "bank.resolution=8"],
    ...["model.width=16", "model.depth=1", "model.heads=2", "model.patchSize=4"],
    ...["train.batchSize=8", "train.steps=6", "bank.mask.ratio=0.4"],
  ],
  checkpoints: [2, 6],
  maskRatios: [0, 0.4],
  samples: 20,
  evaluations: 4,
  budgets: [4, 6],
  rankShares: [0.5],
  pairs: 5,
  replicates: 10,
  batch: 16,
  checkpointEvery: 4,
};

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_claims_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

interface Opened {
  laboratory: Laboratory;
  lines: string[];
}

/** A laboratory whose work stops after `most` reports of progress, with settings above the scale's. */
async function open(
  device: Device,
  runs: string,
  { most = Infinity, settings = [] }: { most?: number; settings?: readonly string[] } = {},
): Promise<Opened> {
  const lines: string[] = [], stop = new AbortController();
  let advances = 0;
  const laboratory = await Laboratory.open({
    device,
    scale: { ...SMOKE, overrides: [...SMOKE.overrides, ...settings] },
    directory: join(TEMPORARY, runs),
    signal: stop.signal,
    note: (line) => lines.push(line),
    onProgress: () => {
      if (++advances === most) stop.abort(new Error("stopped"));
    },
  });
  return { laboratory, lines };
}

function read(name: string): string {
  return Deno.readTextFileSync(join(TEMPORARY, name));
}

gpuTest("Laboratory.open() stops while it makes the bank", async (device) => {
  const directory = join(TEMPORARY, "no_bank"), signal = AbortSignal.abort(new Error("stopped"));
  const options = { device, scale: SMOKE, directory, signal, note: () => {}, onProgress: () => {} };
  await assert.rejects(Laboratory.open(options), /^Error: stopped$/);
  assert.deepEqual([...Deno.readDirSync(directory)], []);
});

gpuTest("coarsePixels() finds training images near, and their negatives far", async (device) => {
  await using laboratory = (await open(device, "coarse")).laboratory;
  const { train, scale: { samples } } = laboratory, coarse = coarsePixels(laboratory);
  const images = train.read(laboratory.spread(samples)), bootstrap = laboratory.bootstrap(samples);
  const distanceOf = (factor: number) =>
    intervalOf(coarse.distanceOf(images.map((value) => factor * value), bootstrap)).value;
  assert.equal(coarse.name, "4 × 4 pixels");
  assert.ok(10 * distanceOf(1) < distanceOf(-1), `${distanceOf(1)} and ${distanceOf(-1)}`);
});

gpuTest("testClaim() goes on where it was stopped, and finds the same", async (device) => {
  {
    await using laboratory = (await open(device, "whole")).laboratory;
    await testClaim(CLAIMS.a, { laboratory, directory: join(TEMPORARY, "whole_pages") });
    const work = laboratory.workFor(CLAIMS.a.arms(laboratory));
    assert.deepEqual([work.trainings, work.drawings], [[], []]);
  }
  const directory = join(TEMPORARY, "pages");
  // At step 5 of the label model; then in the first samples of the other one: what is drawn in two
  // batches of 16 and 4 at both checkpoints of the one and, after its 6 steps, begun of the other.
  for (const [most, left] of [[5, 1], [1 + 2 * 2 + 6 + 1, 0]] as const) {
    await using laboratory = (await open(device, "stopped", { most })).laboratory;
    await assert.rejects(testClaim(CLAIMS.a, { laboratory, directory }), /^Error: stopped$/);
    const { trainings } = laboratory.workFor(CLAIMS.a.arms(laboratory));
    assert.equal(trainings.find(({ model }) => model === "label")?.steps ?? 0, left);
  }
  const { laboratory, lines } = await open(device, "stopped");
  await using _ = laboratory;
  // An older page stays whole until the new one is: the same file under another name shows it.
  const page = "results/smoke/a_training_speed", kept = join(directory, "kept");
  Deno.mkdirSync(join(directory, "results/smoke"), { recursive: true });
  Deno.writeTextFileSync(join(directory, `${page}.json`), "older");
  Deno.linkSync(join(directory, `${page}.json`), kept);
  await testClaim(CLAIMS.a, { laboratory, directory });
  assert.equal(Deno.readTextFileSync(kept), "older");
  assert(!lines.some((line) => /^train/.test(line)), lines.join("\n"));
  const withoutDate = (text: string) => text.replace(/"date": "[\d-]+"/, "");
  assert.equal(
    withoutDate(read(`pages/${page}.json`)),
    withoutDate(read(`whole_pages/${page}.json`)),
  );
  const result: Result = JSON.parse(read(`pages/${page}.json`));
  assert.deepEqual(result.tables[0]!.rows.map(([step]) => step), [2, 6]);
  assert.match(read(`pages/${page}.svg`), /^<svg/);
  // A row of each model for each checkpoint.
  const { width, height } = decodePng(Deno.readFileSync(
    join(TEMPORARY, `pages/${page}_samples.png`),
  ));
  assert.deepEqual([width, height], [12 * 56 + 11 * 2, 4 * 56 + 3 * 2]);
  assert.match(read(`pages/${page}.md`), /\| 2 \| .* \[/);
  assert.match(read("pages/README.md"), /\(a\) \[Training speed\]\(results\/smoke\/a_training/);
});

gpuTest("all claims come to a verdict with their plots and pictures", async (device) => {
  const directory = join(TEMPORARY, "all");
  await using laboratory = (await open(device, "whole")).laboratory;
  for (const claim of Object.values(CLAIMS)) {
    const { name, result } = await testClaim(claim, { laboratory, directory });
    assert(["shown", "undecided", "refuted"].includes(result.verdict.outcome), claim.letter);
    assert.match(read(`all/results/smoke/${name}.svg`), /^<svg/);
    assert.doesNotMatch(read(`all/results/smoke/${name}.md`), /undefined|NaN/);
  }
  assert.equal(read("all/README.md").match(/^\| \([a-g]\) /gm)?.length, 7);
});

gpuTest(
  "claims are tested with the snippets of a bank's encoder, and measured by pixel_pca",
  async (device) => {
    const like = join(TEMPORARY, "tiny_network.safetensors"), moved = join(TEMPORARY, "moved.onnx");
    const network = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));
    Deno.copyFileSync(network, moved);
    {
      using encoder = await OnnxEncoder.open(device, moved, { preprocessing: { size: 8 } });
      const images = new ImageSet({
        imageSize: 8,
        channels: 3,
        pixels: new Uint8Array(192).fill(9),
        names: ["grey"],
      });
      writeBank(like, await encodeImages({ images, encoder }));
    }
    Deno.removeSync(moved);
    const lines: string[] = [], directory = join(TEMPORARY, "like");
    const options = {
      ...{ device, scale: SMOKE, directory: join(TEMPORARY, "whole"), like },
      ...{ note: (line: string) => lines.push(line), onProgress: () => {} },
    };
    await assert.rejects(
      Laboratory.open(options),
      /was read from .*moved\.onnx, which is not there/,
    );
    await using laboratory = await Laboratory.open({ ...options, onnx: network });
    const { bank, measuring, encoder, train, heldOut, heldOutSnippets } = laboratory;
    assert.deepEqual([bank.dim, encoder.description.kind], [6, "onnx"]);
    assert.deepEqual([measuring.dim, measuring.description.kind], [12, "pixel_pca"]);
    const { images, encodings } = await laboratory.samples(laboratory.arm({ count: 3 }));
    assert.equal(encodings.length, 3 * measuring.dim);
    assert.equal((await laboratory.snippetsIn({ images, encodings, evaluations: 4 })).length, 18);
    // An image follows its own snippet wholly.
    const real = heldOut.read(Uint32Array.from({ length: heldOut.size }, (_, i) => i));
    const own = await laboratory.snippetsIn({
      images: real,
      encodings: await laboratory.encode(real),
      evaluations: 0,
    });
    for (const cosine of cosines(own, heldOutSnippets, { dim: 6 })) assert.ok(cosine > 0.999999);
    assert.equal(train.size, bank.size);
    for (const letter of ["a", "c", "d", "f", "g"] as const) {
      assert.deepEqual(await laboratoriesOf(CLAIMS[letter], laboratory), [laboratory]);
      const { name, result } = await testClaim(CLAIMS[letter], { laboratory, directory });
      const page = read(`like/results/smoke_tiny_network/${name}.md`);
      assert.doesNotMatch(page, /undefined|NaN|moved|whiten/);
      assert.match(
        page,
        /snippets are those of the encoder of tiny_network.safetensors: onnx, size 8, .* knows nothing of it/,
      );
      assert.match(
        page,
        new RegExp(`claims ${letter} --scale smoke --like tiny_network.safetensors`),
      );
      assert.equal(result.encoder?.bank, "tiny_network.safetensors");
    }
    const overview = read("like/README.md");
    assert.match(overview, /^## Scale smoke, snippets of tiny_network: \d of 5 shown$/m);
    assert.match(overview, /^A network .* compiles\. The encoder of the snippets: onnx, size 8, /m);
    assert.match(overview, /\(results\/smoke_tiny_network\/d_compression\.md\)/);
    // Of the models that are kept in the same folder the one of labels is the same, and no other.
    const trained = lines.filter((line) => /^train .* step 0 of 6/.test(line));
    assert.equal(trained.length, 2, trained.join("\n"));
  },
);

gpuTest("a laboratory keeps the samples of other settings of the sampler apart", async (device) => {
  const drawings = async (...settings: string[]) => {
    await using laboratory = (await open(device, "whole", { settings })).laboratory;
    const arm = laboratory.arm({ count: 2 });
    if (settings.length === 0) await laboratory.samples(arm);
    const work = laboratory.workFor([arm]);
    assert.deepEqual(work.trainings, []);
    return work.drawings.length;
  };
  assert.equal(await drawings(), 0);
  for (const setting of ["guidance.scale=2", "diffusion.norm=2", "lastStep=none"]) {
    assert.equal(await drawings(`sample.${setting}`), 1, setting);
  }
  // Each arm says these itself.
  for (const setting of ["sampler=euler", "steps=3", "seed=9", "count=1", "columns=2"]) {
    assert.equal(await drawings(`sample.${setting}`), 0, setting);
  }
});

gpuTest("arms of a laboratory share noises and cost what they say", async (device) => {
  await using laboratory = (await open(device, "whole")).laboratory;
  const [short, full] = [laboratory.arm({ count: 3 }), laboratory.arm({ count: 20 })];
  assert.deepEqual(laboratory.spread(4), Uint32Array.of(235, 705, 1176, 1646));
  // Sample 0 of either has its own snippet, but the condition decides which; pairs share theirs.
  const ends = [0, 1].map((share) =>
    laboratory.arm({ condition: { of: "pairs", share }, count: 5 })
  );
  const dim = laboratory.bank.dim;
  for (const [end, arm] of ends.entries()) {
    const given = await laboratory.snippetsOf(arm);
    for (const [row, pair] of laboratory.pairs(5).entries()) {
      const snippet = laboratory.trainSnippets.subarray(pair[end]! * dim, (pair[end]! + 1) * dim);
      for (let i = 0; i < dim; i++) {
        assert(Math.abs(given[row * dim + i]! - snippet[i]!) < 1e-6);
      }
    }
  }
  assert.deepEqual((await laboratory.snippetsOf(short)).length, 3 * dim);
  const costs = (["euler", "heun", "euler-maruyama", "sde-heun"] as const).map((sampler) =>
    laboratory.samples({ ...full, sampler }).then(({ evaluations }) => evaluations)
  );
  assert.deepEqual(await Promise.all(costs), [4, 4, 4, 3]);
  const rk4: Pick<Arm, "sampler" | "evaluations"> = { sampler: "rk4", evaluations: 10 };
  assert.equal(stepsFor(rk4), 2);
});
