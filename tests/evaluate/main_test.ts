/** The command as a user meets it: on a tiny run, with a tiny network in place of Inception. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unzipSync, zipSync } from "fflate";
import { writeBank } from "../../bank/bank_writer.ts";
import { BankFile } from "../../bank/file.ts";
import { npyHeader } from "../../bank/npy.ts";
import { chooseUniform } from "../../bank/retrieve.ts";
import type { EvaluationReport } from "../../evaluate/report.ts";
import type { EvaluationSeries } from "../../evaluate/series_report.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { decodePng, encodePng } from "../../train/datasets/png.ts";
import { testNumbers } from "../_check_op.ts";
import {
  assertRefusal,
  copyDirectory,
  deviceTest,
  type Finished,
  inTemporary,
  runTask,
  SMALL_EMOJI,
} from "../_tasks.ts";

const INCEPTION = fileURLToPath(new URL("../fixtures/tiny_inception.onnx", import.meta.url));

/** The training images of the tiny run: 206 of 8 × 8. */
const DATA = ["-s", "data.imageSize=8", "-s", "data.heldOut=1700", "-s", "model.patchSize=4"];
const BANK = ["-s", "bank.dim=12", "-s", "bank.resolution=8"];

let trained: Promise<string> | undefined;

function trainedRun(): Promise<string> {
  return trained ??= train("run", "--steps", "1");
}

/** Trains into a folder of that name, and returns its path. */
async function train(name: string, ...options: string[]): Promise<string> {
  const directory = inTemporary(name);
  const { code, stderr } = await runTask("train", [
    ...SMALL_EMOJI,
    ...["--set", `train.runDirectory=${directory}`, ...options],
  ]);
  assert.equal(code, 0, stderr);
  return directory;
}

function evaluate(...args: string[]): Promise<Finished> {
  return runTask("evaluate", ["--resamples", "20", ...args]);
}

function resultOf({ code, stdout, stderr }: Finished): EvaluationReport {
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

deviceTest(
  "evaluate measures a checkpoint, and its .npz gives the same numbers again",
  async () => {
    const run = await trainedRun(),
      npz = inTemporary("samples.npz"),
      copies = inTemporary("copies.png");
    const first = await evaluate(
      ...["--checkpoint", run, "--count", "70", "--inception", INCEPTION],
      ...["--out", npz, "--copies", copies],
    );
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^\| Fréchet distance +\| pixel_pca \(12\) \| \S+ +\| \S+ … \S+/m);
    for (const name of ["FID", "sFID", "Inception score", "precision", "recall"]) {
      assert.match(first.stdout, new RegExp(`^\\| ${name} +\\| Inception`, "m"));
    }
    assert.match(first.stdout, /^samples lie near a training image no more often than by chance/m);
    assert.match(first.stdout, /^samples {4}70 of .*step_0000001, .* network evaluations each/m);
    const path = join(run, "step_0000001/evaluation.json");
    const written: EvaluationReport = JSON.parse(Deno.readTextFileSync(path));
    const { inception, encoder } = written;
    assert.deepEqual([written.samples.count, written.samples.step, encoder.reference], [
      70,
      1,
      206,
    ]);
    assert.ok(inception!.fid > 0 && inception!.sfid! > 0 && inception!.inceptionScore!.mean >= 1);
    // Eight samples in two columns, each with five neighbours in two rows of 64 pixels.
    const { width, height } = decodePng(Deno.readFileSync(copies));
    assert.deepEqual([width, height], [2 * 494 + 18 + 12, 4 * 146 + 12]);
    assert.match(Deno.readTextFileSync(inTemporary("copies.svg")), /^<svg/);

    const again = resultOf(
      await evaluate(
        ...["--checkpoint", run, "--samples", npz, "--inception", INCEPTION, "--json"],
        ...["--report", inTemporary("again.json")],
      ),
    );
    assert.deepEqual(again.encoder, encoder);
    assert.deepEqual(again.inception, inception);
    assert.deepEqual(again, JSON.parse(Deno.readTextFileSync(inTemporary("again.json"))));
  },
);

