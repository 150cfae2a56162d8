/** The command as a user meets it, up to where its long work begins. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { lockFolder } from "../../cli/folder_lock.ts";
import { canSignal } from "../_system.ts";
import {
  assertRefusal,
  deviceTest,
  finish,
  inTemporary,
  runTask,
  startTask,
  untilWritten,
} from "../_tasks.ts";

Deno.test("claims refuses a folder that cannot be written to before it opens a device", async () => {
  const file = inTemporary("a_file"), taken = inTemporary("taken");
  Deno.writeTextFileSync(file, "");
  Deno.mkdirSync(join(taken, "results"), { recursive: true });
  Deno.writeTextFileSync(join(taken, "results/tiny"), "");
  for (const [out, problem] of [[file, file], [taken, join(taken, "results/tiny")]] as const) {
    const run = await runTask("claims", ["d", "--out", out, "--runs", inTemporary("no_runs")]);
    assertRefusal(run, 1, `Cannot write ${out}`, `${problem} is a file, expected a folder`);
    assert.doesNotMatch(run.stderr, /^device/m);
  }
  const run = await runTask("claims", ["d", "--plan", "--runs", file]);
  assertRefusal(run, 1, `${file} is a file, expected a folder`);
  assert.doesNotMatch(run.stderr, /^device/m);
});

Deno.test("claims takes --onnx with --like alone, and a bank that is there", async () => {
  assertRefusal(
    await runTask("claims", ["d", "--onnx", "x.onnx"]),
    2,
    "Cannot take --onnx without a bank: expected --like FILE",
  );
  const runs = inTemporary("like_runs"), like = inTemporary("nowhere.safetensors");
  const run = await runTask("claims", ["d", "--plan", "--runs", runs, "--like", like]);
  assertRefusal(run, 1, `Cannot read file "${like}": there is no such file`);
  assert.doesNotMatch(run.stderr, /^bank/m);
});

Deno.test("claims leaves a folder alone in which another process trains", async () => {
  const runs = inTemporary("taken_runs");
  using _lock = await lockFolder(join(runs, "tiny"), { expected: "", note: () => {} });
  assertRefusal(
    await runTask("claims", ["d", "--plan", "--runs", runs]),
    2,
    "another process writes there, expected that it ends first, or another folder by --runs DIR",
  );
});

deviceTest("claims --plan --json prints what there is to do as one object", async () => {
  const { code, stdout, stderr } = await runTask("claims", [
    ...["d", "--plan", "--json", "--runs", inTemporary("planned_runs")],
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^plan {4}train .*\nplan {4}draw \d+ sets of samples, /m);
  const { trainings, sets, images, trainingSeconds, drawingSeconds } = JSON.parse(stdout);
  assert.match(trainings.join(), /^GMem.* steps\)$/);
  assert(sets > 1 && images > sets && trainingSeconds > 0 && drawingSeconds > 0, stdout);
});

deviceTest("claims ends at Ctrl-C before it has told what there is to do", async () => {
  if (!canSignal()) return;
  const runs = inTemporary("stopped_runs");
  const child = startTask("claims", ["d", "--plan", "--runs", runs]);
  await untilWritten(join(runs, "tiny"), child);
  child.kill("SIGINT");
  const { code, stderr } = await finish(child);
  assert.equal(code, 130, stderr);
  assert.match(stderr, /^stopped; the same command goes on from what is kept$/m);
  assert.doesNotMatch(stderr, /^plan /m);
});
