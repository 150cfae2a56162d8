/** The commands as a user meets them: what they write, and what they say to bad input. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { writeBank } from "../bank/bank_writer.ts";
import { BankFile } from "../bank/file.ts";
import { indexByNoise } from "../bank/noise_index.ts";
import { drawUniform } from "../bank/retrieve.ts";
import { writeNpy } from "../bank/npy.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { loadEmoji } from "../train/datasets/emoji.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { decodePng, encodePng } from "../train/datasets/png.ts";
import { lockFolder } from "../cli/folder_lock.ts";
import { readRunLog } from "../cli/run_log.ts";
import { openDevice } from "./_gpu.ts";
import { canSignal } from "./_system.ts";
import {
  finish,
  type Finished,
  ROOT,
  runTask,
  SMALL,
  SMALL_EMOJI,
  start,
  startTask,
  taskCommand,
} from "./_tasks.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_commands_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

let hasDevice: Promise<boolean> | undefined;
let trained: Promise<{ directory: string } & Finished> | undefined;

/** A test that is skipped, with the reason printed, where no device can be opened. */
function deviceTest(name: string, fn: () => Promise<void>): void {
  Deno.test(name, async () => {
    hasDevice ??= openDevice().then((device) => {
      device?.dispose();
      return device !== undefined;
    });
    if (await hasDevice) await fn();
  });
}

function inTemporary(name: string): string {
  return join(TEMPORARY, name);
}

function trainSmall(directory: string, ...args: string[]): Promise<Finished> {
  const settings = [
    ...["--set", `train.runDirectory=${directory}`, "--set", "train.evaluateEvery=2"],
    ...["--steps", "3", ...args],
  ];
  return runTask("train", [...SMALL_EMOJI, ...settings]);
}

/** A run of three steps that all tests share; they copy it to change it. */
function trainedRun(): Promise<{ directory: string } & Finished> {
  const directory = inTemporary("run");
  return trained ??= trainSmall(directory, "--json").then((run) => ({ directory, ...run }));
}

/** A copy of the shared run, and of everything in it before a command ran. */
async function copyOfRun(name: string): Promise<string> {
  const { directory } = await trainedRun();
  const copy = inTemporary(name);
  copyDirectory(directory, copy);
  return copy;
}

function copyDirectory(source: string, target: string): void {
  Deno.mkdirSync(target, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(source)) {
    const [from, to] = [join(source, name), join(target, name)];
    if (isDirectory) copyDirectory(from, to);
    else Deno.copyFileSync(from, to);
  }
}

/** Every file under a directory with its bytes. */
function contents(directory: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const path = join(directory, name);
    if (!isDirectory) files.set(name, Deno.readFileSync(path));
    else for (const [inside, bytes] of contents(path)) files.set(join(name, inside), bytes);
  }
  return files;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Checks that a command failed with a code and said so, on standard error alone. */
function assertRefusal(run: Finished, code: number, ...said: (string | RegExp)[]): void {
  assert.equal(run.code, code, run.stderr);
  assert.equal(run.stdout, "");
  assert.match(run.stderr, /^error: /m);
  assert.doesNotMatch(run.stderr, /^ {4}at /m);
  for (const text of said) {
    if (text instanceof RegExp) assert.match(run.stderr, text);
    else assert(run.stderr.includes(text), `${run.stderr}\nlacks ${text}`);
  }
}

/** Writes images that differ, the first `corrupt` of them cut off. */
function writeImages(directory: string, options: { count: number; corrupt: number }): void {
  Deno.mkdirSync(directory);
  for (let i = 0; i < options.count; i++) {
    const data = Uint8Array.from({ length: 360 }, (_, k) => (k * (i + 3) * 7 + i * 31) % 256);
    const png = encodePng({ width: 10, height: 12, channels: 3, data });
    const name = `image_${String(i).padStart(2, "0")}.png`;
    Deno.writeFileSync(join(directory, name), i < options.corrupt ? png.subarray(0, 60) : png);
  }
}

Deno.test("every command explains itself with --help, with examples", async () => {
  const commands: [task: Parameters<typeof runTask>[0], ...words: string[]][] = [
    ["train"],
    ["encode"],
    ["sample"],
    ["evaluate"],
    ["bank", "build"],
    ["bank", "inspect"],
    ["bank", "transfer"],
    ["bank", "learn-text"],
    ["bank", "learn-features"],
    ["verify"],
    ["claims"],
    ["inspect"],
    ["tune"],
    ["bench"],
  ];
  await Promise.all(commands.map(async ([task, ...words]) => {
    const { code, stdout, stderr } = await runTask(task, [...words, "--help"]);
    assert.equal(code, 0, stderr);
    const name = ["deno task", task, ...words].join(" ");
    assert(stdout.startsWith(`Usage: ${name} `), stdout);
    assert.match(stdout, new RegExp(`^Examples:\\n {2}${name}\\s`, "m"));
  }));
});

Deno.test("a command line that cannot be used gives exit code 2 and the nearest name", async () => {
  const cases: [task: "train" | "sample" | "evaluate" | "bank", args: string[], said: string][] = [
    ["train", ["--stepz", "3"], "unknown option --stepz, did you mean --steps?"],
    ["train", ["--steps", "few"], "Cannot read --steps few: expected a whole number, at least 1"],
    ["train", ["configs/emoji.yaml", "--resume", "runs/x"], "Cannot resume with configs/emoji"],
    ["sample", [], "Cannot draw: expected --checkpoint DIR or --weights FILE"],
    ["sample", ["--index", "3,x"], "Cannot read --index 3,x: expected whole numbers such as 3,17"],
    ["sample", ["--class", "a", "--by-noise"], "by --class and --by-noise: expected one of them"],
    [
      "sample",
      ["--checkpoint", "x", "--reversed"],
      "take --reversed: it is about a file of weights",
    ],
    ["evaluate", ["--samples", "x", "--heads", "2"], "Cannot take --heads: it is about a file"],
    ["sample", ["--checkpoint", "x", "--sampler", "huen"], "did you mean heun?"],
    ["bank", ["biuld"], "unknown command biuld, did you mean build?"],
  ];
  await Promise.all(cases.map(async ([task, args, said]) => {
    assertRefusal(await runTask(task, args), 2, said);
  }));
});

Deno.test("a wrong configuration gives exit code 1 and the nearest key or the files there", async () => {
  const directory = inTemporary("configurations");
  await Deno.mkdir(directory);
  await Deno.writeTextFile(join(directory, "mine.yaml"), "train: { stepz: 3 }\n");
  const wrong = await runTask("train", [join(directory, "mine.yaml")]);
  assertRefusal(wrong, 1, "mine.yaml: unknown key train.stepz, did you mean train.steps?");
  const set = await runTask("train", ["--set", "modle.width=16"]);
  assertRefusal(set, 1, "unknown key modle", "did you mean model");
  const folder = await runTask("train", [directory]);
  assertRefusal(folder, 1, `Cannot read configuration ${directory}: `, "expected a YAML file\n");
  const missing = await runTask("train", [join(directory, "main.yaml")]);
  assertRefusal(
    missing,
    1,
    "main.yaml: there is no such file, expected one such as",
    join(directory, "mine.yaml"),
    "configs/emoji_tiny.yaml",
  );
});

