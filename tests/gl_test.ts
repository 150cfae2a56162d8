/**
 * The commands on the OpenGL backend, which is what there is where Mesa has EGL and no Vulkan: no
 * subgroups, no f16, 16 storage buffers.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { EXIT_CODES } from "../cli/run_command.ts";
import { readRunLog } from "../cli/run_log.ts";
import { decodePng } from "../train/datasets/png.ts";
import { runTask, SMALL_EMOJI } from "./_tasks.ts";

const GL = { DENO_WEBGPU_BACKEND: "gl" };

/** Trains and checks that it worked; undefined, with the reason printed, where there is no adapter. */
async function losses(
  directory: string,
  options: { args: readonly string[]; env: Record<string, string> },
): Promise<number[] | undefined> {
  const { code, stderr } = await runTask("train", [
    ...options.args,
    ...["--steps", "3", "--set", `train.runDirectory=${directory}`],
    ...["--set", "sample.steps=2", "--set", "train.logEvery=1"],
  ], options.env);
  if (code === EXIT_CODES.device) {
    console.log(`skipped: ${options.env["DENO_WEBGPU_BACKEND"] ?? "default"} backend: ${stderr}`);
    return undefined;
  }
  assert.equal(code, 0, stderr);
  const records = await readRunLog(join(directory, "log.jsonl"));
  return records.map(({ loss }) => Number(loss));
}

async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "gmem_gl_" });
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Checks that training on GL gives the losses of the default backend, and that sampling works. */
async function checkSameLosses(args: readonly string[]): Promise<void> {
  await inDirectory(async (directory) => {
    const run = join(directory, "gl"), out = join(directory, "grid.png");
    const gl = await losses(run, { args, env: GL });
    if (!gl) return;
    assert.equal(gl.length, 3);
    assert(gl.every(Number.isFinite), `${gl}`);
    const usual = await losses(join(directory, "usual"), { args, env: {} });
    // Other kernels sum in another order; the third step has two updates behind it.
    usual?.forEach((loss, step) => assert(Math.abs(gl[step]! - loss) < 1e-4 * loss, `${gl}`));
    const sampled = await runTask("sample", ["--checkpoint", run, "--out", out], GL);
    assert.equal(sampled.code, 0, sampled.stderr);
    assert.match(sampled.stderr, /no subgroups/);
    assert.equal(decodePng(await Deno.readFile(out)).width, 4 * 160 + 3 * 2);
  });
}

Deno.test("train on GL gives the losses of the default backend", async () => {
  await checkSameLosses(SMALL_EMOJI);
});

Deno.test("train on GL gives the same losses for every kind of layer and loss", async () => {
  await checkSameLosses([
    ...SMALL_EMOJI,
    ...[
      ...["model.rope=true", "model.swiglu=true", "model.rmsNorm=true", "model.qkNorm=true"],
      ...["model.snippetEmbedding=mlp3", "model.zeroInit=false", "interpolant.cosineLoss=true"],
      ...["train.recompute=true", "train.gradientAccumulation=2", "data.flip=true"],
    ].flatMap((setting) => ["--set", setting]),
  ]);
});

Deno.test("train on GL gives the same losses with labels", async () => {
  await checkSameLosses([...SMALL_EMOJI, "--set", "model.conditioning=label"]);
});
