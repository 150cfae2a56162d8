/** The command as a user meets it: what it writes, and what it says to bad input. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BankFile } from "../../bank/file.ts";
import { indexByNoise } from "../../bank/noise_index.ts";
import { chooseUniform } from "../../bank/retrieve.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { tileImages } from "../../train/datasets/picture.ts";
import { decodePng, encodePng } from "../../train/datasets/png.ts";
import {
  assertRefusal,
  copyOfRun,
  deviceTest,
  inTemporary,
  runTask,
  trainedRun,
  trainSmall,
} from "../_tasks.ts";

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
  // More than are drawn at once; without --json it tells how far it is.
  const { code, stderr } = await runTask("sample", [
    ...["--checkpoint", directory, "--count", "70", "--out", inTemporary("many.png")],
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^64\/70 \(91 %\).*\n70\/70 \(100 %\)\nwrote /m);
});

deviceTest("sample writes each image into a folder, as it stands in the picture", async () => {
  const { directory } = await trainedRun();
  const picture = inTemporary("together.png"), folder = inTemporary("apart/images");
  const draw = (...args: string[]) =>
    runTask("sample", ["--checkpoint", directory, "--json", ...args]);
  const [together, apart] = [
    await draw("--count", "5", "--set", "sample.columns=5", "--out", picture),
    await draw("--count", "5", "--out", folder),
  ];
  assert.equal(apart.code, 0, apart.stderr);
  const told = JSON.parse(apart.stdout);
  assert.deepEqual([told.out, told.count], [folder, 5]);
  assert.deepEqual(told.snippets, JSON.parse(together.stdout).snippets);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  assert.deepEqual(names, ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png"]);
  const whole = decodePng(await Deno.readFile(picture));
  // A picture enlarges images and leaves two pixels between them.
  const side = 8, scale = (whole.width - 4 * 2) / (5 * side);
  for (const [i, name] of names.entries()) {
    const image = decodePng(await Deno.readFile(join(folder, name)));
    assert.deepEqual([image.width, image.height], [side, side]);
    for (let y = 0; y < side; y++) {
      const from = (y * scale * whole.width + i * (side * scale + 2)) * 3;
      for (let x = 0; x < side; x++) {
        const pixel = whole.data.subarray(from + 3 * scale * x, from + 3 * scale * x + 3);
        assert.deepEqual(image.data.subarray(3 * (y * side + x), 3 * (y * side + x) + 3), pixel);
      }
    }
  }
  assertRefusal(
    await draw("--out", folder),
    2,
    `Cannot write into ${folder}: there are files in it, expected a new or empty folder for --out`,
  );
  const file = inTemporary("no_ending");
  Deno.writeTextFileSync(file, "");
  assertRefusal(
    await draw("--out", file),
    1,
    `Cannot write into ${file}: it is a file, expected a folder for --out`,
  );
});

deviceTest("sample writes no picture of samples without numbers", async () => {
  const { directory } = await trainedRun();
  const out = inTemporary("none.png");
  const unbounded = ["--set", "sample.guidance.scale=1e300"];
  assertRefusal(
    await runTask("sample", ["--checkpoint", directory, ...unbounded, "--out", out]),
    1,
    "Cannot use sample 0: it holds NaN, expected finite numbers",
  );
  const singular = ["--set", "sample.sampler=sde-heun", "--set", "sample.diffusion.form=sbdm"];
  assertRefusal(
    await runTask("sample", ["--checkpoint", directory, ...singular, "--out", out]),
    2,
    "Cannot draw with sample.sampler sde-heun as sample.epsilon",
  );
  assert(!existsSync(out));
});

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
  assert.deepEqual(await snippets("--seed", "3"), [...chooseUniform(206, { count: 4, seed: 3 })]);
  // The noises that the images start from; all snippets are equally frequent.
  const random = new Random(3, Stream.Sampler), noise = new Float32Array(4 * 3 * 8 ** 2);
  for (let sample = 0; sample < 4; sample++) {
    random.fillNormal(noise.subarray(sample * 192, (sample + 1) * 192), { step: 0, sample });
  }
  assert.deepEqual(await snippets("--by-noise", "--seed", "3"), [
    ...indexByNoise(noise, { count: 4, frequencies: new Uint8Array(206).fill(1) }),
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
    2,
    'class "Fish": the bank has the classes Smileys',
  );
  assertRefusal(await sample("--name", "qqq"), 2, `"qqq": no image has that name, or its words`);
  assertRefusal(await sample("--index", "206"), 2, "the bank has 206 snippets");
  assertRefusal(await sample("--onnx", "dinov2.onnx"), 2, "it encodes for --text or --like");
  const adaptive = ["--checkpoint", directory, "--sampler", "dopri5", "--steps", "3"];
  for (const task of ["sample", "evaluate"] as const) {
    assertRefusal(
      await runTask(task, adaptive),
      2,
      "Cannot take --steps with dopri5: its steps follow from the error",
    );
  }
  const unheeded = ["--checkpoint", directory, "--set", "sample.sampler=heun"];
  for (
    const [task, ...args] of [
      ["sample"],
      ["evaluate"],
      ["bank", "interpolate", "0", "1"],
    ] as const
  ) {
    assertRefusal(
      await runTask(task, [...args, ...unheeded, "--set", "sample.diffusion.norm=2"]),
      2,
      "Cannot take sample.diffusion.norm with heun: it is about samplers of the SDE",
    );
  }
  assertRefusal(
    await sample("--sampler", "dopri5", "--set", "sample.timestepShift=0.3"),
    2,
    /sample\.timestepShift.* is 0\.3, expected 1 with dopri5, whose steps follow from the error/,
  );
  const plain = inTemporary("nameless.safetensors"), vectors = inTemporary("nameless.npy");
  assert.equal((await runTask("bank", ["export", bank.path, "--out", vectors])).code, 0);
  assert.equal((await runTask("bank", ["import", vectors, "--out", plain])).code, 0);
  const nameless = ["--bank", plain, "--any-encoder"];
  assertRefusal(await sample(...nameless, "--class", "Flags"), 2, "the bank has no classes");
  assertRefusal(await sample(...nameless, "--name", "x"), 2, "the bank has no names and no texts");
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
  const asData = chooseUniform(train.size, choice).map((image) => rising[image]!);
  assert.deepEqual(await drawn(), [...asData]);
  const path = join(directory, "step_0000003", "state.json");
  const { classCounts, ...state } = JSON.parse(Deno.readTextFileSync(path));
  // A checkpoint of old does not say how often.
  Deno.writeTextFileSync(path, JSON.stringify(state));
  assert.deepEqual(await drawn(), [...chooseUniform(9, choice)]);
  // A class without images is drawn where it is asked for alone, with a word on it.
  const without = classCounts.map((count: number, label: number) => label === 4 ? count : 0);
  Deno.writeTextFileSync(path, JSON.stringify({ ...state, classCounts: without }));
  assert.deepEqual(await drawn(), Array(40).fill(4));
  const empty = await sample("--count", "2", "--class", "Flags", "--class", "4");
  assert.equal(empty.code, 0, empty.stderr);
  assert.deepEqual(JSON.parse(empty.stdout).labels, [8, 4]);
  const notes = empty.stderr.split("\n").filter((line) => line.startsWith("note"));
  assert.deepEqual(notes, [
    'note    no training image is of class "Flags"; its samples may follow nothing',
  ]);
  assertRefusal(
    await sample("--class", "Fish"),
    2,
    /the model knows no such class, expected Smileys & Emotion, .*, Flags, or a number from 0 to 8/,
  );
  assertRefusal(
    await sample("--by-noise"),
    2,
    /Cannot draw by --by-noise with .*: the model is guided by labels, expected --class, or a model/,
  );
  const bank = ["--checkpoint", directory, "--bank", "bank.safetensors"];
  for (
    const [task, ...args] of [
      ["sample", ...bank],
      ["evaluate", ...bank],
      ["bank", "transfer", ...bank],
      ["bank", "interpolate", "0", "1", "--checkpoint", directory],
      ["bank", "add", "a.png", "--sample", "--checkpoint", directory],
    ] as const
  ) {
    const run = await runTask(task, args);
    assertRefusal(run, 2, "the model is guided by labels, expected one with model.conditioning");
  }
});

deviceTest("sample names another bank where that of the run is gone", async () => {
  const directory = await copyOfRun("without_bank");
  const bank = join(directory, "bank.safetensors"), out = inTemporary("no_bank.png");
  Deno.removeSync(bank);
  assertRefusal(
    await runTask("sample", ["--checkpoint", directory, "--out", out]),
    1,
    `its bank ${bank} is not there, expected it, or another one as the option bank`,
  );
});

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