deviceTest("evaluate measures several numbers of steps and draws them", async () => {
  const run = await trainedRun(), checkpoint = join(run, "step_0000001");
  const heun = ["--checkpoint", run, "--count", "20", "--sampler", "heun"];
  const several = await evaluate(...heun, "--steps", "3,1,3", "--inception", INCEPTION);
  assert.equal(several.code, 0, several.stderr);
  assert.match(several.stderr, /heun, 1 step: 1 of 2\n[^]*heun, 3 steps: 2 of 2\n/);
  // The reference is measured once.
  assert.equal(several.stderr.match(/^reference /gm)?.length, 1);
  assert.match(several.stdout, /^\| steps \| NFE \| Fréchet distance \| 95 % interval/m);
  const steps: EvaluationSeries = JSON.parse(Deno.readTextFileSync(join(checkpoint, "steps.json")));
  const costs = steps.evaluations.map(({ samples }) => [samples.steps, samples.evaluations]);
  assert.deepEqual([steps.format, steps.sampler, costs], [1, "heun", [[1, 2], [3, 6]]]);
  const plot = Deno.readTextFileSync(join(checkpoint, "steps.svg"));
  assert.equal(plot.match(/for a log scale with values from 2 to 6/g)?.length, 2);

  const one = [
    "--steps",
    "3",
    "--inception",
    INCEPTION,
    "--json",
    "--report",
    inTemporary("one.json"),
  ];
  const alone = resultOf(await evaluate(...heun, ...one));
  assert.deepEqual(alone, steps.evaluations[1]);
});

deviceTest(
  "evaluate measures every checkpoint of a run and draws them over its epochs",
  async () => {
    const run = await train("long", "--steps", "3", "-s", "train.checkpointEvery=1");
    const options = ["--count", "20", "--inception", INCEPTION];
    const { code, stdout, stderr } = await evaluate(
      ...["--checkpoint", run, "--every-checkpoint", ...options],
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^samples {4}20 of each checkpoint of \S+long, sde-heun, \d+ steps/m);
    assert.match(stdout, /^\| training step \| epoch +\| Fréchet distance \| 95 % interval/m);
    const series: EvaluationSeries = JSON.parse(
      Deno.readTextFileSync(join(run, "checkpoints.json")),
    );
    const { over, stepsPerEpoch, evaluations } = series;
    // 206 training images in batches of 8.
    assert.deepEqual([over, stepsPerEpoch], ["training steps", 206 / 8]);
    assert.deepEqual(evaluations.map(({ samples }) => samples.step), [1, 2, 3]);
    const plot = Deno.readTextFileSync(join(run, "checkpoints.svg"));
    const axis =
      /'optimiser steps, and epochs below' for a linear scale with values from 1\.0 to 3\.0/g;
    assert.equal(plot.match(axis)?.length, 2);

    const alone = await evaluate(
      ...["--checkpoint", join(run, "step_0000002"), ...options, "--json"],
    );
    assert.deepEqual(resultOf(alone), evaluations[1]);

    const smaller = ["-s", "train.batchSize=4", "-s", "train.evaluateEvery=2"];
    const resumed = await runTask("train", ["--resume", run, "--steps", "4", ...smaller]);
    assert.equal(resumed.code, 0, resumed.stderr);
    const mixed = await evaluate(...["--checkpoint", run, "--every-checkpoint", "--count", "20"]);
    // 206 images in batches of 8 and of 4 are no one number of steps.
    assert.match(mixed.stdout, /^\| training step \| Fréchet distance \| 95 % interval/m);
    for (const name of ["checkpoints.svg", "evaluation.svg"]) {
      assert.doesNotMatch(Deno.readTextFileSync(join(run, name)), /epochs below/);
    }
  },
);