Deno.test("without an adapter commands give exit code 3 and say what to install", async () => {
  const directory = inTemporary("no_adapter");
  const runs = await Promise.all([
    runTask("train", ["--set", `train.runDirectory=${directory}`], { DENO_WEBGPU_BACKEND: "" }),
    runTask("bank", ["build", "--out", directory], { DENO_WEBGPU_BACKEND: "" }),
  ]);
  for (const run of runs) {
    assertRefusal(run, 3, "no adapter found", "package mesa-vulkan-drivers");
  }
  assert(!exists(directory));
});

deviceTest(
  "train writes pictures, plot, log, report and a checkpoint of official names",
  async () => {
    const { directory, code, stdout, stderr } = await trainedRun();
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^device {2}\S/m);
    const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ step }) => step), [1, 2, 3, 3]);
    assert.deepEqual(await readRunLog(join(directory, "log.jsonl")), lines.slice(0, 3));
    for (const step of [2, 3]) {
      const picture = await Deno.readFile(join(directory, `samples/step_000000${step}.png`));
      // Four columns of 8 pixels, 20-fold, with gaps of 2; a row of data over a row of samples.
      const { width, height } = decodePng(picture);
      assert.deepEqual([width, height], [4 * 160 + 3 * 2, 2 * 160 + 2]);
    }
    assert.match(await Deno.readTextFile(join(directory, "loss.svg")), /^<svg/);
    assert.deepEqual(lines.slice(0, 3).map(({ frechet }) => frechet > 0), [false, true, false]);
    const evaluation = await Deno.readTextFile(join(directory, "evaluation.svg"));
    assert.match(evaluation, />held-out images</);
    const report = JSON.parse(await Deno.readTextFile(join(directory, "report.json")));
    assert.deepEqual(lines[3].report, report);
    assert.equal(report.step, 3);
    assert(Number.isFinite(report.cosine) && Number.isFinite(report.frechet.heldOut));
    const checkpoint = join(directory, "step_0000003");
    assert.equal(lines[3].checkpoint, checkpoint);
    for (const name of ["model", "ema"]) {
      using file = SafetensorsFile.open(join(checkpoint, `${name}.safetensors`));
      assert.deepEqual(file.entry("x_embedder.proj.weight").shape, [16, 3, 4, 4]);
      assert.deepEqual(file.entry("blocks.0.attn.qkv.weight").shape, [48, 16]);
      assert.deepEqual(file.entry("final_layer.linear.weight").shape, [48, 16]);
    }
    const { step, config } = JSON.parse(await Deno.readTextFile(join(checkpoint, "state.json")));
    assert.deepEqual([step, config.model.width], [3, 16]);
  },
);

deviceTest("train --recompute takes the same steps and keeps the setting", async () => {
  const plain = inTemporary("plain"), recomputed = inTemporary("recomputed");
  assert.equal((await trainSmall(plain)).code, 0);
  assert.equal((await trainSmall(recomputed, "--recompute")).code, 0);
  const losses = async (directory: string) =>
    (await readRunLog(join(directory, "log.jsonl"))).map(({ loss }) => loss);
  assert.deepEqual(await losses(recomputed), await losses(plain));
  const state = JSON.parse(
    await Deno.readTextFile(join(recomputed, "step_0000003", "state.json")),
  );
  assert.equal(state.config.train.recompute, true);
});

deviceTest("train --resume goes on as if it had not been interrupted", async () => {
  const resumed = await copyOfRun("resumed"), whole = inTemporary("whole");
  const run = await runTask("train", ["--resume", resumed, "--steps", "5"]);
  assert.equal(run.code, 0, run.stderr);
  assert.equal((await trainSmall(whole, "--steps", "5")).code, 0);
  for (const name of ["model", "ema", "optimizer"]) {
    const file = `step_0000005/${name}.safetensors`;
    assert.deepEqual(Deno.readFileSync(join(resumed, file)), Deno.readFileSync(join(whole, file)));
  }
  const log = await readRunLog(join(resumed, "log.jsonl"));
  assert.deepEqual(log.map(({ step }) => step), [1, 2, 3, 4, 5]);
  // The curve goes on as well.
  const distances = log.map(({ frechet }) => frechet);
  assert.deepEqual(
    (await readRunLog(join(whole, "log.jsonl"))).map(({ frechet }) => frechet),
    distances,
  );
  assert.deepEqual(distances.map(Number.isFinite), [false, true, false, true, false]);
});

deviceTest(
  "train --resume goes on with the images of the run and from its last step alone",
  async () => {
    const directory = await copyOfRun("resumed_wrongly");
    const resume = (from: string, ...args: string[]) =>
      runTask("train", ["--resume", from, "--steps", "5", ...args]);
    const before = contents(directory);
    // Another number of images, and another choice of as many.
    assertRefusal(
      await resume(directory, "--set", "data.heldOut=1699"),
      1,
      /Cannot go on from .*: the images, or which of them are held out, are not those/,
    );
    assertRefusal(
      await resume(directory, "--set", "train.seed=7"),
      1,
      /Cannot go on from .*: the images, or which of them are held out, are not those that it was trained on/,
    );
    for (
      const [setting, said] of [
        ["bank.dim=8", "Cannot change bank.dim to 8: the run was started with 12, expected that\n"],
        ["train.runDirectory=elsewhere", "expected that; its folder may be moved\n"],
      ]
    ) {
      assertRefusal(await resume(directory, "--set", setting!), 2, said!);
    }
    copyDirectory(join(directory, "step_0000003"), join(directory, "step_0000009"));
    const state = join(directory, "step_0000009", "state.json");
    const later = JSON.parse(Deno.readTextFileSync(state));
    Deno.writeTextFileSync(state, JSON.stringify({ ...later, step: 9 }));
    const earlier = join(directory, "step_0000003");
    assertRefusal(
      await resume(earlier),
      2,
      "its folder has later checkpoints, up to",
      "step_0000009",
    );
    Deno.removeSync(join(directory, "step_0000009"), { recursive: true });
    assert.deepEqual(contents(directory), before);
  },
);

Deno.test("train looks for the files that it will read before it reads images", async () => {
  const directory = inTemporary("without_files");
  const cases: [name: string, args: string[]][] = [
    ["--init", ["--init", "nowhere"]],
    ["bank.path", ["-s", "bank.path=nowhere"]],
    ["bank.onnx.path", ["-s", "bank.encoder=onnx", "-s", "bank.onnx.path=nowhere"]],
  ];
  for (const [name, args] of cases) {
    const { code, stderr } = await trainSmall(directory, ...args);
    const problem = "Cannot read nowhere: there is no such file, expected one for";
    assert.deepEqual([code, stderr], [1, `error: ${problem} ${name}\n`]);
  }
  assert(!exists(directory));
});

