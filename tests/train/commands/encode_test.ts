/** `deno task encode` as a user meets it, and what the other commands do with its shards. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BankWriter } from "../../../bank/bank_writer.ts";
import { BankFile } from "../../../bank/file.ts";
import { LatentShards } from "../../../train/datasets/latent_shards.ts";
import {
  measureStatistics,
  readStatistics,
  writeStatistics,
} from "../../../train/datasets/latent_scaling.ts";
import { decodePng } from "../../../train/datasets/png.ts";
import { assertClose } from "../../_check_op.ts";
import { gpuTest } from "../../_gpu.ts";
import { runTask } from "../../_tasks.ts";
import { CHANNELS, ENCODER, imageOf, momentsOf, writeImages } from "../_tiny_latents.ts";

const TEMPORARY = Deno.makeTempDirSync({ prefix: "gmem_encode_task_" });
Deno.test.afterAll(() => Deno.remove(TEMPORARY, { recursive: true }));

const FIXTURE = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

const SIDE = 8, ROWS = 4;

/** Names whose order as texts is not that of their numbers, in two classes. */
const NAMES = Array.from({ length: 24 }, (_, i) => `${i < 10 ? "red" : "blue"}/${i}.png`);
const SORTED = NAMES.toSorted();

const IMAGES = join(TEMPORARY, "images");
writeImages(IMAGES, NAMES, SIDE);
// A file that no image is, which every command leaves out.
Deno.writeTextFileSync(join(IMAGES, "blue", "11_text.png"), "no picture");

/** The settings of a network and a run of a few thousand parameters on the latents. */
const CONFIG = join(TEMPORARY, "tiny.yaml");
const SHARDS = join(TEMPORARY, "shards");
Deno.writeTextFileSync(
  CONFIG,
  JSON.stringify({
    data: {
      ...{ kind: "latents", path: SHARDS, imageSize: ROWS, channels: CHANNELS, flip: true },
      ...{ encoder: ENCODER, decoder: FIXTURE("tiny_decoder.onnx") },
    },
    model: { patchSize: 2, width: 16, depth: 1, heads: 2 },
    bank: { path: join(TEMPORARY, "bank.safetensors") },
    train: {
      ...{ steps: 2, batchSize: 8, logEvery: 1, sampleEvery: null },
      runDirectory: join(TEMPORARY, "run"),
    },
    sample: { count: 4, steps: 2 },
  }),
);