deviceTest(
  "evaluate keeps the checkpoints that it measured when one cannot be, and names that one",
  async () => {
    const run = await train("failing", "--steps", "3", "-s", "train.checkpointEvery=1");
    const second = join(run, "step_0000002"), weights = join(second, "ema.safetensors");
    using file = SafetensorsFile.open(weights);
    const entries = [...file.keys()].map((name) => {
      const { shape } = file.entry(name);
      const data = file.readFloat32(name).map((value) => 1e20 * value);
      return [name, { dtype: "F32", shape, data }] as const;
    });
    writeSafetensors(weights, entries);
    const { code, stdout, stderr } = await evaluate(
      ...["--checkpoint", run, "--every-checkpoint", "--count", "20"],
    );
    assert.equal(code, 1, stderr);
    const error =
      /^error: Cannot measure samples of (\S+), sde-heun, \d+ steps: Cannot use sample 0/m;
    assert.equal(error.exec(stderr)?.[1], second, stderr);
    assert.equal(stdout.match(/^\| [12] /gm)?.join(), "| 1 ", stdout);
    const { evaluations }: EvaluationSeries = JSON.parse(
      Deno.readTextFileSync(join(run, "checkpoints.json")),
    );
    assert.deepEqual(evaluations.map(({ samples }) => samples.step), [1]);
    assert.match(Deno.readTextFileSync(join(run, "checkpoints.svg")), /^<svg/);
  },
);

deviceTest(
  "evaluate draws the labels of a model as often as its training images have them",
  async () => {
    const run = inTemporary("labelled"), checkpoint = join(run, "step_0000001");
    const settings = ["--set", "model.conditioning=label", "--set", `train.runDirectory=${run}`];
    const trained = await runTask("train", [...SMALL_EMOJI, ...settings, "--steps", "1"]);
    assert.equal(trained.code, 0, trained.stderr);
    // Weights by which every label gives images of its own.
    const weights = join(checkpoint, "ema.safetensors"), next = testNumbers(7);
    using file = SafetensorsFile.open(weights);
    const entries = [...file.keys()].map((name) => {
      const { shape } = file.entry(name), data = file.readFloat32(name).map(next);
      return [name, { dtype: "F32", shape, data }] as const;
    });
    writeSafetensors(weights, entries);

    const count = 24, state = join(checkpoint, "state.json");
    const { classCounts, ...old } = JSON.parse(Deno.readTextFileSync(state));
    assert.equal(classCounts.length, 9);
    const imagesOf = async (name: string, changed: object): Promise<Uint8Array[]> => {
      Deno.writeTextFileSync(state, JSON.stringify(changed));
      const drawing = [
        "--checkpoint",
        run,
        "--count",
        String(count),
        "--out",
        inTemporary(name),
        "--json",
      ];
      resultOf(await evaluate(...drawing));
      const bytes = unzipSync(Deno.readFileSync(inTemporary(name)))["arr_0.npy"]!.subarray(
        -count * 192,
      );
      return Array.from({ length: count }, (_, i) => bytes.slice(192 * i, 192 * (i + 1)));
    };
    // A checkpoint of old does not say how often: of all nine alike.
    const any = await imagesOf("any.npz", old);
    const one = await imagesOf("one.npz", { ...old, classCounts: [0, 0, 0, 0, 7, 0, 0, 0, 0] });
    const same = one.map((image, i) => image.every((byte, k) => byte === any[i]![k]));
    const labels = chooseUniform(9, { count, seed: 0 });
    assert.deepEqual(same, Array.from(labels, (label) => label === 4));
    assert.ok(same.includes(true) && same.includes(false), `${labels}`);
  },
);

