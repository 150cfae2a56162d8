import assert from "node:assert/strict";
import { join } from "node:path";
import { writeBank } from "../../bank/bank_writer.ts";
import { FullBank } from "../../bank/full_bank.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { gvpInterpolant } from "../../model/interpolants/gvp.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { saveCheckpoint } from "../../train/checkpoint.ts";
import { resolveConfig } from "../../train/config.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { buildRun } from "../../train/run.ts";
import { RUN_BANK } from "../../train/run_files.ts";
import { loadTrained, readCheckpointConfig, stepsPerEpochOf } from "../../train/trained.ts";
import { Trainer } from "../../train/trainer.ts";
import { randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const DIM = 4;

gpuTest(
  "loadTrained() takes the bank of the run, grown or not, and no other in its place",
  async (device) => {
    const directory = await Deno.makeTempDir({ prefix: "gmem_trained_" });
    try {
      const config = resolveConfig({
        data: { imageSize: 8 },
        model: { width: 16, depth: 1, heads: 2, patchSize: 4 },
        bank: { dim: DIM, resolution: 4 },
      });
      const images = await loadEmoji({ imageSize: 8 });
      const train = images.subset(Uint32Array.from({ length: 20 }, (_, i) => 90 * i));
      {
        const options = { device, config, train, runDirectory: directory };
        using run = await buildRun({ ...options, note: () => {} });
        await saveCheckpoint(directory, run.trainer, { ...run, config });
      }
      const path = join(directory, RUN_BANK), found = readCheckpointConfig(directory);
      const sizeOf = (bank?: string) => {
        using trained = loadTrained(device, { ...found, bank });
        return trained.bank!.size;
      };
      assert.equal(sizeOf(), 20);
      assert.equal(stepsPerEpochOf(found), 20 / config.train.batchSize);
      const labelled = { ...found, bankFingerprint: undefined };
      assert.equal(
        stepsPerEpochOf({ ...labelled, imagesPerClass: [4, 12] }),
        16 / config.train.batchSize,
      );
      assert.equal(stepsPerEpochOf({ ...labelled, imagesPerClass: [] }), undefined);
      // Batches were larger than those that the configuration names.
      assert.equal(stepsPerEpochOf({ ...found, step: 3, seen: 1200 }), 20 / 400);
      // Nothing stays on the GPU of a model that the weights do not fit.
      const before = device.pool.liveBytes, model = { ...found.config.model, width: 32 };
      const wider = { ...found, config: { ...found.config, model } };
      assert.throws(() => loadTrained(device, wider), { name: "CheckpointError" });
      assert.equal(device.pool.liveBytes, before);
      {
        using grown = FullBank.load(device, path);
        grown.addExternal(await grown.snippet(3));
        await grown.save(path);
      }
      assert.equal(sizeOf(), 21);
      const others = (dim: number) => ({
        dim,
        snippets: normalizeSnippets(randomValues([20, dim], 1), { dim }),
      });
      writeBank(path, others(DIM));
      assert.throws(() => sizeOf(), {
        name: "TypeError",
        message:
          `Cannot guide ${found.checkpoint} by ${path}: its snippets are not those that the model ` +
          "was trained with, expected that bank, or another one as the option bank",
      });
      // Another one may be asked for, of snippets as long.
      assert.equal(sizeOf(path), 20);
      writeBank(path, others(DIM + 1));
      assert.throws(() => sizeOf(path), {
        name: "TypeError",
        message:
          `Cannot guide ${found.checkpoint} by ${path}: its snippets have 5 components, expected 4`,
      });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

Deno.test("readCheckpointConfig() refuses settings that the weights were not trained for", async () => {
  const directory = await Deno.makeTempDir({ prefix: "gmem_trained_" });
  try {
    await Deno.mkdir(join(directory, "step_0000500"));
    const config = { model: { width: 32, heads: 2 }, data: { kind: "latents", path: "latents" } };
    await Deno.writeTextFile(
      join(directory, "step_0000500", "state.json"),
      JSON.stringify({ format: 1, step: 500, config }),
    );
    const read = (override: string) => readCheckpointConfig(directory, { overrides: [override] });
    for (
      const [override, change] of [
        ["model.heads=4", "model.heads to 4: the run was started with 2"],
        ["interpolant.path=gvp", 'interpolant.path to "gvp": the run was started with "linear"'],
        [
          "interpolant.prediction=noise",
          'interpolant.prediction to "noise": the run was started with "velocity"',
        ],
        ["data.latentNorm=false", "data.latentNorm to false: the run was started with true"],
        ["data.latentMultiplier=5", "data.latentMultiplier to 5: the run was started with 1"],
      ] as const
    ) {
      const message = `Cannot change ${change}, expected that`;
      assert.throws(() => read(override), { name: "SettingError", message });
    }
    // What draws, measures and lies elsewhere may change.
    const other = ["sample.steps=3", "bank.dim=8", "data.path=moved", "model.heads=2"];
    for (const override of [...other, "model.classDropout=0"]) {
      assert.equal(read(override).step, 500);
    }
    // With labels, a class would be taken for the null class, or that for a class.
    const labelled = { ...config, model: { ...config.model, conditioning: "label" } };
    await Deno.writeTextFile(
      join(directory, "step_0000500", "state.json"),
      JSON.stringify({ format: 1, step: 500, config: labelled }),
    );
    assert.equal(read("model.classDropout=0.5").step, 500);
    assert.throws(() => read("model.classDropout=0"), {
      name: "SettingError",
      message: "Cannot change model.classDropout > 0 to false: the run was started with true, " +
        "expected that",
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "saveCheckpoint() without a configuration says what loadTrained() makes the same model of",
  async (device) => {
    const dataset = await loadEmoji({ imageSize: 8 }), classes = dataset.classes.length;
    const sizes = { inputSize: 8, channels: 3, patchSize: 2, width: 16, depth: 2, heads: 4 };
    // Gates that start at zero would hide what a network is made of.
    const shown = { ...sizes, zeroInit: false };
    const models: SiTOptions[] = [
      { ...shown, condition: { snippetDim: DIM } },
      {
        ...shown,
        condition: { snippetDim: DIM, embedding: "mlp3" },
        ...{ mlpRatio: 2, learnSigma: true, noShift: true },
        projector: { depth: 1, width: 24, targetWidth: 12 },
      },
      { ...shown, condition: { classes } },
      {
        ...shown,
        condition: { classes, nullClass: false },
        ...{ qkNorm: true, swiglu: true, rope: true, rmsNorm: true },
      },
    ];
    for (const [i, options] of models.entries()) {
      const directory = await Deno.makeTempDir({ prefix: "gmem_trained_" });
      try {
        const snippets = normalizeSnippets(randomValues([dataset.size, DIM], 1), { dim: DIM });
        using bank = FullBank.from(device, { dim: DIM, snippets });
        using store = new ParameterStore(device, { seed: i });
        const model = new SiT(store, options);
        using trainer = new Trainer({
          ...{ model, dataset, batchSize: 2, ...(i === 3 && { classDropout: 0 }) },
          ...("classes" in options.condition ? {} : { bank }),
          ...{ interpolant: gvpInterpolant, prediction: "noise" },
        });
        await saveCheckpoint(directory, trainer, { dataset });
        await bank.save(join(directory, RUN_BANK));
        using trained = loadTrained(device, readCheckpointConfig(directory));
        const { path, prediction } = trained.config.interpolant;
        assert.deepEqual([path, prediction], ["gvp", "noise"]);
        const noise = Float32Array.from(randomValues([2, 3, 8, 8], 2));
        using x = device.tensor(noise, [2, 3, 8, 8]);
        using t = device.tensor(Float32Array.of(0.2, 0.7), [2]);
        using given = "classes" in options.condition
          ? device.tensor(Uint32Array.of(3, 0), [2])
          : bank.gather([3, 0]);
        const outputOf = async (model: SiT) => {
          using output = device.scope(() => model.forward(x, t, given));
          return await output.read();
        };
        const [before, after] = [await outputOf(model), await outputOf(trained.model)];
        assert.ok(before.some((value) => value !== 0));
        assert.deepEqual(after, before);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    }
  },
);
