import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { CheckpointError, OutOfMemoryError } from "../../../kernels/core/errors.ts";
import { adviseAfter, type StartedRun } from "../../../train/commands/advice.ts";
import { NonFiniteLossError } from "../../../train/history.ts";

/** A run of 6 images a step in a folder. */
const runIn = (directory: string, options: Partial<StartedRun> = {}): StartedRun => ({
  directory,
  batchSize: 6,
  parts: 1,
  recompute: false,
  ...options,
});

Deno.test("adviseAfter() tells a run how to go on, from its last checkpoint if there is one", () => {
  const directory = Deno.makeTempDirSync({ prefix: "gmem_advice_" });
  const memory = new OutOfMemoryError("none left", {
    requestedBytes: 8,
    heldBytes: 16,
    largest: [],
  });
  const diverged = new NonFiniteLossError(3, NaN);
  const advise = (error: Error, options: Partial<StartedRun> = {}) =>
    adviseAfter(error, { started: runIn(directory, options), resumed: undefined });
  const search = "--set device.debug=true tells the kernel whose result was not finite first";
  const parts = (count: number) => `--set train.gradientAccumulation=${count}`;
  /** What takes less memory, by what a run has already. */
  const cases: [Partial<StartedRun>, string | undefined][] = [
    [{}, `--recompute or ${parts(2)}`],
    [{ parts: 3 }, `--recompute or ${parts(6)}`],
    [{ parts: 2, recompute: true }, parts(3)],
    [{ parts: 6 }, "--recompute"],
    [{ parts: 6, recompute: true }, undefined],
  ];
  try {
    const start = "There is no checkpoint yet; start again with";
    for (const [options, less] of cases) {
      assert.equal(advise(memory, options), less && `${start} ${less}`);
    }
    assert.equal(advise(diverged), `${start} a lower rate; ${search}`);
    assert.equal(advise(new Error("something else")), undefined);
    const last = join(directory, "step_0000012");
    Deno.mkdirSync(last);
    const goOn = `The last good checkpoint is ${last}; go on from it with: ` +
      `deno task train --resume ${directory}`;
    for (const [options, less] of cases) {
      assert.equal(
        advise(memory, options),
        less === undefined ? goOn : `${goOn} and, for less memory, ${less}`,
      );
    }
    assert.equal(advise(diverged), `${goOn} --set optimizer.learningRate=LOWER; ${search}`);
    assert.equal(advise(new Error("something else")), goOn);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("adviseAfter() knows no checkpoint in a folder that is gone", () => {
  const started = join(Deno.makeTempDirSync({ prefix: "gmem_advice_" }), "gone");
  try {
    const diverged = new NonFiniteLossError(3, NaN);
    assert.match(
      adviseAfter(diverged, { started: runIn(started), resumed: undefined })!,
      /^There is no checkpoint/,
    );
  } finally {
    Deno.removeSync(dirname(started), { recursive: true });
  }
});

Deno.test("adviseAfter() names the checkpoint before one whose files cannot be read, and no other's", () => {
  const directory = Deno.makeTempDirSync({ prefix: "gmem_advice_" });
  const [earlier, resumed] = ["step_0000012", "step_0000024"].map((name) => join(directory, name));
  try {
    for (const path of [earlier!, resumed!]) Deno.mkdirSync(path);
    const advise = (path: string, resumed: string | undefined) =>
      adviseAfter(new CheckpointError("none", { path }), { started: undefined, resumed });
    const file = join(resumed!, "model.safetensors");
    assert.equal(
      advise(file, resumed),
      `If it is damaged, move ${resumed} out of the folder, and --resume goes on from ${earlier}`,
    );
    assert.equal(advise(join(directory, "bank.safetensors"), resumed), undefined);
    assert.equal(advise(file, undefined), undefined);
    assert.equal(advise(join(earlier!, "state.json"), earlier), undefined);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