deviceTest("train refuses a sampler that cannot draw before it trains", async () => {
  const directory = inTemporary("cannot_draw");
  const settings = (...set: string[]) => set.flatMap((each) => ["--set", each]);
  const run = await trainSmall(
    directory,
    ...settings("sample.sampler=euler-maruyama", "sample.diffusion.form=sbdm"),
  );
  assert.equal(run.code, 1, run.stderr);
  assert.match(run.stderr, /Cannot compute sbdm diffusion on the linear path/);
  assert.doesNotMatch(run.stderr, /^step 1/m);
  assertRefusal(
    await trainSmall(directory, ...settings("sample.sampler=sde-heun", "sample.steps=1")),
    1,
    /sample\.steps.* is 1, expected at least 2 with sde-heun/,
  );
  assertRefusal(
    await trainSmall(directory, ...settings("sample.sampler=sde-heun", "sample.timestepShift=0.3")),
    1,
    /sample\.timestepShift.* is 0\.3, expected 1 with sde-heun, whose steps are even/,
  );
});

deviceTest("train comes to its end on three images", async () => {
  const images = inTemporary("three"), directory = inTemporary("run_of_three");
  writeImages(images, { count: 3, corrupt: 0 });
  const run = await trainSmall(
    directory,
    ...["--data", images, "--set", "data.heldOut=0", "--set", "bank.dim=2", "--json"],
  );
  assert.equal(run.code, 0, run.stderr);
  const { report } = JSON.parse(run.stdout.trimEnd().split("\n").at(-1)!);
  assert(Number.isFinite(report.frechet.samples) && report.frechet.halves === undefined);
});

deviceTest("train goes on without measurements and pictures that fail", async () => {
  const directory = inTemporary("unmeasured"), last = join(directory, "step_0000003");
  Deno.mkdirSync(directory);
  // No folder of pictures can be made, and guidance without bounds draws samples without numbers.
  Deno.writeTextFileSync(join(directory, "samples"), "");
  const settings = ["--set", "sample.guidance.scale=1e300", "--json"];
  const run = await trainSmall(directory, ...settings);
  assert.equal(run.code, 0, run.stderr);
  const skipped = run.stderr.split("\n").filter((line) => line.startsWith("skipped "));
  const reason = "Cannot measure sample 0: it holds NaN, expected finite numbers";
  const picture = String.raw`picture of step \d: .*samples.*`;
  const expected = [`measurement of step 2: ${reason}`, picture, picture, `report: ${reason}`];
  assert.match(skipped.join("\n"), new RegExp(`^skipped the ${expected.join("\nskipped the ")}$`));
  const lines = run.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines[3], { step: 3, checkpoint: last, plot: join(directory, "loss.svg") });
  const log = await readRunLog(join(directory, "log.jsonl"));
  assert.deepEqual(log, lines.slice(0, 3));
  assert(log.every(({ loss, frechet }) => Number.isFinite(loss) && frechet === undefined));
  assert(exists(join(directory, "loss.svg")) && !exists(join(directory, "evaluation.svg")));
  assert(exists(join(last, "state.json")));
});

deviceTest("train goes on without plots and a report that cannot be written", async () => {
  const directory = inTemporary("unwritten");
  for (const name of ["loss.svg", "report.json"]) {
    Deno.mkdirSync(join(directory, name, "in_the_way"), { recursive: true });
  }
  const run = await trainSmall(directory, "--json");
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stderr, /^skipped the plot loss\.svg: .*loss\.svg/m);
  assert.match(run.stderr, /^skipped report\.json: .*report\.json/m);
  const { step, plot, picture, report } = JSON.parse(run.stdout.trimEnd().split("\n").at(-1)!);
  assert.deepEqual([step, plot], [3, undefined]);
  assert(exists(picture) && Number.isFinite(report.cosine));
  assert(exists(join(directory, "evaluation.svg")));
  const left = [...Deno.readDirSync(directory)].map(({ name }) => name);
  assert.deepEqual(left.filter((name) => name.endsWith(".partial")), []);
});

deviceTest("train saves a step before it measures it", async () => {
  const directory = inTemporary("saved_first");
  const child = startTask("train", [
    ...[...SMALL_EMOJI, "--steps", "3", "--json", "--set", `train.runDirectory=${directory}`],
    ...["--set", "train.checkpointEvery=2", "--set", "train.evaluateEvery=2"],
  ]);
  const said = new Response(child.stderr).text();
  const saved: Record<number, boolean> = {};
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    for (const line of text.trimEnd().split("\n")) {
      const { step } = JSON.parse(line);
      saved[step] ??= exists(join(directory, `step_000000${step}`));
    }
  }
  assert.equal((await child.status).code, 0, await said);
  assert.deepEqual(saved, { 1: false, 2: true, 3: true });
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  deviceTest(`train saves at ${signal} and says how to go on`, async () => {
    if (!canSignal()) return;
    const directory = inTemporary(`interrupted_by_${signal}`);
    const child = startTask("train", [
      ...SMALL_EMOJI,
      ...["--set", `train.runDirectory=${directory}`, "--steps", "100000"],
      ...["--set", "train.checkpointEvery=null", "--set", "train.sampleEvery=null"],
    ]);
    const log = join(directory, "log.jsonl");
    while (!exists(log) || Deno.statSync(log).size === 0) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    child.kill(signal);
    const { code, stderr } = await finish(child);
    assert.equal(code, 130, stderr);
    const step = (await readRunLog(log)).length;
    assert.match(stderr, /^stopping; Ctrl-C again ends at once$/m);
    assert.match(stderr, new RegExp(`^stopped after step ${step} and saved `, "m"));
    assert(stderr.includes(`go on with: deno task train --resume ${directory}\n`), stderr);
    assert(exists(join(directory, `step_${String(step).padStart(7, "0")}`, "state.json")));
  });
}

deviceTest("train saves the steps before one whose images cannot be read", async () => {
  const data = inTemporary("vanishing"), directory = inTemporary("vanished");
  writeImages(data, { count: 40, corrupt: 0 });
  const child = startTask("train", [
    ...[...SMALL, "--data", data, "--steps", "100000", "--set", "data.memoryLimit=0"],
    ...["--set", `train.runDirectory=${directory}`, "--set", "train.checkpointEvery=null"],
    ...["--set", "train.sampleEvery=null"],
  ]);
  const log = join(directory, "log.jsonl");
  while (!exists(log) || Deno.statSync(log).size === 0) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  Deno.renameSync(data, `${data}_away`);
  const run = await finish(child);
  const step = (await readRunLog(log)).length;
  const saved = join(directory, `step_${String(step).padStart(7, "0")}`);
  assertRefusal(
    run,
    1,
    /^error: Cannot load image .*vanishing.*image_\d\d\.png/m,
    `The last good checkpoint is ${saved}; go on from it with: deno task train --resume`,
  );
  assert(exists(join(saved, "state.json")));
});

