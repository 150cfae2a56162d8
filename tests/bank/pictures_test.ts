/** The bank commands that draw with a model, on a run of three steps with an ONNX encoder. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BankFile } from "../../bank/file.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { tileImages } from "../../train/datasets/picture.ts";
import { decodePng, encodePng, type RawImage } from "../../train/datasets/png.ts";
import { deviceTest, type Finished, runTask, SMALL } from "../_tasks.ts";

const ONNX = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));
const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_pictures_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

/** Images of 8 pixels are shown 12 times as large, with gaps of 2, and of 14 between parts. */
const TILE = 96, GAP = 2, PART_GAP = 14;

function at(name: string): string {
  return join(TEMPORARY, name);
}

async function run(...args: string[]): Promise<Finished> {
  const finished = await runTask("bank", args);
  assert.equal(finished.code, 0, finished.stderr);
  return finished;
}

async function refused(code: number, said: RegExp, ...args: string[]): Promise<void> {
  const finished = await runTask("bank", args);
  assert.equal(finished.code, code, finished.stderr);
  assert.equal(finished.stdout, "");
  assert.match(finished.stderr, said);
}

function pictureAt(name: string): RawImage {
  return decodePng(Deno.readFileSync(at(name)));
}

/** Width of a picture whose parts have so many columns. */
function widthOf(...columns: number[]): number {
  const parts = columns.map((count) => count * TILE + (count - 1) * GAP);
  return parts.reduce((sum, part) => sum + part) + PART_GAP * (columns.length - 1);
}

/** One tile of a picture, as bytes. */
function tileAt(picture: RawImage, left: number, top: number): Uint8Array {
  const { width, channels, data } = picture;
  const rows = Array.from({ length: TILE }, (_, y) => {
    const start = ((top + y) * width + left) * channels;
    return data.subarray(start, start + TILE * channels);
  });
  return Uint8Array.from(rows.flatMap((row) => [...row]));
}

let trained: Promise<string> | undefined;

/** A run of three steps on 206 emoji whose bank an ONNX network made. */
function trainedRun(): Promise<string> {
  const directory = at("run");
  return trained ??= runTask("train", [
    ...[...SMALL, "--steps", "3", "--set", "data.heldOut=1700"],
    ...["--set", `train.runDirectory=${directory}`, "--set", "bank.encoder=onnx"],
    ...["--set", `bank.onnx.path=${ONNX}`, "--set", "bank.onnx.size=8"],
  ]).then(({ code, stderr }) => {
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^bank {4}206 snippets of 6 by onnx in /m);
    // The encoder of the bank measures the samples.
    assert.match(stderr, /^samples follow their snippets: cosine /m);
    return directory;
  });
}

/** An emoji that the run did not see, as a file. */
async function writeImage(): Promise<string> {
  const images = await loadEmoji({ imageSize: 8 });
  using bank = BankFile.open(join(await trainedRun(), "bank.safetensors"));
  const index = images.names.findIndex((name) => !bank.names!.includes(name));
  const tile = { columns: 1, imageSize: 8, channels: 3 } as const;
  Deno.writeFileSync(
    at("new.png"),
    encodePng(tileImages(images.read(Uint32Array.of(index)), tile)),
  );
  return at("new.png");
}

deviceTest("train takes an ONNX encoder from the configuration, and goes on with it", async () => {
  const directory = await trainedRun();
  {
    using bank = BankFile.open(join(directory, "bank.safetensors"));
    assert.deepEqual([bank.size, bank.dim, bank.encoder?.kind], [206, 6, "onnx"]);
    assert.deepEqual(bank.encoder?.preprocessing["mean"], [0.485, 0.456, 0.406]);
  }
  const resume = (setting: string) =>
    runTask("train", ["--resume", directory, "--steps", "4", "--set", setting]);
  const other = await resume("bank.onnx.size=16");
  assert.equal(other.code, 2, other.stderr);
  assert.match(
    other.stderr,
    /Cannot change bank\.onnx to \{"size":16,.*: the run was started with/,
  );
  // The network of a bank may lie elsewhere.
  const absent = await resume(`bank.onnx.path=${at("moved.onnx")}`);
  assert.equal(absent.code, 0, absent.stderr);
  assert.match(absent.stderr, /^ +no report at the end: .*moved\.onnx/m);
  await Deno.copyFile(ONNX, at("moved.onnx"));
  const resumed = await resume(`bank.onnx.path=${at("moved.onnx")}`);
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stderr, /^samples follow their snippets: cosine /m);
});