deviceTest("evaluate takes folders, statistics and banks as reference", async () => {
  const run = await trainedRun(), folder = inTemporary("folder");
  Deno.mkdirSync(join(folder, "more"), { recursive: true });
  for (let i = 0; i < 12; i++) {
    const data = Uint8Array.from({ length: 192 }, (_, k) => (k * (i + 3) * 7 + i * 31) % 256);
    const png = encodePng({ width: 8, height: 8, channels: 3, data });
    Deno.writeFileSync(join(folder, i < 6 ? `${i}.png` : `more/${i}.png`), png);
  }
  const doubles = (shape: number[], values: number[]) => {
    const header = String.fromCharCode(...npyHeader("<f4", shape)).replace("<f4", "<f8");
    const head = Uint8Array.from(header, (letter) => letter.charCodeAt(0));
    return Uint8Array.of(...head, ...new Uint8Array(Float64Array.from(values).buffer));
  };
  const statistics = (name: string, dim: number) => {
    const one = Array.from({ length: dim * dim }, (_, i) => Number(i % (dim + 1) === 0));
    const arrays = {
      "mu.npy": doubles([dim], one.slice(0, dim)),
      "sigma.npy": doubles([dim, dim], one),
    };
    Deno.writeFileSync(inTemporary(name), zipSync(arrays, { level: 0 }));
    return inTemporary(name);
  };
  const [same, alone, known, wrong, unknown, bank] = await Promise.all([
    evaluate("--samples", folder, "--reference", folder, "--json", ...BANK, "-s", "bank.dim=11"),
    evaluate("--samples", folder, "--reference", statistics("alone.npz", 9), ...DATA, ...BANK),
    evaluate(
      ...["--samples", folder, "--inception", INCEPTION, "--json", ...DATA, ...BANK],
      ...["--reference", statistics("known.npz", 9)],
    ),
    evaluate(
      ...["--samples", folder, "--inception", INCEPTION, ...DATA, ...BANK],
      ...["--reference", statistics("wrong.npz", 10)],
    ),
    evaluate(
      ...["--samples", folder, "--reference", folder, "--inception", INCEPTION, ...DATA, ...BANK],
      ...["-s", "bank.dim=11", "-s", "device.onnxProviders=[abacus]"],
    ),
    evaluate(
      ...["--samples", folder, "--reference", join(run, "bank.safetensors"), "--json", ...DATA],
    ),
  ]);
  const equal = resultOf(same).encoder;
  assert.ok(equal.frechet.value < 1e-6, `${equal.frechet.value}`);
  assert.deepEqual([equal.precision!.value, equal.recall!.value], [1, 1]);
  assertRefusal(alone, 2, "has statistics of Inception features alone, expected --inception FILE");
  const measured = resultOf(known);
  assert.match(measured.warnings.join(), /12 samples for 12 components: .* rank 11 at most/);
  const { precision, sfid, fid } = measured.inception!;
  assert.deepEqual([precision, sfid], [undefined, undefined]);
  assert.ok(fid > 1);
  assertRefusal(unknown, 1, "by abacus: onnxruntime has no such execution provider");
  assertRefusal(wrong, 1, "its mu has 10 components and the network's pool output 9");
  assert.deepEqual([resultOf(bank).reference.count, resultOf(bank).encoder.reference], [206, 206]);
});

deviceTest("evaluate with another bank goes on without the one of the run", async () => {
  const run = await trainedRun(),
    copy = inTemporary("without_bank"),
    npz = inTemporary("drawn.npz");
  const moved = inTemporary("moved.safetensors");
  copyDirectory(run, copy);
  Deno.renameSync(join(copy, "bank.safetensors"), moved);
  const measuring = ["--checkpoint", copy, "--json"];
  const drawn = resultOf(
    await evaluate(...measuring, "--bank", moved, "--count", "8", "--out", npz),
  );
  assert.equal(drawn.encoder.reference, 206);
  assertRefusal(await evaluate(...measuring, "--samples", npz), 1, "there is no such file");
  // One that is there and cannot be read is no reason to go on.
  Deno.writeTextFileSync(join(copy, "bank.safetensors"), "no bank");
  assertRefusal(
    await evaluate(...measuring, "--bank", moved, "--samples", npz),
    1,
    "bank.safetensors",
  );
});

deviceTest("evaluate knows images that a run was not trained on", async () => {
  const checkpoint = ["--checkpoint", await trainedRun(), "--count", "5"];
  // Another choice of what is held out.
  const other = [...checkpoint, "-s", "train.seed=7"];
  const message = "are not those that";
  const held = await evaluate(...other, "--reference", "held-out");
  assertRefusal(
    held,
    1,
    "Cannot measure against held-out images: the images, or which of them are held out",
  );
  assertRefusal(
    await evaluate(...other, "--copies", inTemporary("others.png")),
    1,
    "Cannot look for copies: ",
  );
  const report = ["--json", "--report", inTemporary("others.json")];
  const { warnings } = resultOf(await evaluate(...other, ...report));
  assert.deepEqual(warnings.filter((line) => line.includes(message)).length, 1);
  const same = resultOf(await evaluate(...checkpoint, "--reference", "held-out", ...report));
  assert.deepEqual(same.warnings.filter((line) => line.includes(message)), []);
});