deviceTest("train keeps its newest checkpoints and those with another's file in them", async () => {
  const directory = await copyOfRun("newest");
  Deno.writeTextFileSync(join(directory, "step_0000003", "evaluation.json"), "{}");
  const go = async (...args: string[]) => {
    const run = await runTask("train", [
      ...["--resume", directory, "--set", "train.checkpointEvery=1", ...args],
    ]);
    assert.equal(run.code, 0, run.stderr);
    return [...Deno.readDirSync(directory)].map(({ name }) => name)
      .filter((name) => name.startsWith("step_")).map((name) => Number(name.slice(5))).sort();
  };
  assert.deepEqual(await go("--steps", "6", "--set", "train.keepCheckpoints=2"), [3, 5, 6]);
  const all = await go("--steps", "9", "--set", "train.keepCheckpoints=null");
  assert.deepEqual(all, [3, 5, 6, 7, 8, 9]);
});

deviceTest("train --init names the file of weights in a run's folder", async () => {
  const { directory } = await trainedRun();
  const run = await trainSmall(inTemporary("from_folder"), "--init", directory);
  const file = join(directory, "step_0000003", "ema.safetensors");
  assertRefusal(run, 2, `from ${directory}: it is a folder, expected a file such as ${file}\n`);
});

deviceTest("train starts no run among the checkpoints of another", async () => {
  const { directory } = await trainedRun();
  const before = contents(directory);
  assertRefusal(await trainSmall(directory), 2, "step_0000003", `--resume ${directory}`);
  assert.deepEqual(contents(directory), before);
});

deviceTest("train leaves a run alone that another process trains", async () => {
  const directory = await copyOfRun("locked"), fresh = inTemporary("locked_fresh");
  const others = { expected: "", note: (line: string) => assert.fail(line) };
  using _lock = await lockFolder(directory, others);
  using _freshLock = await lockFolder(fresh, others);
  const before = contents(directory);
  assertRefusal(
    await runTask("train", ["--resume", directory, "--steps", "4"]),
    2,
    `folder ${directory}: another process trains there, expected that it ends first\n`,
  );
  assertRefusal(
    await trainSmall(fresh),
    2,
    "another process trains there, expected that it ends first, or another folder by --set",
  );
  assert.deepEqual(contents(directory), before);
  assert.deepEqual([...contents(fresh).keys()], [".lock"]);
});

deviceTest("sample draws a picture with any sampler, guidance and condition", async () => {
  const { directory } = await trainedRun();
  const labels = inTemporary("labels");
  assert.equal((await trainSmall(labels, "--set", "model.conditioning=label")).code, 0);
  const cases: [args: string[], evaluations: number][] = [
    [["--checkpoint", directory, "--sampler", "heun", "--steps", "3"], 6],
    [["--checkpoint", directory, "--sampler", "euler-maruyama"], 2],
    // Guided, each evaluation is one with the snippet and one without.
    [
      [
        ...["--checkpoint", join(directory, "step_0000003"), "--sampler", "heun"],
        ...["--set", "sample.guidance.scale=2"],
      ],
      8,
    ],
    // The configuration's own sampler: one stochastic Heun step and the last one.
    [["--checkpoint", labels, "--seed", "1"], 3],
  ];
  for (const [index, [args, evaluations]] of cases.entries()) {
    const out = inTemporary(`new/${index}.png`);
    const { code, stdout, stderr } = await runTask("sample", [...args, "--out", out, "--json"]);
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout);
    assert.deepEqual([result.out, result.count, result.step], [out, 4, 3]);
    assert.equal(result.evaluations, evaluations);
    assert.deepEqual(decodePng(await Deno.readFile(out)).width, 4 * 160 + 3 * 2);
  }
});

deviceTest(
  "a path is that of the folder in which a task is called",
  async () => {
    await copyOfRun("called/run");
    const called = inTemporary("called"), env = { INIT_CWD: called };
    const sample = ["--checkpoint", "run", "--count", "1"];
    for (
      const [args, file] of [
        [[], "called/samples.png"],
        [["--out", "../called_above.png"], "called_above.png"],
      ] as const
    ) {
      const { code, stderr } = await runTask("sample", [...sample, ...args], env);
      assert.equal(code, 0, stderr);
      assert(stderr.includes(inTemporary(file)), stderr);
      assert(exists(inTemporary(file)));
    }
    const set = ["-s", "train.runDirectory=mine", "--steps", "1"];
    const run = await runTask("train", [...SMALL_EMOJI, ...set], env);
    assert.equal(run.code, 0, run.stderr);
    assert(exists(join(called, "mine/step_0000001")));
    Deno.writeTextFileSync(join(called, "a.yaml"), "train: {runDirectory: ~/mine}");
    assertRefusal(await runTask("train", ["a.yaml"], env), 2, "Cannot keep a run in ~/mine:");
  },
);

