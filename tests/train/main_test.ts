/** The command as a user meets it: what it writes, and what it says to bad input. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { lockFolder } from "../../cli/folder_lock.ts";
import { readRunLog } from "../../cli/run_log.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { decodePng, encodePng } from "../../train/datasets/png.ts";
import { canSignal } from "../_system.ts";
import {
  assertRefusal,
  contents,
  copyDirectory,
  copyOfRun,
  deviceTest,
  finish,
  inTemporary,
  ROOT,
  runTask,
  SMALL,
  SMALL_EMOJI,
  start,
  startTask,
  taskCommand,
  trainedRun,
  trainSmall,
  untilWritten,
} from "../_tasks.ts";

/** How a process ends that touches a file beyond the size it may have: 128 and the number of SIGBUS. */
const SIGBUS_CODE = 135;

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
  // The folder of the run as another folder has it.
  const folder = relative(ROOT, (await trainedRun()).directory);
  const run = await runTask("train", [
    ...["--resume", resumed, "--steps", "5", "--set", `train.runDirectory=${folder}`],
  ]);
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
      /: the images, .* are not those that it was trained on \(207 now, 206 then\), expected/,
    );
    assertRefusal(
      await resume(directory, "--set", "train.seed=7"),
      1,
      /Cannot go on from .*: the images, or which of them are held out, are not those that it was trained on, expected/,
    );
    for (
      const [setting, said] of [
        ["model.heads=1", "Cannot change model.heads to 1: the run was started with "],
        ["interpolant.path=gvp", 'to "gvp": the run was started with "linear", expected that\n'],
        ["bank.dim=8", "Cannot change bank.dim to 8: the run was started with 12, expected that\n"],
        ["data.imageSize=16", "Cannot change data.imageSize to 16: the run was started with 8, "],
        [
          "data.latentMultiplier=2",
          "Cannot change data.latentMultiplier to 2: the run was started ",
        ],
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
  assert(!existsSync(directory));
});

deviceTest("train looks at the bank that it is given before it reads images", async () => {
  const { directory } = await trainedRun();
  const weights = join(directory, "step_0000003", "ema.safetensors");
  const run = await trainSmall(inTemporary("no_bank"), "--set", `bank.path=${weights}`);
  assertRefusal(run, 1, `Cannot read bank "${weights}": its format is "pt"`);
  assert.doesNotMatch(run.stderr, /^(?:device|data) /m);
});

Deno.test("train refuses the alignment of images, which have no tokens, before it reads them", async () => {
  const directory = inTemporary("aligned_images");
  const run = await trainSmall(directory, "--set", "model.repa={ depth: 1 }");
  assertRefusal(run, 2, "Cannot align tokens as model.repa says: data.kind is emoji, whose images");
  assert.doesNotMatch(run.stderr, /^(?:device|data) /m);
  assert(!existsSync(directory));
});

Deno.test("train refuses a bank and a mask of snippets where labels guide the network", async () => {
  const directory = inTemporary("labels_and_snippets"), bank = inTemporary("beside.safetensors");
  for (
    const [setting, said] of [
      [`bank.path=${bank}`, "Cannot take bank.path: model.conditioning is label"],
      ["bank.mask.kind=whole", "Cannot take bank.mask.kind whole: model.conditioning is label"],
      ["bank={ encoder: onnx, onnx: { path: x.onnx } }", "Cannot take bank.encoder onnx: model.co"],
      ["model.snippetEmbedding=mlp3", "Cannot take model.snippetEmbedding mlp3: model.conditio"],
    ] as const
  ) {
    const run = await trainSmall(
      directory,
      ...["--set", "model.conditioning=label", "--set", setting],
    );
    assertRefusal(run, 2, said);
    assert.doesNotMatch(run.stderr, /^(?:device|data) /m);
  }
  assert(!existsSync(directory));
});