deviceTest("evaluate warns where a bank of another encoder guides the model", async () => {
  const run = await trainedRun(), bank = inTemporary("foreign.safetensors");
  const built = await runTask("bank", [
    ...["build", ...DATA, "--dim", "12", "--resolution", "4", "--out", bank],
  ]);
  assert.equal(built.code, 0, built.stderr);
  const measure = (...options: string[]) =>
    evaluate(
      ...["--checkpoint", run, "--count", "20", "--json", "--report", inTemporary("warned.json")],
      ...options,
    );
  const said = /^another encoder made its snippets, .*; the samples may follow nothing$/;
  const { warnings } = resultOf(await measure("--bank", bank));
  assert.equal(warnings.filter((line) => said.test(line)).length, 1, warnings.join("\n"));
  const own = resultOf(await measure("--bank", join(run, "bank.safetensors")));
  assert.deepEqual(own.warnings.filter((line) => said.test(line)), []);
});

/** Images of 8 × 8 pixels, no two of them alike. */
function differentImages(count: number): Uint8Array[] {
  return Array.from(
    { length: count },
    (_, i) => Uint8Array.from({ length: 192 }, (_, k) => (k * k * (i + 3) + 31 * i) % 251),
  );
}

/** Writes images of bytes into a folder, and returns its path. */
function imageFolder(name: string, size: number, images: readonly Uint8Array[]): string {
  Deno.mkdirSync(inTemporary(name));
  for (const [i, data] of images.entries()) {
    const png = encodePng({ width: size, height: size, channels: 3, data });
    Deno.writeFileSync(join(inTemporary(name), `${i}.png`), png);
  }
  return inTemporary(name);
}

deviceTest(
  "evaluate refuses data that cannot be searched for copies before it measures",
  async () => {
    const samples = imageFolder("searched", 8, differentImages(8)),
      copies = inTemporary("searched.png");
    const blocked = inTemporary("blocked.svg");
    Deno.mkdirSync(blocked);
    const search = (...options: string[]) =>
      evaluate("--samples", samples, "--reference", samples, "--copies", copies, ...options);
    const emoji = ["-s", "data.kind=emoji", "-s", "data.heldOut=1700"];
    const refusals = await Promise.all([
      search("--data", imageFolder("three", 8, differentImages(3)), "-s", "data.imageSize=8"),
      search(...emoji, "-s", "data.imageSize=16"),
      search(...emoji, "-s", "data.imageSize=8", "--copies", blocked.replace(".svg", ".png")),
    ]);
    const said = [
      "Cannot look for copies of 3 training images: expected at least 5",
      `Cannot measure ${samples} against the training images: the samples have 8 × 8 pixels and the ` +
      "reference 16 × 16",
      `Cannot write ${blocked}: it is a folder, expected a file for --copies`,
    ];
    for (const [i, refusal] of refusals.entries()) {
      assertRefusal(refusal, 1, said[i]!);
      assert.doesNotMatch(refusal.stderr, /^(reference|measuring)/m);
    }
  },
);