deviceTest("sample draws from the snippets that it is asked for", async () => {
  const { directory } = await trainedRun();
  using bank = BankFile.open(join(directory, "bank.safetensors"));
  const out = inTemporary("chosen.png");
  const sample = (...args: string[]) =>
    runTask("sample", ["--checkpoint", directory, "--out", out, "--json", ...args]);
  const snippets = async (...args: string[]): Promise<number[]> => {
    const { code, stdout, stderr } = await sample(...args);
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout);
    assert.equal(result.count, result.snippets.length);
    return result.snippets;
  };
  assert.deepEqual(await snippets("--index", "3,17", "--index", "5"), [3, 17, 5]);
  assert.deepEqual(decodePng(Deno.readFileSync(out)).width, 3 * 160 + 2 * 2);
  assert.deepEqual(await snippets("--index", "3,17", "--count", "5"), [3, 17, 3, 17, 3]);
  const name = bank.names![42]!;
  assert.deepEqual(await snippets("--name", name), [42, 42, 42, 42]);
  const label = bank.labels![7]!;
  const members = await snippets("--class", bank.classes[label]!, "--count", "9");
  assert.deepEqual(members.map((index) => bank.labels![index]), Array(9).fill(label));
  assert(new Set(members).size > 1);
  assert.deepEqual(await snippets("--seed", "3"), [...drawUniform(206, { count: 4, seed: 3 })]);
  // The noises that the images start from; all snippets are equally frequent.
  const random = new Random(3, Stream.Sampler), noise = new Float32Array(4 * 3 * 8 ** 2);
  for (let sample = 0; sample < 4; sample++) {
    random.fillNormal(noise.subarray(sample * 192, (sample + 1) * 192), { step: 0, sample });
  }
  assert.deepEqual(await snippets("--by-noise", "--seed", "3"), [
    ...indexByNoise(noise, { batch: 4, frequencies: new Uint8Array(206).fill(1) }),
  ]);

  // The image behind snippet 42 finds it first. Four pairs, 12-fold.
  const emoji = await loadEmoji({ imageSize: 8 }), image = inTemporary("like.png");
  const pixels = emoji.read(Uint32Array.of(emoji.names.indexOf(name)));
  const tile = { columns: 1, imageSize: 8, channels: 3 } as const;
  Deno.writeFileSync(image, encodePng(tileImages(pixels, tile)));
  const like = await snippets("--like", image);
  assert.deepEqual([like[0], new Set(like).size], [42, 4]);
  const { width, height } = decodePng(Deno.readFileSync(out));
  assert.deepEqual([width, height], [4 * 96 + 3 * 2, 2 * 96 + 2]);

  assertRefusal(
    await sample("--class", "Fish"),
    1,
    'class "Fish": the bank has the classes Smileys',
  );
  assertRefusal(await sample("--name", "qqq"), 1, `"qqq": no image has that name, or its words`);
  assertRefusal(await sample("--index", "206"), 1, "the bank has 206 snippets");
  assertRefusal(await sample("--onnx", "dinov2.onnx"), 2, "it encodes for --text or --like");
  const adaptive = ["--checkpoint", directory, "--sampler", "dopri5", "--steps", "3"];
  for (const task of ["sample", "evaluate"] as const) {
    assertRefusal(
      await runTask(task, adaptive),
      2,
      "Cannot take --steps with dopri5: its steps follow from the error",
    );
  }
  assertRefusal(
    await sample("--sampler", "dopri5", "--set", "sample.timestepShift=0.3"),
    1,
    /sample\.timestepShift.* is 0\.3, expected 1 with dopri5, whose steps follow from the error/,
  );
  const plain = inTemporary("nameless.safetensors"), vectors = inTemporary("nameless.npy");
  assert.equal((await runTask("bank", ["export", bank.path, "--out", vectors])).code, 0);
  assert.equal((await runTask("bank", ["import", vectors, "--out", plain])).code, 0);
  const nameless = ["--bank", plain, "--any-encoder"];
  assertRefusal(await sample(...nameless, "--class", "Flags"), 1, "the bank has no classes");
  assertRefusal(await sample(...nameless, "--name", "x"), 1, "the bank has no names and no texts");
  assertRefusal(await sample(...nameless, "--like", image), 1, "its encoder is features, expected");
});

deviceTest("sample draws the classes of a model that labels guide", async () => {
  const directory = inTemporary("labelled");
  // Labels that are never dropped need no null class.
  const settings = ["--set", "model.conditioning=label", "--set", "model.classDropout=0"];
  const trained = await trainSmall(directory, ...settings);
  assert.equal(trained.code, 0, trained.stderr);
  using weights = SafetensorsFile.open(join(directory, "step_0000003", "model.safetensors"));
  assert.deepEqual(weights.entry("y_embedder.embedding_table.weight").shape, [9, 16]);
  const sample = (...args: string[]) =>
    runTask("sample", [
      ...["--checkpoint", directory, "--out", inTemporary("labelled.png"), "--json", ...args],
    ]);
  const classes = ["--class", "Flags", "--class", "0", "--class", "Symbols"];
  const { code, stdout, stderr } = await sample(...classes);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout).labels, [8, 0, 7, 8]);

  const drawn = async (...args: string[]): Promise<number[]> => {
    const { code, stdout, stderr } = await sample("--count", "40", "--seed", "3", ...args);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout).labels;
  };
  // As often as the training images have them: the label of one that is drawn.
  const { train } = (await loadEmoji({ imageSize: 8 })).split({ heldOut: 1700, seed: 0 });
  const rising = train.labels.toSorted(), choice = { count: 40, seed: 3 };
  const asData = drawUniform(train.size, choice).map((image) => rising[image]!);
  assert.deepEqual(await drawn(), [...asData]);
  const path = join(directory, "step_0000003", "state.json");
  const { classCounts, ...state } = JSON.parse(Deno.readTextFileSync(path));
  // A checkpoint of old does not say how often.
  Deno.writeTextFileSync(path, JSON.stringify(state));
  assert.deepEqual(await drawn(), [...drawUniform(9, choice)]);
  // A class without images is drawn where it is asked for alone.
  const without = classCounts.map((count: number, label: number) => label === 4 ? count : 0);
  Deno.writeTextFileSync(path, JSON.stringify({ ...state, classCounts: without }));
  assert.deepEqual(await drawn(), Array(40).fill(4));
  assert.deepEqual(await drawn("--class", "Flags"), Array(40).fill(8));
  assertRefusal(
    await sample("--class", "Fish"),
    1,
    /the model knows no such class, expected Smileys & Emotion, .*, Flags, or a number from 0 to 8/,
  );
  assertRefusal(
    await sample("--by-noise"),
    2,
    /Cannot draw by --by-noise with .*: the model is guided by labels, expected --class, or a model/,
  );
});

