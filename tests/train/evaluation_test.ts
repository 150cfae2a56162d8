import assert from "node:assert/strict";
import { join } from "node:path";
import type { Device } from "../../kernels/core/device.ts";
import { type Config, resolveConfig } from "../../train/config.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import type { ImageSet } from "../../train/datasets/image_set.ts";
import { Evaluation } from "../../train/evaluation.ts";
import { buildRun, type Run } from "../../train/run.ts";
import { openViewer } from "../../train/viewer.ts";
import type { Viewer } from "../../sample/viewer.ts";
import { gpuTest } from "../_gpu.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_evaluation_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

interface Opened {
  run: Run;
  config: Config;
  heldOut: ImageSet;
  viewer: Viewer | undefined;
}

async function open(device: Device, conditioning: "snippet" | "label"): Promise<Opened> {
  const config = resolveConfig({
    data: { imageSize: 8 },
    model: { conditioning, width: 16, depth: 1, heads: 2, patchSize: 4 },
    bank: { dim: 8, resolution: 8 },
    train: { batchSize: 8, steps: 4 },
    optimizer: { learningRate: 1e-2 },
  });
  const { train, heldOut } = (await loadEmoji({ imageSize: 8 })).split({ heldOut: 1806, seed: 0 });
  const options = { device, config, train, runDirectory: join(TEMPORARY, conditioning) };
  Deno.mkdirSync(options.runDirectory, { recursive: true });
  const run = await buildRun({ ...options, resume: false, note: () => {} });
  return { run, config, heldOut, viewer: await openViewer(config.data, options.runDirectory) };
}

gpuTest(
  "Evaluation.measure() follows training, beside the held-out images' own",
  async (device) => {
    const opened = await open(device, "snippet");
    using run = opened.run;
    const evaluation = (await Evaluation.prepare(opened))!;
    const before = await evaluation.measure();
    assert.deepEqual(await evaluation.measure(), before);
    for await (const _ of run.trainer.run({ steps: 4 }));
    const after = await evaluation.measure();
    assert(after.frechet !== before.frechet && after.frechet > 0);
    // The network begins at zero, so samples are noise: farther than images are.
    assert(before.frechetHeldOut! > 0 && before.frechet > 2 * before.frechetHeldOut!);
    assert.equal(after.frechetHeldOut, before.frechetHeldOut);
    const alone = (await Evaluation.prepare({ ...opened, heldOut: undefined }))!;
    assert.deepEqual(await alone.measure(), { frechet: after.frechet });
  },
);

gpuTest("Evaluation.measure() follows a model that labels guide", async (device) => {
  const opened = await open(device, "label");
  using run = opened.run;
  using evaluation = (await Evaluation.prepare(opened))!;
  const before = await evaluation.measure();
  for await (const _ of run.trainer.run({ steps: 4 }));
  const after = await evaluation.measure();
  assert(after.frechet !== before.frechet && after.frechet > 0);
  assert(before.frechetHeldOut! > 0 && before.frechet > 2 * before.frechetHeldOut!);
  assert.equal(await Evaluation.prepare({ ...opened, viewer: undefined }), undefined);
});