deviceTest("train refuses a sampler that cannot draw before it trains", async () => {
  const directory = inTemporary("cannot_draw");
  const settings = (...set: string[]) => set.flatMap((each) => ["--set", each]);
  const run = await trainSmall(
    directory,
    ...settings("sample.sampler=euler-maruyama", "sample.diffusion.form=sbdm"),
  );
  assertRefusal(
    run,
    2,
    /as sample\.epsilon.* are: Cannot compute sbdm diffusion on the linear path/,
  );
  assert.doesNotMatch(run.stderr, /^data /m);
  const unguided = await trainSmall(
    directory,
    ...settings("model.conditioning=label", "model.classDropout=0", "sample.guidance.scale=2"),
  );
  assertRefusal(unguided, 2, "Cannot draw with sample.guidance.scale 2: model.classDropout is 0, ");
  assert.doesNotMatch(unguided.stderr, /^data /m);
  assertRefusal(
    await trainSmall(directory, ...settings("sample.sampler=sde-heun", "sample.steps=1")),
    2,
    /sample\.steps.* is 1, expected at least 2 with sde-heun/,
  );
  assertRefusal(
    await trainSmall(directory, ...settings("sample.sampler=sde-heun", "sample.timestepShift=0.3")),
    2,
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
  const batch = "a batch holds each of them 2.7 times on average, with noise of its own";
  assert(
    run.stderr.includes(
      `data    3 images to train on, 0 held out\n        ${batch}: train.batchSize is 8\n`,
    ),
    run.stderr,
  );
  assert.doesNotMatch((await trainedRun()).stderr, /a batch holds/);
  const { report } = JSON.parse(run.stdout.trimEnd().split("\n").at(-1)!);
  assert(Number.isFinite(report.frechet.samples) && report.frechet.halves === undefined);
});

deviceTest("train takes settings that the data do not fit for wrong usage", async () => {
  const directory = inTemporary("unfit");
  for (
    const [setting, message] of [
      ["data.heldOut=5000", "Cannot hold out data.heldOut 5000 of 1906 images"],
      ["data.channels=1", "data.imageSize is 8 and data.channels 1, expected 32 or 16 or 8 and 3"],
      [
        "data.heldOut=1896",
        "Cannot fit pixel_pca to 10 images: dim is 12, expected at most 9, such as bank.dim=1",
      ],
    ] as const
  ) {
    assertRefusal(await trainSmall(directory, "--set", setting), 2, message);
  }
});

deviceTest("train comes to its end on images that are all alike", async () => {
  const images = inTemporary("alike"), directory = inTemporary("run_of_alike");
  Deno.mkdirSync(images);
  const data = new Uint8Array(3 * 8 * 8).fill(128);
  const png = encodePng({ width: 8, height: 8, channels: 3, data });
  for (const name of ["a.png", "b.png"]) Deno.writeFileSync(join(images, name), png);
  // Labels need no encoder but for the distances.
  const labelled = ["--set", "data.heldOut=0", "--set", "model.conditioning=label"];
  const run = await trainSmall(directory, "--data", images, ...labelled);
  assert.equal(run.code, 0, run.stderr);
  assert.match(
    run.stderr,
    /^skipped the measurements: Cannot fit pixel_pca to 2 images: they are all alike, expected/m,
  );
  assert(existsSync(join(directory, "step_0000003")));
});

deviceTest("train goes on without measurements and pictures that fail", async () => {
  const directory = inTemporary("unmeasured"), last = join(directory, "step_0000003");
  // Guidance without bounds draws samples without numbers.
  const settings = ["--set", "sample.guidance.scale=1e300", "--json"];
  const run = await trainSmall(directory, ...settings);
  assert.equal(run.code, 0, run.stderr);
  const skipped = run.stderr.split("\n").filter((line) => line.startsWith("skipped "));
  const reason = "Cannot use sample 0: it holds NaN, expected finite numbers";
  const expected = [
    `measurement of step 2: ${reason}`,
    ...[2, 3].map((step) => `picture of step ${step}: ${reason}`),
    `report: ${reason}`,
  ];
  assert.match(skipped.join("\n"), new RegExp(`^skipped the ${expected.join("\nskipped the ")}$`));
  const lines = run.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines[3], { step: 3, checkpoint: last, plot: join(directory, "loss.svg") });
  const log = await readRunLog(join(directory, "log.jsonl"));
  assert.deepEqual(log, lines.slice(0, 3));
  assert(log.every(({ loss, frechet }) => Number.isFinite(loss) && frechet === undefined));
  assert(existsSync(join(directory, "loss.svg")) && !existsSync(join(directory, "evaluation.svg")));
  assert(!existsSync(join(directory, "samples")) && existsSync(join(last, "state.json")));
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
  assert(existsSync(picture) && Number.isFinite(report.cosine));
  assert(existsSync(join(directory, "evaluation.svg")));
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
      saved[step] ??= existsSync(join(directory, `step_000000${step}`));
    }
  }
  assert.equal((await child.status).code, 0, await said);
  assert.deepEqual(saved, { 1: false, 2: true, 3: true });
});