deviceTest("bank learn-text learns words that sample --text draws from", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors");
  const mapper = inTemporary("words/mapper.safetensors"), picture = inTemporary("words/found.png");
  const learn = (...args: string[]) =>
    runTask("bank", [
      ...["learn-text", "--bank", bank, "--epochs", "12", "--batch", "48", "--width", "32"],
      ...["--out", mapper, "--picture", picture, "--json", ...args],
    ]);
  const learned = await learn();
  assert.equal(learned.code, 0, learned.stderr);
  const lines = learned.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.slice(0, 12).map(({ step }) => step),
    Array.from({ length: 12 }, (_, i) => i + 1),
  );
  assert(lines[11].loss < lines[0].loss, learned.stdout);
  const { accuracy, rows } = lines[12];
  // A tenth of the 206 images; eight of them are shown, each beside five of 32 pixels, 3-fold.
  assert.deepEqual([accuracy.images, rows.length, rows[0].nearest.length], [21, 8, 5]);
  const found = decodePng(Deno.readFileSync(picture));
  assert.deepEqual([found.width, found.height], [96 + 14 + 5 * 96 + 4 * 2, 8 * 96 + 7 * 2]);

  const out = inTemporary("words/drawn.png");
  const draw = (...args: string[]) =>
    runTask("sample", ["--checkpoint", directory, "--out", out, "--count", "3", ...args]);
  const texts = ["--text", "red heart", "--text", "cat face"];
  const drawn = await draw("--mapper", mapper, ...texts, "--json");
  assert.equal(drawn.code, 0, drawn.stderr);
  assert.match(drawn.stderr, /^text {4}red heart: nearest to \S.*, cosine 0\.\d+$/m);
  assert.equal(JSON.parse(drawn.stdout).count, 6);
  // A row for each text: the image nearest to it, and three samples, 12-fold.
  const { width, height } = decodePng(Deno.readFileSync(out));
  assert.deepEqual([width, height], [96 + 14 + 3 * 96 + 2 * 2, 2 * 96 + 2]);

  assertRefusal(await draw(...texts), 2, "expected both --text TEXT and --mapper FILE");
  assertRefusal(await draw("--mapper", mapper, "--text", "…"), 1, "expected a word in it");
  // A mapper of a network knows it, and another bank is not its own.
  const onnx = join(ROOT, "tests/fixtures/tiny_text_encoder/model.onnx");
  assertRefusal(await learn("--pooling", "mean"), 2, "expected --onnx FILE");
  assert.equal((await learn("--onnx", onnx, "--pooling", "mean", "--held-out", "0")).code, 0);
  assert.equal((await draw("--mapper", mapper, ...texts)).code, 0);
  const unknown = ["--set", "device.onnxProviders=[abacus]"];
  assertRefusal(await learn("--onnx", onnx, ...unknown), 1, "by abacus: onnxruntime has no such");
  assertRefusal(
    await draw("--mapper", mapper, ...texts, ...unknown),
    1,
    "by abacus: onnxruntime has no such",
  );
  const other = inTemporary("words/other.safetensors");
  const settings = ["--set", "data.imageSize=8", "--set", "data.heldOut=1800"];
  const built = await runTask("bank", [
    ...["build", "--config", "configs/emoji_tiny.yaml", "--out", other, "--dim", "12"],
    ...["--resolution", "8", ...settings],
  ]);
  assert.equal(built.code, 0, built.stderr);
  assertRefusal(
    await draw("--mapper", mapper, "--bank", other, "--any-encoder", ...texts),
    1,
    /Cannot map by .*: it was learned for the snippets of another encoder, fingerprint is/,
  );
});

deviceTest("bank learn-features makes another encoder's vectors snippets of a bank", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors"), vectors = inTemporary("vectors.npy");
  const mapper = inTemporary("features.safetensors"), out = inTemporary("mapped.safetensors");
  // The snippets themselves stand for the other encoder.
  assert.equal((await runTask("bank", ["export", bank, "--out", vectors])).code, 0);
  const learned = await runTask("bank", [
    ...["learn-features", vectors, "--bank", bank, "--out", mapper, "--encoder", "clip-b32"],
    ...["--learning-rate", "1e-2", "--epochs", "30", "--width", "48", "--json"],
  ]);
  assert.equal(learned.code, 0, learned.stderr);
  const { accuracy, loss } = JSON.parse(learned.stdout.trimEnd().split("\n").at(-1)!);
  assert(loss < 0.1 && accuracy.cosine > 0.7 && accuracy.top5 > 0.9, learned.stdout);
  const imported = await runTask("bank", ["import", vectors, "--mapper", mapper, "--out", out]);
  assert.equal(imported.code, 0, imported.stderr);
  using mapped = BankFile.open(out), own = BankFile.open(bank);
  assert.deepEqual([mapped.size, mapped.encoder], [own.size, own.encoder]);
  const drawn = await runTask("sample", [
    ...["--checkpoint", directory, "--bank", out, "--out", inTemporary("mapped.png")],
  ]);
  assert.equal(drawn.code, 0, drawn.stderr);
  await writeNpy(vectors, { shape: [2, 12], pieces: [new Float32Array(24).fill(1)] });
  assertRefusal(
    await runTask("bank", ["learn-features", vectors, "--bank", bank, "--out", mapper]),
    1,
    "it has 2 vectors, expected one for each of the 206 snippets",
  );
});

deviceTest("bank build makes a bank that guides a model of its dimension alone", async () => {
  const { directory } = await trainedRun();
  const [fitting, other] = [inTemporary("bank12.safetensors"), inTemporary("bank24.safetensors")];
  const settings = ["--resolution", "8", "--set", "data.imageSize=8", "--set", "data.heldOut=1800"];
  for (const [out, dim] of [[fitting, "12"], [other, "24"]] as const) {
    const { code, stderr } = await runTask("bank", [
      ...["build", "--config", "configs/emoji_tiny.yaml", "--out", out, "--dim", dim],
      ...settings,
    ]);
    assert.equal(code, 0, stderr);
    using file = BankFile.open(out);
    assert.deepEqual([file.size, file.dim], [106, Number(dim)]);
  }
  const out = inTemporary("other_bank.png");
  const sample = (bank: string, ...args: string[]) =>
    runTask("sample", ["--checkpoint", directory, "--bank", bank, "--out", out, ...args]);
  assertRefusal(await sample(other), 1, other, "24 components, expected 12");
  assertRefusal(
    await sample(fitting),
    1,
    /Cannot guide .* by .*: another encoder made its snippets, fingerprint is .*--any-encoder/,
  );
  assert(!exists(out));
  const taken = await sample(fitting, "--any-encoder");
  assert.equal(taken.code, 0, taken.stderr);
  assert.match(taken.stderr, /^note {4}another encoder made its snippets, .* may follow nothing$/m);
  assert(exists(out));
});

deviceTest("a run takes the snippets that it was trained with, and more behind them", async () => {
  const directory = await copyOfRun("other_snippets"), path = join(directory, "bank.safetensors");
  using file = BankFile.open(join((await trainedRun()).directory, "bank.safetensors"));
  const { records, size, dim } = file, snippets = file.rows(0, size);
  const out = inTemporary("other_snippets.png");
  const sample = (...args: string[]) =>
    runTask("sample", ["--checkpoint", directory, "--out", out, "--count", "2", ...args]);
  const turned = snippets.slice();
  turned.copyWithin(0, dim);
  turned.set(snippets.subarray(0, dim), (size - 1) * dim);
  writeBank(path, { ...records, dim, snippets: turned });
  assertRefusal(
    await runTask("train", ["--resume", directory, "--steps", "4"]),
    1,
    "the snippets of the bank are not those that it was trained with, expected the same bank",
  );
  assertRefusal(await sample(), 1, `by ${path}: its snippets are not those`, "or --bank FILE");
  assert.equal((await sample("--bank", path)).code, 0);

  const more = new Float32Array([...snippets, ...snippets.subarray(0, dim)]);
  const { encoder, encoderWeights } = records;
  writeBank(path, { encoder, encoderWeights, dim, snippets: more });
  assert.equal((await sample("--index", String(size))).code, 0);
});

deviceTest("train refuses a folder without images and too many corrupt ones", async () => {
  const [missing, empty] = [inTemporary("missing"), inTemporary("empty")];
  const many = inTemporary("many_corrupt"), directory = inTemporary("no_run");
  Deno.mkdirSync(empty);
  writeImages(many, { count: 40, corrupt: 3 });
  const on = (data: string) =>
    runTask("train", [...SMALL, "--data", data, "--set", `train.runDirectory=${directory}`]);
  assertRefusal(await on(missing), 1, `${missing} does not exist, expected a folder of png`);
  assertRefusal(await on(empty), 1, `${empty} holds no images`);
  assertRefusal(await on(many), 1, `files in ${many} cannot be decoded`, "image_02.png (");
  assert(!exists(directory));
});

