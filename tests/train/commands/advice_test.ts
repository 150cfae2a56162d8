import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { CheckpointError, OutOfMemoryError } from "../../../kernels/core/errors.ts";
import { adviseAfter } from "../../../train/commands/advice.ts";
import { NonFiniteLossError } from "../../../train/history.ts";

Deno.test("adviseAfter() tells a run without memory how to take less, from its last checkpoint if any", () => {
  const started = Deno.makeTempDirSync({ prefix: "gmem_advice_" });
  const memory = new OutOfMemoryError("none left", { requestedBytes: 8, heldBytes: 16 });
  const diverged = new NonFiniteLossError(3, NaN);
  const advise = (error: Error) => adviseAfter(error, { started, resumed: undefined });
  const less = "--recompute takes less memory, and so do more parts of a batch, " +
    "--set train.gradientAccumulation=4";
  const search = "--set device.debug=true tells the kernel whose result was not finite first";
  try {
    assert.equal(advise(memory), `There is no checkpoint yet; start again: ${less}`);
    assert.equal(
      advise(diverged),
      `There is no checkpoint yet; start again with a lower rate; ${search}`,
    );
    assert.equal(advise(new Error("something else")), undefined);
    const last = join(started, "step_0000012");
    Deno.mkdirSync(last);
    const goOn =
      `The last good checkpoint is ${last}; go on from it with: deno task train --resume ${started}`;
    assert.equal(advise(memory), `${goOn}; ${less}`);
    assert.equal(advise(diverged), `${goOn} --set optimizer.learningRate=LOWER; ${search}`);
    assert.equal(advise(new Error("something else")), goOn);
  } finally {
    Deno.removeSync(started, { recursive: true });
  }
});

Deno.test("adviseAfter() knows no checkpoint in a folder that is gone", () => {
  const started = join(Deno.makeTempDirSync({ prefix: "gmem_advice_" }), "gone");
  try {
    const diverged = new NonFiniteLossError(3, NaN);
    assert.match(
      adviseAfter(diverged, { started, resumed: undefined })!,
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