Deno.test("encode writes the latents of a configuration, in the sorted order of the files", async () => {
  const args = [CONFIG, "--data", IMAGES, "--posterior", "mean", "--shard-size", "10"];
  const { code, stdout, stderr } = await runTask("encode", [...args, "--json"]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^encoder .*onnx: images of 8 × 8 pixels to latents of 2 × 4 × 4$/m);
  assert.match(stderr, /^skipped blue\/11_text\.png: \S/m);
  assert.match(stderr, /^images {2}24, and their mirror images$/m);
  const statistics = join(SHARDS, "latents_stats.safetensors");
  const { seconds: _, ...result } = JSON.parse(stdout);
  assert.deepEqual(result, {
    ...{ out: SHARDS, size: 24, channels: CHANNELS, imageSize: ROWS, shards: 3 },
    statistics,
  });
  using latents = await LatentShards.open(SHARDS);
  assert.deepEqual(latents.names, SORTED);
  assert.deepEqual([...latents.labels], SORTED.map((name) => Number(name.startsWith("red"))));
  for (const mirrored of [0, 1]) {
    const all = Uint32Array.from(SORTED, (_, i) => i);
    const expected = SORTED.flatMap((name) => {
      const image = imageOf(NAMES.indexOf(name), SIDE, mirrored === 1);
      return momentsOf(image, SIDE).slice(0, CHANNELS * ROWS ** 2);
    });
    // Two products of twelve in float32.
    assertClose(latents.readMirrored(all, new Uint8Array(24).fill(mirrored)), expected, {
      ...{ tolerance: 2 ** -18, scale: 8, name: "latents" },
    });
  }
  assert.deepEqual(readStatistics(statistics, CHANNELS), measureStatistics(latents));

  const again = await runTask("encode", args);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /statistics measured, in .*latents_stats\.safetensors/);
  // Those of the latents that are there now, and not of others that were; but what somebody else put there stays.
  const grey = join(TEMPORARY, "grey"), elsewhere = join(TEMPORARY, "grey_shards");
  Deno.mkdirSync(elsewhere);
  writeStatistics(join(elsewhere, "latents_stats.safetensors"), {
    mean: new Float32Array(CHANNELS),
    std: new Float32Array(CHANNELS).fill(7),
  });
  writeImages(grey, NAMES.slice(0, 3), SIDE);
  const kept = await runTask("encode", [CONFIG, "--data", grey, "--out", elsewhere]);
  assert.match(kept.stderr, /statistics of .*latents_stats\.safetensors, which was there/);
  Deno.removeSync(elsewhere, { recursive: true });
  Deno.mkdirSync(elsewhere);
  Deno.copyFileSync(statistics, join(elsewhere, "latents_stats.safetensors"));
  const fresh = await runTask("encode", [CONFIG, "--data", grey, "--out", elsewhere]);
  assert.equal(fresh.code, 0, fresh.stderr);
  using few = await LatentShards.open(elsewhere);
  assert.deepEqual(
    readStatistics(join(elsewhere, "latents_stats.safetensors"), CHANNELS),
    measureStatistics(few),
  );
  const unknown = await runTask("encode", [...args, "-s", "device.onnxProviders=[abacus]"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /by abacus: onnxruntime has no such execution provider/);
  // Before it looks at the images of a large folder.
  for (
    const other of [["-s", "data.flip=false"], ["-s", "train.seed=1", "--posterior", "sample"], [
      "--data",
      grey,
    ]]
  ) {
    const { code, stderr } = await runTask("encode", [...args, ...other]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /Cannot write latents to .*: its latents_rank00_shard000\.safetensors/);
    assert.doesNotMatch(stderr, /looking at every image/);
  }
  Deno.copyFileSync(join(IMAGES, SORTED[0]!), join(IMAGES, "blue", "more.png"));
  const more = await runTask("encode", args);
  Deno.removeSync(join(IMAGES, "blue", "more.png"));
  assert.equal(more.code, 1, more.stderr);
  assert.match(more.stderr, /Cannot write latents to .*: its latents_rank00_shard000\.safetensors/);
});

Deno.test("encode says what a command line lacks", async () => {
  const out = ["--out", join(TEMPORARY, "none")];
  const cases: [args: string[], code: number, said: RegExp][] = [
    [[CONFIG], 2, /--data is missing/],
    [["--data", IMAGES, ...out], 2, /Cannot encode without a network: expected --encoder FILE/],
    [
      ["--data", IMAGES, "--encoder", ENCODER],
      2,
      /no folder for the latents .* expected --out DIR/,
    ],
    [
      ["configs/emoji_tiny.yaml", "--data", IMAGES],
      2,
      /Cannot encode for configs\/emoji_tiny\.yaml: its data\.kind is emoji, expected a config/,
    ],
    [
      ["--data", IMAGES, "--encoder", ENCODER, ...out, "-s", "data.tokenizer=va-vae-f16d32"],
      1,
      /its output for images of 64 × 64 is \[2, 4, 32, 32\] of float32, expected \[2, 32, H, H\]/,
    ],
    [
      [CONFIG, "--data", join(TEMPORARY, "nowhere"), ...out],
      1,
      /Cannot load images: .*nowhere does not exist, expected a folder of png/,
    ],
  ];
  for (const [args, code, said] of cases) {
    const run = await runTask("encode", args);
    assert.equal(run.code, code, run.stderr);
    assert.match(run.stderr, said);
  }
  const taken = await runTask("encode", [CONFIG, "--data", IMAGES, "--out", "deno.json"]);
  assert.equal(taken.code, 1, taken.stderr);
  assert.match(taken.stderr, /^error: Cannot write .*deno\.json is a file, expected a folder$/m);
  assert.doesNotMatch(taken.stderr, /looking at every image/);
});