deviceTest("train skips a corrupt image, names it and counts it", async () => {
  const data = inTemporary("one_corrupt"), directory = inTemporary("folder_run");
  writeImages(data, { count: 40, corrupt: 1 });
  const run = await runTask("train", [
    ...[...SMALL, "--data", data, "--steps", "2"],
    ...["--set", `train.runDirectory=${directory}`, "--set", "data.heldOut=4"],
  ]);
  assert.equal(run.code, 0, run.stderr);
  assert.match(run.stderr, /^skipped image_00\.png: /m);
  assert.match(run.stderr, /^skipped 1 files, kept 39$/m);
  assert.match(run.stderr, /^data {4}35 images to train on, 4 held out$/m);
});

deviceTest(
  "train reads a folder above data.memoryLimit from its files, with the same result",
  async () => {
    const data = inTemporary("large_folder");
    writeImages(data, { count: 40, corrupt: 1 });
    const [whole, streamed] = await Promise.all([2, 0].map(async (limit) => {
      const directory = inTemporary(`memory_${limit}`);
      const run = await runTask("train", [
        ...[...SMALL, "--data", data, "--steps", "4", "--json"],
        ...["--set", `train.runDirectory=${directory}`, "--set", "data.heldOut=4"],
        ...["--set", "train.evaluateEvery=2", "--set", `data.memoryLimit=${limit}`],
      ]);
      assert.equal(run.code, 0, run.stderr);
      assert.equal(/stay in their files, for data\.memoryLimit is 0/.test(run.stderr), limit === 0);
      const log = await readRunLog(join(directory, "log.jsonl"));
      const { report } = JSON.parse(run.stdout.trimEnd().split("\n").at(-1)!);
      const pictures = [2, 4].map((step) =>
        Deno.readFileSync(join(directory, "samples", `step_000000${step}.png`))
      );
      const measured = log.map(({ imagesPerSecond: _, ...record }) => record);
      return { measured, report, pictures };
    }));
    assert.equal(whole!.measured.filter(({ frechet }) => Number.isFinite(frechet)).length, 2);
    assert.deepEqual(streamed, whole);
  },
);

deviceTest("sample says what may have taken the weights away", async () => {
  const directory = await copyOfRun("removed");
  const weights = join(directory, "step_0000003", "ema.safetensors");
  Deno.removeSync(weights);
  const run = await runTask("sample", [
    "--checkpoint",
    directory,
    "--out",
    inTemporary("none.png"),
  ]);
  assertRefusal(run, 1, `${weights}: it is not there, perhaps since a run that goes on removed`);
});

deviceTest("truncated files are refused by name and key, and nothing is written", async () => {
  const directory = await copyOfRun("truncated");
  const checkpoint = join(directory, "step_0000003");
  const cases: [task: "train" | "sample", file: string][] = [
    ["sample", join(checkpoint, "ema.safetensors")],
    ["train", join(checkpoint, "model.safetensors")],
    ["train", join(checkpoint, "ema.safetensors")],
    ["train", join(checkpoint, "optimizer.safetensors")],
    ["train", join(directory, "bank.safetensors")],
    ["train", join(checkpoint, "state.json")],
  ];
  for (const [task, file] of cases) {
    const whole = Deno.readFileSync(file);
    Deno.truncateSync(file, Math.floor(whole.length * 0.6));
    const before = contents(directory);
    const run = task === "train"
      ? await runTask("train", ["--resume", directory, "--steps", "4"])
      : await runTask("sample", ["--checkpoint", directory, "--out", join(directory, "x.png")]);
    const key = file.endsWith(".json") ? /JSON/ : /Cannot read tensor "[\w.]+" of file/;
    assertRefusal(run, 1, file, key);
    assert.deepEqual(contents(directory), before);
    Deno.writeFileSync(file, whole);
  }
});

deviceTest("train names the checkpoint before a damaged one", async () => {
  const directory = await copyOfRun("damaged");
  const [earlier, newest] = ["step_0000003", "step_0000004"].map((name) => join(directory, name));
  const resume = () => runTask("train", ["--resume", directory, "--steps", "4"]);
  assert.equal((await resume()).code, 0);
  const advice =
    `If it is damaged, move ${newest} out of the folder, and --resume goes on from ${earlier}\n`;
  for (const file of ["model.safetensors", "state.json"]) {
    const whole = Deno.readFileSync(join(newest!, file));
    Deno.truncateSync(join(newest!, file), 100);
    const before = contents(directory);
    assertRefusal(await resume(), 1, join(newest!, file), advice);
    assert.deepEqual(contents(directory), before);
    Deno.writeFileSync(join(newest!, file), whole);
  }
  Deno.removeSync(newest!, { recursive: true });
  Deno.truncateSync(join(earlier!, "state.json"), 100);
  const alone = await resume();
  assertRefusal(alone, 1, "state.json");
  assert(!alone.stderr.includes("If it is damaged"));
});

deviceTest("train refuses a checkpoint of other shapes, both named", async () => {
  const directory = await copyOfRun("other_shapes");
  const before = contents(directory);
  const run = await runTask("train", ["--resume", directory, "--set", "model.width=32"]);
  assertRefusal(
    run,
    1,
    join(directory, "step_0000003", "model.safetensors"),
    "x_embedder.proj.weight is [16, 3, 4, 4], expected [32, 3, 4, 4]",
  );
  assert.deepEqual(contents(directory), before);
});

deviceTest("train refuses to resume where there is no checkpoint", async () => {
  const directory = inTemporary("not_a_run");
  const missing = await runTask("train", ["--resume", directory]);
  assertRefusal(missing, 1, `Cannot read folder ${directory}`);
  Deno.mkdirSync(directory);
  const empty = await runTask("train", ["--resume", directory]);
  assertRefusal(empty, 1, `Cannot find a checkpoint in ${directory}`);
});

deviceTest("train keeps the old checkpoint when the disk is full", async () => {
  if (Deno.build.os === "windows") return console.log("skipped: sh cannot limit files on Windows");
  const directory = await copyOfRun("full_disk");
  const old = contents(join(directory, "step_0000003"));
  // 75 kB a file, in blocks of 512 bytes: enough for the weights, not for both of their moments.
  // Without the trap the limit would end the process by a signal.
  const limited = `trap '' XFSZ; ulimit -f 150; exec "$@"`;
  const run = await finish(start([
    ...["sh", "-c", limited, "sh"],
    ...taskCommand("train", ["--resume", directory, "--steps", "4"]),
  ]));
  assertRefusal(
    run,
    1,
    "step_0000004",
    `The last good checkpoint is ${join(directory, "step_0000003")}`,
  );
  assert.deepEqual(contents(join(directory, "step_0000003")), old);
  const checkpoints = [...Deno.readDirSync(directory)].map(({ name }) => name)
    .filter((name) => name.startsWith("step_"));
  assert.deepEqual(checkpoints, ["step_0000003"]);
});