deviceTest(
  "bank interpolate --checkpoint draws a row for each noise between two images",
  async () => {
    const directory = await trainedRun();
    const { stdout } = await run(
      "interpolate",
      ...["0", "100", "--checkpoint", directory, "--steps", "3", "--noises", "2"],
      ...["--out", at("rows.png"), "--json"],
    );
    const made = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assert.deepEqual(made.between, [0, 100]);
    assert.deepEqual(made.names, ["slerp 0.25", "slerp 0.5", "slerp 0.75"]);
    const picture = pictureAt("rows.png");
    assert.deepEqual([picture.width, picture.height], [widthOf(1, 3, 1), 2 * TILE + GAP]);
    // Both rows begin with the image of the first snippet and end with that of the second.
    const images = await loadEmoji({ imageSize: 8 });
    using bank = BankFile.open(join(directory, "bank.safetensors"));
    for (const [index, left] of [[0, 0], [100, picture.width - TILE]] as const) {
      const place = images.names.indexOf(bank.names![index]!);
      const tile = { columns: 1, imageSize: 8, channels: 3, scale: 12 } as const;
      const { data } = tileImages(images.read(Uint32Array.of(place)), tile);
      for (const top of [0, TILE + GAP]) assert.deepEqual(tileAt(picture, left, top), data);
    }
    const first = TILE + PART_GAP;
    assert.notDeepEqual(tileAt(picture, first, 0), tileAt(picture, first, TILE + GAP));

    // An image that is gone is white, and a line says so.
    const { train } = images.split({ heldOut: 1800, seed: 0 });
    const here = bank.names!.findIndex((name) => train.names.includes(name));
    const gone = bank.names!.findIndex((name) => !train.names.includes(name));
    const partly = await run(
      "interpolate",
      ...[`${here}`, `${gone}`, "--checkpoint", directory, "--steps", "2", "--noises", "1"],
      ...["--set", "data.heldOut=1800", "--out", at("partly.png")],
    );
    const note = `note      white in place of 1 of 2 images, ${
      bank.names![gone]
    } first, which are not`;
    assert.ok(partly.stderr.includes(note), partly.stderr);

    // A run whose images are gone shows the samples alone, and says so.
    const moved = await run(
      "interpolate",
      ...["0", "1", "--checkpoint", directory, "--steps", "2", "--noises", "1"],
      ...[
        "--set",
        "data.kind=folder",
        "--set",
        `data.path=${at("gone")}`,
        "--out",
        at("alone.png"),
      ],
    );
    assert.match(moved.stderr, /^note {6}without images of the bank: .*gone does not exist/m);
    assert.equal(pictureAt("alone.png").width, widthOf(2));
    await Promise.all([
      refused(2, /expected --bank FILE, or --checkpoint DIR/, "interpolate", "0", "1"),
      refused(
        2,
        /Cannot retrieve snippet 206: the bank has 206/,
        ...["interpolate", "0", "206", "--checkpoint", directory],
      ),
    ]);
  },
);

deviceTest(
  "bank add --sample draws new images, and writes banks only where it is told",
  async () => {
    const directory = await trainedRun(), image = await writeImage();
    const own = join(directory, "bank.safetensors"), before = Deno.readFileSync(own);
    const drawing = ["--sample", "--checkpoint", directory, "--noises", "3"];
    await run("add", image, image, ...drawing, "--picture", at("added.png"));
    const picture = pictureAt("added.png");
    assert.deepEqual([picture.width, picture.height], [widthOf(1, 3, 5), 2 * TILE + GAP]);
    assert.deepEqual(Deno.readFileSync(own), before);
    // Equal images and equal noises.
    const sample = TILE + PART_GAP;
    assert.deepEqual(tileAt(picture, sample, 0), tileAt(picture, sample, TILE + GAP));

    const more = at("more.safetensors");
    await run("add", image, ...drawing, "--picture", at("added.png"), "--out", more);
    {
      using bank = BankFile.open(more);
      assert.deepEqual([bank.size, bank.names?.at(-1)], [207, "new.png"]);
    }
    const kept = Deno.readFileSync(more);
    await Promise.all([
      // Nothing is added where the picture cannot be written.
      refused(1, /^error: /m, "add", image, ...drawing, "--bank", more, "--picture", TEMPORARY),
      refused(2, /expected --checkpoint DIR beside --sample/, "add", image, "--sample"),
      refused(2, /expected --bank FILE, or --sample/, "add", image),
      refused(2, /expected --picture for the rows/, "add", image, ...drawing, "--out", at("x.png")),
    ]);
    assert.deepEqual(Deno.readFileSync(more), kept);
    assert.deepEqual(Deno.readFileSync(own), before);
  },
);