gpuTest(
  "bank build makes the bank of encoded images, with which train and sample run",
  async () => {
    const bank = join(TEMPORARY, "bank.safetensors"), network = FIXTURE("tiny_encoder.onnx");
    const directory = join(TEMPORARY, "latents");
    const commands: [task: "encode" | "bank" | "train" | "sample", ...args: string[]][] = [
      ["encode", CONFIG, "--data", IMAGES, "--out", directory],
      [
        ...["bank", "build", "--data", IMAGES, "--onnx", network, "--resolution", "8"] as const,
        ...["--out", bank, "-s", "data.imageSize=8"],
      ],
      ["train", CONFIG, "-s", `data.path=${directory}`],
      ["sample", "--checkpoint", join(TEMPORARY, "run"), "--out", join(TEMPORARY, "grid.png")],
    ];
    for (const [task, ...args] of commands) {
      const { code, stderr } = await runTask(task, args);
      assert.equal(code, 0, stderr);
    }
    using file = BankFile.open(bank);
    using latents = await LatentShards.open(directory);
    assert.deepEqual([file.names, [...file.labels!]], [latents.names, [...latents.labels]]);
    const { width, height } = decodePng(await Deno.readFile(join(TEMPORARY, "grid.png")));
    assert.ok(width > SIDE && height > SIDE);

    // A bank of the same images in another order is not that of the latents.
    const turned = join(TEMPORARY, "turned.safetensors");
    {
      const { size, dim, encoder, names } = file;
      using writer = new BankWriter(turned, { size, dim, encoder, names: names!.toReversed() });
      writer.append(file.rows(0, size));
      writer.commit();
    }
    const { code, stderr } = await runTask("train", [
      ...[CONFIG, "-s", `data.path=${directory}`, "-s", `bank.path=${turned}`],
      ...["-s", `train.runDirectory=${join(TEMPORARY, "refused")}`],
    ]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Cannot train with the bank: its snippet 0 is of red\/9\.png, the image there is blue\/10\.png/,
    );
  },
);

gpuTest("encode makes the tokens that bank and alignment loss of train take", async () => {
  const directory = join(TEMPORARY, "tokens"), run = join(TEMPORARY, "aligned");
  const repa = { weight: 0.5, depth: 1, projectorWidth: 16, targetWidth: 6 };
  const settings = [
    ...["-s", `data.path=${directory}`, "-s", `model.repa=${JSON.stringify(repa)}`],
    ...["-s", "bank.path=null", "-s", `train.runDirectory=${run}`],
  ];
  const encode = [
    ...[CONFIG, "--data", IMAGES, "--features", FIXTURE("tiny_encoder.onnx")],
    ...["-s", "bank.onnx.size=8", ...settings],
  ];
  const narrow = await runTask("encode", [...encode, "-s", "model.patchSize=4"]);
  assert.equal(narrow.code, 2);
  assert.match(narrow.stderr, /gives 4 patch tokens of 6 numbers, expected 1 of 6, as model and/);
  const made = await runTask("encode", encode);
  assert.equal(made.code, 0, made.stderr);
  assert.match(
    made.stderr,
    /^tokens {2}.*tiny_encoder\.onnx: the first of 6 numbers, and 4 more$/m,
  );
  {
    using latents = await LatentShards.open(directory);
    assert.deepEqual([latents.snippets!.dim, latents.tokens!.count, latents.tokens!.width], [
      6,
      4,
      6,
    ]);
  }
  const trained = await runTask("train", [CONFIG, ...settings]);
  assert.equal(trained.code, 0, trained.stderr);
  const log = (await Deno.readTextFile(join(run, "log.jsonl"))).trim().split("\n");
  for (const line of log) assert.ok(Number.isFinite(JSON.parse(line).alignmentLoss), line);
  // Training, and drawing after it, open the decoder.
  const unknown = ["-s", "device.onnxProviders=[abacus]"];
  for (
    const refused of [
      await runTask("train", [
        ...[CONFIG, ...settings, ...unknown, "-s", `train.runDirectory=${run}_refused`],
      ]),
      await runTask("sample", ["--checkpoint", run, ...unknown, "--out", `${run}.png`]),
    ]
  ) {
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /by abacus: onnxruntime has no such execution provider/);
  }
});