deviceTest(
  "train that was killed while it measured a step has it in the log, and leaves nothing",
  async () => {
    const directory = inTemporary("killed");
    const child = startTask("train", [
      ...[...SMALL_EMOJI, "--steps", "4", "--set", `train.runDirectory=${directory}`],
      ...["--set", "train.checkpointEvery=2", "--set", "train.evaluateEvery=2"],
    ]);
    await untilWritten(join(directory, "step_0000002", "state.json"), child);
    child.kill("SIGKILL");
    await finish(child);
    const left = ["log.jsonl", "samples/step_0000001.png"].map((name) =>
      join(directory, `${name}.gmem-00000000.partial`)
    );
    Deno.mkdirSync(join(directory, "samples"), { recursive: true });
    for (const path of left) Deno.writeTextFileSync(path, "cut off");
    const run = await runTask("train", ["--resume", directory]);
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(left.map(existsSync), [false, false]);
    const log = await readRunLog(join(directory, "log.jsonl"));
    assert.deepEqual(log.map(({ step }) => step), [1, 2, 3, 4]);
  },
);

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
    await untilWritten(log, child);
    child.kill(signal);
    const { code, stderr } = await finish(child);
    assert.equal(code, 130, stderr);
    const step = (await readRunLog(log)).length;
    assert.match(stderr, /^stopping; Ctrl-C again ends at once$/m);
    assert.match(stderr, new RegExp(`^stopped after step ${step} and saved `, "m"));
    assert(stderr.includes(`go on with: deno task train --resume ${directory}\n`), stderr);
    assert(existsSync(join(directory, `step_${String(step).padStart(7, "0")}`, "state.json")));
  });
}

deviceTest("train goes on to its end where nobody reads along any more", async () => {
  const directory = inTemporary("unread");
  const child = startTask("train", [
    ...[...SMALL_EMOJI, "--steps", "30", "--json", "--set", `train.runDirectory=${directory}`],
    ...["--set", "train.sampleEvery=null", "--set", "train.evaluateEvery=null"],
  ]);
  const errors = new Response(child.stderr).text(), lines = child.stdout.getReader();
  assert.equal((await lines.read()).done, false);
  // As `head` does after its last line.
  await lines.cancel();
  assert.equal((await child.status).code, 0, await errors);
  assert(existsSync(join(directory, "step_0000030", "state.json")));
});

deviceTest("train saves the steps before one whose images cannot be read", async () => {
  const data = inTemporary("vanishing"), directory = inTemporary("vanished");
  writeImages(data, { count: 40, corrupt: 0 });
  const child = startTask("train", [
    ...[...SMALL, "--data", data, "--steps", "100000", "--set", "data.memoryLimit=0"],
    ...["--set", `train.runDirectory=${directory}`, "--set", "train.checkpointEvery=null"],
    ...["--set", "train.sampleEvery=null"],
  ]);
  const log = join(directory, "log.jsonl");
  await untilWritten(log, child);
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
  assert(existsSync(join(saved, "state.json")));
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

deviceTest(
  "train --init refuses weights of no or another network before it reads images",
  async () => {
    const { directory } = await trainedRun(), checkpoint = join(directory, "step_0000003");
    const averaged = join(checkpoint, "ema.safetensors"), short = inTemporary("short.safetensors");
    Deno.writeFileSync(short, new Uint8Array(5));
    const cases: [file: string, said: string, ...settings: string[]][] = [
      [short, "it has 5 bytes"],
      ["deno.json", "its kind is not known"],
      [join(directory, "bank.safetensors"), "it has no x_embedder.proj.weight"],
      [
        averaged,
        "x_embedder.proj.weight is [16, 3, 4, 4], expected [32, 3, 4, 4]",
        "model.width=32",
      ],
      [averaged, "missing blocks.1.attn.qkv.weight", "model.depth=2"],
      [
        averaged,
        "a snippet guides their network, expected a label, as model.conditioning says",
        "model.conditioning=label",
      ],
    ];
    await Promise.all(cases.map(async ([file, said, ...settings], i) => {
      const set = settings.flatMap((each) => ["--set", each]);
      const run = await trainSmall(inTemporary(`from_others_${i}`), "--init", file, ...set);
      assertRefusal(run, 1, said);
      assert.doesNotMatch(run.stderr, /^(?:data|bank) /m);
    }));
    // Other images and snippets of another length are no other network.
    const run = await trainSmall(
      inTemporary("from_own"),
      ...["--init", averaged, "--steps", "1", "--set", "data.heldOut=1600"],
    );
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stderr, /^weights .*ema\.safetensors$/m);
  },
);

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
    `folder ${directory}: another process writes there, expected that it ends first\n`,
  );
  assertRefusal(
    await trainSmall(fresh),
    2,
    "another process writes there, expected that it ends first, or another folder by --set",
  );
  assert.deepEqual(contents(directory), before);
  assert.deepEqual([...contents(fresh).keys()], [".lock"]);
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
  assert(!existsSync(directory));
});