deviceTest(
  "train stops at a loss that is not finite and names the last good checkpoint",
  async () => {
    const directory = inTemporary("diverged");
    const run = await trainSmall(
      directory,
      ...["--set", "optimizer.learningRate=1e30", "--set", "train.checkpointEvery=1"],
    );
    const last = join(directory, "step_0000001");
    assertRefusal(run, 1, /the loss of step 2 is \S+, expected a finite number/, last);
    assert(
      run.stderr.includes(`deno task train --resume ${directory} --set optimizer.learningRate`),
    );
    assert(exists(join(last, "state.json")) && !exists(join(directory, "step_0000002")));
  },
);

deviceTest("no command writes over what it reads or over the bank of a run", async () => {
  const directory = await copyOfRun("kept");
  const own = join(directory, "bank.safetensors"), other = inTemporary("kept.safetensors");
  const image = inTemporary("kept.png");
  Deno.copyFileSync(own, other);
  const data = Uint8Array.from({ length: 192 }, (_, i) => i);
  Deno.writeFileSync(image, encodePng({ width: 8, height: 8, channels: 3, data }));
  const before = contents(directory), copied = Deno.readFileSync(other);
  const cases: [said: string, args: string[]][] = [
    ["it is the bank of a run", ["add", image, "--bank", own]],
    ["it is the bank of a run", ["build", "--out", own]],
    ["it is the bank of a run", ["merge", other, "--out", own]],
    ["it is the bank of a run", ["import", other, "--out", own]],
    ["it is the bank of a run", ["interpolate", "0", "1", "--bank", other, "--out", own]],
    ["this command reads it", ["compress", other, "--rank", "4", "--out", other]],
    ["this command reads it", ["merge", other, other, "--out", `${TEMPORARY}/./kept.safetensors`]],
    ["this command reads it", ["interpolate", "0", "1", "--bank", other, "--out", other]],
    ["this command reads it", ["export", other, "--out", other]],
    ["this command reads it", ["learn-text", "--bank", other, "--out", other]],
    ["this command reads it", ["build", "--like", other, "--out", other]],
    ["this command reads it", ["nearest", image, "--bank", other, "--out", image]],
  ];
  await Promise.all(cases.map(async ([said, args]) => {
    assertRefusal(await runTask("bank", args), 2, "Cannot write over", said, "for --out");
  }));
  assert.deepEqual(contents(directory), before);
  assert.deepEqual(Deno.readFileSync(other), copied);
  const added = await runTask("bank", ["add", image, "--bank", other]);
  assert.equal(added.code, 0, added.stderr);
  using file = BankFile.open(other);
  assert.equal(file.size, 207);
});

deviceTest(
  "commands refuse files to write before they draw, and name those they cannot",
  async () => {
    const { directory } = await trainedRun();
    const bank = join(directory, "bank.safetensors"), folder = inTemporary("a_folder");
    Deno.mkdirSync(folder);
    const refused = async (task: "sample" | "bank", code: number, said: string, args: string[]) => {
      const run = await runTask(task, args);
      assertRefusal(run, code, said);
      assert.doesNotMatch(run.stderr, /^device/m);
    };
    const sample = ["--checkpoint", directory, "--out"];
    await Promise.all([
      refused("sample", 2, "s.jpg: expected a name in .png for --out", [...sample, "s.jpg"]),
      refused("sample", 2, "expected a name in .png for --out", [...sample, "s.safetensors"]),
      refused("sample", 1, `Cannot write ${folder}: it is a folder`, [...sample, folder]),
      refused("bank", 1, `Cannot write ${bank}/x.npy: `, [
        "export",
        bank,
        "--out",
        `${bank}/x.npy`,
      ]),
    ]);
    const plots = inTemporary("plots/of/bank");
    const inspected = await runTask("bank", ["inspect", bank, "--plot", plots]);
    assert.equal(inspected.code, 0, inspected.stderr);
    assert(exists(`${plots}_energy.svg`) && exists(`${plots}_map.svg`));
  },
);

deviceTest("bank commands say which names and classes there are", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors"), missing = inTemporary("missing.png");
  const plain = inTemporary("plain.safetensors");
  using file = BankFile.open(bank);
  const name = file.names![5]!;
  const between = await runTask("bank", ["interpolate", `${name}x`, "3", "--bank", bank]);
  assertRefusal(between, 1, `Cannot retrieve "${name}x": no snippet`, `did you mean ${name}?`);
  const unknown = await runTask("bank", ["interpolate", "qqqqqqqqqqqq", "3", "--bank", bank]);
  assertRefusal(unknown, 1, "none of 206 snippets has that name, such as");

  const add = (image: string, from: string) =>
    runTask("bank", ["add", image, "--bank", from, "--class", "cats", "--out", plain]);
  const image = inTemporary("class.png"), data = Uint8Array.from({ length: 192 }, (_, i) => i);
  Deno.writeFileSync(image, encodePng({ width: 8, height: 8, channels: 3, data }));
  assertRefusal(await add(missing, bank), 1, missing);
  assertRefusal(
    await add(image, bank),
    1,
    /Cannot add to class cats: the bank has the classes .*, or leave --class out$/m,
  );
  assert(!exists(plain));
});

deviceTest("bank learn-text puts its picture beside the mapper", async () => {
  const { directory } = await trainedRun();
  const mapper = inTemporary("beside/mapper.safetensors");
  const learned = await runTask("bank", [
    ...["learn-text", "--bank", join(directory, "bank.safetensors"), "--out", mapper],
    ...["--epochs", "1", "--batch", "48", "--width", "16"],
  ]);
  assert.equal(learned.code, 0, learned.stderr);
  assert.deepEqual([...contents(inTemporary("beside")).keys()].sort(), [
    "mapper.safetensors",
    "texts.png",
  ]);
});

deviceTest("bank export names the file that the disk refuses and leaves none", async () => {
  if (Deno.build.os === "windows") return console.log("skipped: sh cannot limit files on Windows");
  const { directory } = await trainedRun();
  const out = inTemporary("refused/snippets.npy");
  const limited = `trap '' XFSZ; ulimit -f 1; exec "$@"`;
  const run = await finish(start([
    ...["sh", "-c", limited, "sh"],
    ...taskCommand("bank", ["export", join(directory, "bank.safetensors"), "--out", out]),
  ]));
  assertRefusal(run, 1, `Cannot write ${out}: `);
  assert.deepEqual(contents(inTemporary("refused")).size, 0);
});