deviceTest("evaluate refuses files and outputs before it opens the device", async () => {
  const run = await trainedRun(), missing = inTemporary("missing.onnx");
  const both = inTemporary("both.png"), folder = inTemporary("occupied.npz");
  const network = inTemporary("network.onnx");
  Deno.mkdirSync(folder);
  Deno.copyFileSync(INCEPTION, network);
  const cases: [code: number, said: string, args: string[]][] = [
    [1, `Cannot read ${missing}: there is no such file, expected one for --inception`, [
      ...["--inception", missing],
    ]],
    [2, "Cannot read --output foo: expected pool=NAME, spatial=NAME or logits=NAME", [
      ...["--inception", INCEPTION, "--output", "foo"],
    ]],
    [1, `Cannot write ${folder}: it is a folder, expected a file for --out`, ["--out", folder]],
    [
      2,
      `Cannot write ${both}: this command writes another file there, expected another name for --report`,
      [
        ...["--copies", both, "--report", both],
      ],
    ],
    [2, "both.svg: this command writes another file there, expected another name for --report", [
      ...["--copies", both, "--report", both.replace("both.png", "./both.svg")],
    ]],
    [2, `Cannot write over ${network}: this command reads it`, [
      ...["--inception", network, "--report", network],
    ]],
  ];
  await Promise.all(cases.map(async ([code, said, args]) => {
    const refusal = await evaluate("--checkpoint", run, ...args);
    assertRefusal(refusal, code, said);
    assert.doesNotMatch(refusal.stderr, /^device/m);
  }));
});

deviceTest("evaluate tells and writes what it measured before it looks for copies", async () => {
  const samples = imageFolder("measured", 8, differentImages(8)),
    report = inTemporary("measured.json");
  // Training images that are all alike tell nothing of copies, which shows in the search alone.
  const alike = imageFolder("alike", 8, Array(6).fill(new Uint8Array(192).fill(7)));
  const search = (...options: string[]) =>
    evaluate(
      ...["--samples", samples, "--reference", samples, "--data", alike, ...BANK],
      ...["-s", "data.imageSize=8", "--copies", inTemporary("none.png"), ...options],
    );
  const [table, json] = await Promise.all([search("--report", report), search("--json")]);
  for (const { code, stderr } of [table, json]) {
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^error: Cannot look for copies of 6 training images: they are all/m);
  }
  assert.match(table.stdout, /^\| Fréchet distance /m);
  const written: EvaluationReport = JSON.parse(Deno.readTextFileSync(report));
  assert.deepEqual([written.samples.count, written.copies], [8, undefined]);
  assert.deepEqual(JSON.parse(json.stdout), written);
});

