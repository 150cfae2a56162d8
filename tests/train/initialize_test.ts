import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { FullBank } from "../../bank/full_bank.ts";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { type ConditionOptions, SiT } from "../../model/sit.ts";
import { initializeFrom } from "../../train/checkpoint.ts";
import { Trainer } from "../../train/trainer.ts";
import { inDirectory } from "../bank/_images.ts";
import { gpuTest } from "../_gpu.ts";
import { code, makeTorchFile } from "../model/_write_torch_file.ts";

const SIZES = { inputSize: 4, channels: 2, patchSize: 2, width: 16, depth: 1, heads: 2 } as const;

interface Parts extends Disposable {
  readonly model: SiT;
  readonly trainer: Trainer;
}

function makeParts(device: Device, condition: ConditionOptions): Parts {
  const store = new ParameterStore(device, { seed: 1 });
  const model = new SiT(store, { ...SIZES, condition });
  const dataset = {
    size: 2,
    labels: Uint32Array.of(0, 1),
    read: (indices: Uint32Array) => new Float32Array(32 * indices.length).fill(0.5),
  };
  const bank = "classes" in condition
    ? undefined
    : FullBank.from(device, { snippets: Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0), dim: 4 });
  const trainer = new Trainer({ model, dataset, bank, batchSize: 2, learningRate: 1e-2 });
  return {
    model,
    trainer,
    [Symbol.dispose]() {
      trainer[Symbol.dispose]();
      store.dispose();
      bank?.[Symbol.dispose]();
    },
  };
}

/** Writes a checkpoint in which element i of parameter number n is n + i / 1000. */
function writeCheckpoint(path: string, store: ParameterStore): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>();
  const storages: Record<string, Float32Array> = {};
  const dict: Record<string, readonly number[]> = {};
  for (const [name, { shape, elements }] of store.entries()) {
    const key = `${values.size}`;
    const data = Float32Array.from({ length: elements }, (_, i) => values.size + i / 1000);
    values.set(name, storages[key] = data);
    dict[`module.${name}`] = code.tensor("FloatStorage", [...shape], { key });
  }
  const root = code.record({ ema: code.record(dict), args: code.none });
  Deno.writeFileSync(path, makeTorchFile(root, { storages }));
  return values;
}

const CONDITIONS: readonly [name: string, condition: ConditionOptions][] = [
  ["labels", { classes: 2 }],
  ["snippets", { snippetDim: 4 }],
];

for (const [name, condition] of CONDITIONS) {
  gpuTest(
    `initializeFrom() starts weights and averages with ${name} from a file`,
    async (device) => {
      await inDirectory(async (directory) => {
        const path = `${directory}/0400000.pt`;
        using parts = makeParts(device, condition);
        const { model, trainer } = parts;
        const values = writeCheckpoint(path, model.parameters);
        initializeFrom(path, parts.trainer);
        for (const [name, average] of trainer.optimizer.averageEntries()) {
          assert.deepEqual(await model.parameters.get(name).read(), values.get(name), name);
          assert.deepEqual(await average.read(), values.get(name), name);
        }
        assert.equal(trainer.step, 0);
        const [, other] = CONDITIONS.find(([each]) => each !== name)!;
        using unlike = makeParts(device, other);
        assert.throws(() => initializeFrom(path, unlike.trainer), {
          name: "CheckpointError",
          message:
            /missing (?:y_embedder|condition_projection).*; unexpected (?:y_embedder|condition_projection)/,
        });
      });
    },
  );
}

Deno.test("train refuses --init and --reversed where they would do nothing, or something else", async () => {
  const main = fileURLToPath(new URL("../../train/main.ts", import.meta.url));
  const cases = [
    ["--init", "a.pt", "--resume", "runs/any"],
    ["--reversed"],
    ["--init", "a.pt", "--reversed", "--set", "interpolant.prediction=noise"],
  ];
  for (const args of cases) {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-read", "--allow-env", main, ...args],
      env: { NO_COLOR: "1" },
    });
    const { code: exit, stderr } = await command.output();
    assert.equal(exit, 2);
    assert.match(
      new TextDecoder().decode(stderr),
      /^error: Cannot (?:take weights|reverse|take --reversed)/m,
    );
  }
});
