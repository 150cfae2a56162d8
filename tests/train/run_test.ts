import assert from "node:assert/strict";
import { join } from "node:path";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { initializeFrom, loadCheckpoint, saveCheckpoint } from "../../train/checkpoint.ts";
import { resolveConfig } from "../../train/config.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { buildRun, type Run } from "../../train/run.ts";
import { AVERAGED_WEIGHTS } from "../../train/run_files.ts";
import { inDirectory } from "../bank/_images.ts";
import { gpuTest } from "../_gpu.ts";

const CONFIG = resolveConfig({
  data: { imageSize: 8 },
  model: { conditioning: "label", width: 16, depth: 1, heads: 2, patchSize: 4 },
  train: { batchSize: 4 },
  optimizer: { learningRate: 1e-2 },
});
const EMOJI = await loadEmoji({ imageSize: 8 });

interface WatchedRun extends Run {
  /** Names of the parameters whose initial values were made. */
  readonly initialized: readonly string[];
}

/** A run on emoji that labels guide. */
async function openRun(
  device: Device,
  options: Pick<Parameters<typeof buildRun>[0], "runDirectory" | "checkpoint" | "weights">,
): Promise<WatchedRun> {
  const initialized: string[] = [], { parameter, frozen } = ParameterStore.prototype;
  const watched = (declare: typeof parameter): typeof parameter =>
    function (this: ParameterStore, name, shape, init) {
      return declare.call(this, name, shape, (values, context) => {
        initialized.push(name);
        init(values, context);
      });
    };
  Object.assign(ParameterStore.prototype, {
    parameter: watched(parameter),
    frozen: watched(frozen),
  });
  try {
    const run = await buildRun({
      ...{ device, config: CONFIG, train: EMOJI, note: () => {} },
      ...options,
    });
    return { ...run, initialized };
  } finally {
    Object.assign(ParameterStore.prototype, { parameter, frozen });
  }
}

gpuTest(
  "buildRun() makes no initial values where it loads weights, and loads all as into a trainer",
  async (device) => {
    await inDirectory(async (runDirectory) => {
      let checkpoint: string;
      {
        using run = await openRun(device, { runDirectory });
        assert.deepEqual(
          run.initialized,
          [...run.model.parameters.entries()].map(([name]) => name),
        );
        for await (const _ of run.trainer.run({ steps: 2 }));
        checkpoint = await saveCheckpoint(runDirectory, run.trainer, run);
      }
      const path = join(checkpoint, AVERAGED_WEIGHTS), weights = { path, reversed: true };
      const starts: [options: Parameters<typeof openRun>[1], load: (run: Run) => unknown][] = [
        [{ runDirectory, checkpoint }, (run) => loadCheckpoint(checkpoint, run.trainer, run)],
        [{ runDirectory, weights }, (run) => initializeFrom(path, run.trainer, { reversed: true })],
      ];
      for (const [i, [options, load]] of starts.entries()) {
        const contentsOf = async (run: Run, name: string) => {
          const saved = await saveCheckpoint(join(runDirectory, `${name}_${i}`), run.trainer, run);
          return ["model", "ema", "optimizer"].map((each) =>
            Deno.readFileSync(join(saved, `${each}.safetensors`))
          );
        };
        using run = await openRun(device, options);
        assert.deepEqual(run.initialized, []);
        using filled = await openRun(device, { runDirectory });
        load(filled);
        assert.equal(run.trainer.step, filled.trainer.step);
        assert.deepEqual(await contentsOf(run, "run"), await contentsOf(filled, "filled"));
      }
    });
  },
);

gpuTest("buildRun() goes on from no checkpoint of other images", async (device) => {
  await inDirectory(async (runDirectory) => {
    let checkpoint: string;
    {
      using run = await openRun(device, { runDirectory });
      checkpoint = await saveCheckpoint(runDirectory, run.trainer, {
        ...run,
        imagesFingerprint: "of another run",
      });
    }
    const before = device.pool.liveBytes;
    await assert.rejects(openRun(device, { runDirectory, checkpoint }), {
      name: "CheckpointError",
      message: /^Cannot go on from .*: the images, or which of them are held out, are not those /,
    });
    assert.equal(device.pool.liveBytes, before);
  });
});