deviceTest("evaluate says what is wrong with samples, reference and options", async () => {
  const run = await trainedRun();
  const folder = (name: string, ...sizes: number[]) => {
    Deno.mkdirSync(inTemporary(name));
    for (const [i, size] of sizes.entries()) {
      const data = Uint8Array.from({ length: 3 * size ** 2 }, (_, k) => (k * k + 3 * i) % 251);
      const png = encodePng({ width: size, height: size, channels: 3, data });
      Deno.writeFileSync(join(inTemporary(name), `${i}.png`), png);
    }
    return inTemporary(name);
  };
  const photos = folder("photos"), data = new Uint8Array(6 * 4 * 3);
  const photo = encodePng({ width: 6, height: 4, channels: 3, data });
  Deno.writeFileSync(join(photos, "photo.png"), photo);
  const other = inTemporary("other.safetensors");
  {
    using file = BankFile.open(join(run, "bank.safetensors"));
    const snippets = file.rows(0, file.size), encoder = { ...file.encoder!, fingerprint: "0" };
    writeBank(other, { dim: file.dim, snippets, encoder, encoderWeights: file.encoderWeights });
  }
  const checkpoint = ["--checkpoint", run];
  const cases: [code: number, said: string, args: string[]][] = [
    [2, "expected --checkpoint DIR, --weights FILE or --samples PATH", []],
    [
      2,
      "Cannot measure own: no training images are named, expected --data DIR or --config FILE, or",
      [
        ...["--samples", "own"],
      ],
    ],
    [2, "Cannot take --resamples 19: too few for 95 % intervals, expected 0 for none, or at", [
      ...[...checkpoint, "--resamples", "19"],
    ]],
    [2, "expected a name in .npz", [...checkpoint, "--out", "samples.zip"]],
    [2, "several --steps with --out: expected one number", [
      ...[...checkpoint, "--steps", "2,4", "--out", "samples.npz"],
    ]],
    [2, "Cannot measure every checkpoint with --out: expected one checkpoint, or none of", [
      ...[...checkpoint, "--every-checkpoint", "--out", "samples.npz"],
    ]],
    [2, "every checkpoint by several --steps: expected the directory of a run, and one number", [
      ...[...checkpoint, "--every-checkpoint", "--steps", "2,4"],
    ]],
    [2, "Cannot measure every checkpoint without --checkpoint: expected the directory of a run", [
      ...["--samples", "own", "--data", "photos", "--every-checkpoint"],
    ]],
    [2, "Cannot take --steps with --samples: they are drawn already, expected one of the two", [
      ...["--samples", "own", "--data", "photos", "--steps", "4"],
    ]],
    [2, "that tells its own configuration, expected --set for keys to change", [
      ...[...checkpoint, "--config", "configs/emoji.yaml"],
    ]],
    [2, "step_0000001: it is a checkpoint itself, expected the directory of a run", [
      ...["--checkpoint", join(run, "step_0000001"), "--every-checkpoint"],
    ]],
    [2, "Cannot take --steps with dopri5: its steps follow from the error", [
      ...[...checkpoint, "--steps", "2,4", "--sampler", "dopri5"],
    ]],
    [2, "sample.steps (given as a setting) is 1, expected at least 2 with sde-heun", [
      ...[...checkpoint, "--steps", "1,4", "--sampler", "sde-heun"],
    ]],
    [2, "Cannot measure against held-out images: data.heldOut is 0, expected some held out", [
      ...["--samples", folder("plain", 8, 8, 8, 8, 8), "--reference", "held-out"],
      ...["-s", "data.kind=emoji", "-s", "data.imageSize=8"],
    ]],
    [1, "holds no images", [...checkpoint, "--samples", folder("empty")]],
    [1, "1.png: it has 4 × 4 pixels, expected 8 × 8", [
      ...[...checkpoint, "--samples", folder("mixed", 8, 4)],
    ]],
    [1, "photo.png: it has 6 × 4 pixels, expected a square (photos of --data DIR are cropped", [
      ...[...checkpoint, "--reference", photos],
    ]],
    [1, "the samples have 4 × 4 pixels and the reference 8 × 8", [
      ...[...checkpoint, "--samples", folder("small", 4, 4, 4, 4, 4)],
    ]],
    [1, "Cannot measure 3 samples: expected at least 5", [
      ...[...checkpoint, "--samples", folder("few", 8, 8, 8)],
    ]],
    [1, "Cannot measure 4 references: expected at least 5", [
      ...[...checkpoint, "--reference", folder("scarce", 8, 8, 8, 8)],
    ]],
    [1, "another encoder made it, fingerprint is", [...checkpoint, "--reference", other]],
    [2, "Cannot take --output without a network: expected --inception FILE", [
      ...[...checkpoint, "--output", "pool=a"],
    ]],
    [2, "Cannot take --pixels without a network: expected --inception FILE", [
      ...[...checkpoint, "--pixels", "unit"],
    ]],
    [2, "Cannot measure several --steps with sample.steps: one number would take the place", [
      ...[...checkpoint, "--steps", "2,4", "-s", "sample.steps=9"],
    ]],
    [2, "Cannot take sample.count: it is the number of images of a picture, expected --count", [
      ...[...checkpoint, "-s", "sample.count=20"],
    ]],
    [2, "Cannot draw copies to copies.jpg: expected a name in .png", [
      ...[...checkpoint, "--copies", "copies.jpg"],
    ]],
    [1, "expected an ONNX file of Inception", [
      ...[...checkpoint, "--inception", join(run, "bank.safetensors")],
    ]],
  ];
  const runs = await Promise.all(
    cases.map(async (each) => [each, await evaluate(...each[2])] as const),
  );
  for (const [[code, said], finished] of runs) assertRefusal(finished, code, said);
});

deviceTest("evaluate refuses a sampler that cannot draw before it reads images", async () => {
  const set = ["sample.sampler=sde-heun", "sample.diffusion.form=sbdm"].flatMap((s) => ["-s", s]);
  const run = await evaluate("--checkpoint", await trainedRun(), ...set);
  assertRefusal(run, 2, "Cannot draw with sample.sampler sde-heun as sample.epsilon");
  assert.match(run.stderr, /^device .*\nerror: .*\n$/);
});