deviceTest(
  "train skips a corrupt image, names it and counts it, and goes on where images have moved",
  async () => {
    const data = inTemporary("one_corrupt"), directory = inTemporary("folder_run");
    writeImages(data, { count: 40, corrupt: 1 });
    const run = await runTask("train", [
      ...[...SMALL, "--data", data, "--steps", "2"],
      ...["--set", `train.runDirectory=${directory}`, "--set", "data.heldOut=4"],
    ]);
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stderr, /^skipped image_00\.png: /m);
    assert.match(run.stderr, /^skipped 1 file, kept 39$/m);
    assert.match(run.stderr, /^data {4}35 images to train on, 4 held out$/m);

    const moved = inTemporary("moved_images");
    Deno.renameSync(data, moved);
    const resume = (...args: string[]) =>
      runTask("train", ["--resume", directory, "--steps", "3", ...args]);
    assertRefusal(
      await resume(),
      1,
      `its data were in ${data}, which does not exist, expected it, or --set data.path=DIR for where`,
    );
    const resumed = await resume("--set", `data.path=${moved}`);
    assert.equal(resumed.code, 0, resumed.stderr);
  },
);

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

deviceTest("train names the checkpoint before a damaged one", async () => {
  const directory = await copyOfRun("damaged");
  const [earlier, newest] = ["step_0000003", "step_0000004"].map((name) => join(directory, name));
  const resume = (path = directory) => runTask("train", ["--resume", path, "--steps", "4"]);
  assert.equal((await resume()).code, 0);
  const advice =
    `If it is damaged, move ${newest} out of the folder, and --resume goes on from ${earlier}\n`;
  for (
    const [file, path] of [["model.safetensors", `${newest}/`], ["state.json", directory]] as const
  ) {
    const whole = Deno.readFileSync(join(newest!, file));
    Deno.truncateSync(join(newest!, file), 100);
    const before = contents(directory);
    assertRefusal(await resume(path), 1, join(newest!, file), advice);
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
  const path = join(directory, "step_0000003", "state.json");
  const state = JSON.parse(Deno.readTextFileSync(path));
  state.config.model.width = 32;
  Deno.writeTextFileSync(path, JSON.stringify(state));
  const before = contents(directory);
  const run = await runTask("train", ["--resume", directory]);
  assertRefusal(
    run,
    1,
    join(directory, "step_0000003", "model.safetensors"),
    "x_embedder.proj.weight is [16, 3, 4, 4], expected [32, 3, 4, 4]",
  );
  assert.deepEqual(contents(directory), before);
});

deviceTest(
  "train refuses to resume where there is no checkpoint, or one of another network",
  async () => {
    const directory = inTemporary("not_a_run");
    const missing = await runTask("train", ["--resume", directory]);
    assertRefusal(missing, 1, `Cannot find a checkpoint: ${directory} does not exist`);
    const file = await runTask("train", ["--resume", "deno.json"]);
    assertRefusal(
      file,
      1,
      "Cannot find a checkpoint",
      "deno.json is a file, expected a run's folder",
    );
    Deno.mkdirSync(directory);
    const empty = await runTask("train", ["--resume", directory]);
    assertRefusal(empty, 1, `Cannot find a checkpoint in ${directory}`);
    const own = join(directory, "step_0000001");
    Deno.mkdirSync(own);
    const state = { format: 1, step: 1, config: {}, ownModel: true };
    Deno.writeTextFileSync(join(own, "state.json"), JSON.stringify(state));
    const foreign = await runTask("train", ["--resume", directory]);
    assertRefusal(
      foreign,
      1,
      `Cannot open ${own}: its network, or its path from noise to data, is a`,
    );
  },
);

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
  // Mesa from 26 on and SwiftShader keep a GPU's memory in files.
  if (run.code === SIGBUS_CODE) return console.log("skipped: the driver itself ends at the limit");
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
    assert(existsSync(join(last, "state.json")) && !existsSync(join(directory, "step_0000002")));
    assert(run.stderr.includes("--set device.debug=true tells the kernel"));

    const searched = await runTask("train", ["--resume", directory, "-s", "device.debug=true"]);
    assertRefusal(
      searched,
      1,
      /^error: Cannot go on: \w.* > \w+ holds a number that is not/m,
      last,
    );
  },
);