deviceTest("bank transfer draws from other images by the same encoder alone", async () => {
  const directory = await trainedRun();
  const [like, differs] = [at("like.safetensors"), at("differs.safetensors")];
  // Another part of the emoji stands for another data set.
  const data = ["--set", "data.imageSize=8", "--set", "data.heldOut=1850", "--set", "train.seed=5"];
  const own = join(directory, "bank.safetensors");
  await run("build", "--like", own, ...data, "--out", like);
  await run(
    "build",
    ...["--onnx", ONNX, "--resolution", "8", "--pooling", "mean", ...data, "--out", differs],
  );
  Deno.writeTextFileSync(
    at("others.yaml"),
    "data: { imageSize: 16, heldOut: 1850 }\ntrain: { seed: 5 }\n",
  );
  const drawing = ["transfer", "--checkpoint", directory, "--count", "3", "--columns", "2"];
  const { stdout } = await run(
    ...drawing as [string],
    ...["--bank", like, "--config", at("others.yaml"), "--out", at("grid.png"), "--json"],
  );
  assert.deepEqual(JSON.parse(stdout.trim().split("\n").at(-1)!).snippets, [9, 28, 46]);
  const picture = pictureAt("grid.png");
  assert.deepEqual(
    [picture.width, picture.height],
    [widthOf(2), 2 * (2 * TILE + GAP) + PART_GAP],
  );
  await Promise.all([
    refused(
      1,
      /another encoder made its snippets, settings\.pooling is "mean", expected "cls"\. Encode .*--like/,
      ...[...drawing, "--bank", differs],
    ),
    refused(
      1,
      /another encoder made its snippets, .*--any-encoder/,
      ...["add", await writeImage(), "--sample", "--checkpoint", directory, "--bank", differs],
      ...["--out", at("no.safetensors"), "--picture", at("no.png")],
    ),
    refused(
      1,
      /another encoder made its snippets, .*--any-encoder/,
      ...["interpolate", "0", "1", "--checkpoint", directory, "--bank", differs],
      ...["--out", at("no.png")],
    ),
    run(
      "interpolate",
      ...["0", "1", "--checkpoint", directory, "--bank", differs, "--any-encoder"],
      ...["--noises", "1", "--steps", "2", "--out", at("between.png")],
    ).then(({ stderr }) => assert.match(stderr, /^note {6}another encoder made its snippets, /m)),
    run(...drawing as [string], "--bank", differs, "--any-encoder", "--out", at("plain.png")).then(
      ({ stderr }) => {
        assert.match(stderr, /^note {6}another encoder made its snippets, /m);
        assert.equal(pictureAt("plain.png").height, 2 * TILE + GAP);
      },
    ),
  ]);
  // The bank of the run, which only tells its encoder, is not needed to draw.
  const gone = ["--set", `bank.path=${at("gone.safetensors")}`];
  const missing = /the run's own bank .*gone\.safetensors is not there/;
  await Promise.all([
    refused(1, missing, ...[...drawing, "--bank", like, ...gone]),
    run(
      ...drawing as [string],
      ...["--bank", like, "--any-encoder", "--out", at("alone.png"), ...gone],
    ).then(({ stderr }) => {
      assert.match(stderr, missing);
      assert.equal(pictureAt("alone.png").height, 2 * TILE + GAP);
    }),
  ]);
});
