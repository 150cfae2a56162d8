/** The command as a user meets it: what it writes, and what it says to bad input. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeBank } from "../../bank/bank_writer.ts";
import { BankFile } from "../../bank/file.ts";
import type { BankSummary } from "../../bank/inspect.ts";
import { NpyFile, writeNpy } from "../../bank/npy.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { tileImages } from "../../train/datasets/picture.ts";
import { decodePng, encodePng } from "../../train/datasets/png.ts";
import {
  assertRefusal,
  contents,
  copyOfRun,
  deviceTest,
  finish,
  type Finished,
  inTemporary,
  ROOT,
  runTask,
  start,
  taskCommand,
  trainedRun,
} from "../_tasks.ts";
import { canLink } from "../_system.ts";
import { inDirectory } from "./_images.ts";

/** Runs the program with the permissions that its task has. */
function runBank(...args: string[]): Promise<Finished> {
  return runTask("bank", args);
}

/** As {@linkcode runBank} for what has to succeed. */
async function run(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, ...output } = await runBank(...args);
  assert.equal(code, 0, `${args[0]}: ${output.stderr}`);
  return output;
}

deviceTest(
  "bank build writes a bank of the configured images, and bank inspect sums it up",
  async (device) => {
    await inDirectory(async (directory) => {
      const path = `${directory}/bank.safetensors`;
      const built = await runBank(
        "build",
        ...["--out", path, "--dim", "12", "--resolution", "8", "--rank", "6"],
        ...["-s", "data.imageSize=8", "-s", "data.heldOut=906", "-s", "model.patchSize=2"],
      );
      assert.equal(built.code, 0, built.stderr);
      assert.match(built.stdout, /snippets {2}1000 of length 12, 6 coefficients each/);
      assert.match(built.stderr, /rank {6}6 keeps \d+\.\d+ % of the energy/);
      assert.deepEqual((await Array.fromAsync(Deno.readDir(directory))).length, 1);
      {
        using file = BankFile.open(path);
        assert.deepEqual([file.size, file.dim, file.rank], [1000, 12, 6]);
        assert.deepEqual([file.encoder?.kind, file.classes.length], ["pixel_pca", 9]);
      }
      const inspected = await runBank("inspect", path, "--json");
      assert.equal(inspected.code, 0, inspected.stderr);
      const summary: BankSummary = JSON.parse(inspected.stdout);
      assert.deepEqual([summary.size, summary.rank, summary.bytes], [
        1000,
        6,
        4 * (6000 + 72 + 12),
      ]);
      assert.equal(summary.loss?.compared, 1000);
      assert.equal(Object.values(summary.classes).reduce((sum, count) => sum + count), 1000);

      if (device.profile.driver === "cpu") {
        for (const command of [["build", "--out", path], ["nearest", "x.png", "--bank", path]]) {
          const { code, stderr } = await runBank(...command, "-s", "device.allowCpuDriver=false");
          assert.ok(
            code === 3 &&
              /computes on the CPU, expected a GPU or allowCpuDriver: true/.test(stderr),
            stderr,
          );
        }
      }

      Deno.truncateSync(path, 1000);
      const refused = await runBank("inspect", path);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /^error: Cannot read .*bank.safetensors/m);
    });
  },
);

deviceTest("bank commands work on what bank build made", async () => {
  await inDirectory(async (directory) => {
    const at = (name: string) => `${directory}/${name}`;
    const data = ["-s", "data.imageSize=8", "-s", "data.heldOut=0", "-s", "model.patchSize=2"];
    const sizes = ["--dim", "10", "--resolution", "8", ...data];
    for (const shard of ["1/2", "2/2"]) {
      await run("build", "--shard", shard, "--out", at(`part${shard[0]}`), ...sizes);
    }
    const bank = at("bank.safetensors");
    // Shards know their numbers.
    await run("merge", at("part2"), at("part1"), "--out", bank);
    for (
      const [parts, message] of [
        [["part1"], /Cannot merge the shards of a build: shard 2 of 2 is missing/],
        [["part2", "part2"], /both are shard 2 of 2, expected each once/],
      ] as const
    ) {
      const { code, stderr } = await runBank("merge", ...parts.map(at), "--out", at("no"));
      assert.ok(code === 1 && message.test(stderr), stderr);
    }
    const images = await loadEmoji({ imageSize: 8 });
    {
      using file = BankFile.open(bank);
      assert.deepEqual([file.size, file.names], [images.size, images.names]);
      assert.equal(file.shard, undefined);
    }

    const { stdout } = await run(
      "compress",
      ...[bank, "--energy", "0.8", "--storage", "int8", "--out", at("low"), "--json"],
    );
    const made = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assert.ok(made.energy >= 0.8 && made.meanCosine > 0.8 && made.rank < 10, stdout);
    assert.equal((await runBank("compress", bank, "--out", at("low"))).code, 2);

    const pixels = images.read(Uint32Array.of(123));
    const tile = { columns: 1, imageSize: 8, channels: 3 } as const;
    Deno.writeFileSync(at("query.png"), encodePng(tileImages(pixels, tile)));
    const near = await run(
      "nearest",
      ...[at("query.png"), "--bank", bank, "--count", "3", "--out", at("near.png"), "--json"],
      ...data,
    );
    const { neighbours } = JSON.parse(near.stdout);
    assert.deepEqual([neighbours.length, neighbours[0].name], [3, images.names[123]]);
    assert.ok(neighbours[0].cosine > 0.9999);
    const picture = decodePng(Deno.readFileSync(at("near.png")));
    // Tiles of 8 pixels, each 12 times as large: the query, a wider gap, and three neighbours.
    assert.deepEqual([picture.width, picture.height], [96 + 14 + 3 * 96 + 2 * 2, 96]);

    await run("add", at("query.png"), "--bank", at("low"), "--out", at("more"));
    {
      using file = BankFile.open(at("more"));
      assert.deepEqual([file.size, file.names?.at(-1)], [images.size + 1, "query.png"]);
    }
    await run(
      "interpolate",
      ...["3", images.names[123]!, "--bank", bank, "--steps", "5", "--out", at("between")],
    );
    {
      using file = BankFile.open(at("between")), whole = BankFile.open(bank);
      assert.equal(file.size, 5);
      assert.equal(file.names?.[1], "3 to 123, slerp 0.25");
      const near = (a: Float32Array, b: Float32Array) =>
        a.reduce((sum, value, i) => sum + value * b[i]!, 0) > 1 - 1e-6;
      assert.ok(near(file.rows(0, 1), whole.rows(3, 1)));
      assert.ok(near(file.rows(4, 1), whole.rows(123, 1)));
      assert.deepEqual(file.encoder, whole.encoder);
    }
    await run("export", at("low"), "--out", at("all.npy"));
    {
      using array = NpyFile.open(at("all.npy")), file = BankFile.open(at("low"));
      assert.deepEqual(array.shape, [images.size, 10]);
      assert.deepEqual(array.rows(7, 2), file.rows(7, 2));
    }
    // A shard is a bank like any other.
    await run("export", at("part2"), "--out", at("whole_part.safetensors"));
    await run("inspect", bank, "--plot", at("look"));
    for (const name of ["look_energy.svg", "look_map.svg"]) {
      assert.match(Deno.readTextFileSync(at(name)), /^<svg/, name);
    }
    for (
      const [args, message] of [
        [
          ["build", "--shard", "3/9999", ...sizes],
          /^error: Cannot take shard 3 of 9999: the source has/m,
        ],
        [["build", "--shard", "3"], /^error: Cannot read --shard 3: expected a part/],
        [["build", "--shard", "3/2"], /^error: Cannot read --shard 3\/2: expected a part/],
        [["build", "--dim", "4", "--rank", "9"], /^error: Cannot keep rank 9: .* from 1 to 4, /m],
        [
          ["build", "--onnx", "nowhere.onnx"],
          /^error: Cannot read nowhere\.onnx: there is no such/,
        ],
        [
          ["import", "README.md"],
          /^error: Cannot import README\.md: expected a name in \.npy, .*\.pth$/m,
        ],
        [
          ["import", "bank.pth", "--key", "cls", "--out", at("no")],
          /^error: Cannot take --key of .*bank\.pth: expected a \.npz or \.safetensors file, /m,
        ],
        [["export", bank, "--out", at("x.txt")], /expected a name in .npy or .safetensors/],
        [["interpolate", "1", "-9", "--bank", bank], /error: .*-9/],
        [["interpolate", "1", "2"], /^error: Cannot interpolate: expected --bank FILE, or/],
        [
          ["interpolate", "1", "2", "--bank", bank, "--out", at("x.png")],
          /^error: Cannot draw .*x\.png without a model: expected --checkpoint DIR$/m,
        ],
        ...["--set=a.b=1", "--noises=4", "--data=nowhere", "--any-encoder"].map((option) =>
          [
            ["interpolate", "1", "2", "--bank", bank, "--out", at("no"), option],
            /^error: Cannot take --[-a-z]+ without a model: expected --checkpoint DIR$/m,
          ] as const
        ),
        ...["-s=a.b=1", "--noises=6", "--data=nowhere", "--picture=x.txt", "--seed=1"].map((
          option,
        ) =>
          [
            ["add", at("query.png"), "--bank", bank, "--out", at("no"), option],
            /^error: Cannot take --[a-z]+ without samples: expected --sample and --checkpoint DIR$/m,
          ] as const
        ),
        [["build", "--onnx", "x.onnx", "--dim", "4"], /^error: Cannot take --dim with --onnx: /],
        [["compress", bank, "--energy", "1.5"], /--energy 1.5: .* above 0 and at most 1$/m],
        [["compress", bank, "--energy", "0"], /--energy 0: .* above 0 and at most 1$/m],
        [["compress", bank, "--rank", "99"], /^error: Cannot keep rank 99: expected an integer/],
        [
          ["nearest", at("query.png"), "--bank", bank, "--count", "101"],
          /--count 101: expected a whole number, at least 1 and at most 100$/m,
        ],
        ...["9999", "1.5"].map((share) =>
          [
            ["learn-text", "--bank", bank, "--onnx", "nowhere.onnx", "--held-out", share],
            new RegExp(
              `^error: Cannot hold out ${share} of 1906 pairs: expected .*, for --held-out$`,
              "m",
            ),
          ] as const
        ),
        [["learn-text", "--bank", bank, "--learning-rate", "0"], /0: expected a number, above 0$/m],
      ] as const
    ) {
      const { code, stderr } = await runBank(...args);
      assert.match(stderr, message);
      assert.equal(code, stderr.includes("no such file") ? 1 : 2, stderr);
    }
    Deno.mkdirSync(at("others"));
    Deno.copyFileSync(at("query.png"), at("others/other.png"));
    // Neighbours without images of them are told without a picture.
    const astray = [
      ...["nearest", at("query.png"), "--bank", bank, "--count", "3", "--out", at("no.png")],
      ...["--data", at("others"), "-s", "data.imageSize=8"],
    ];
    const told = await run(...astray, "--json");
    assert.deepEqual(JSON.parse(told.stdout), { neighbours });
    assert.match(
      told.stderr,
      /^note {6}without a picture: none of them is among the 1 configured image, expected --config /m,
    );
    const { stdout: lines } = await run(...astray);
    assert.match(lines, /^ *123 {2}cosine 1\.0000/);
    assert.doesNotMatch(lines, /wrote/);
    assert.ok(!existsSync(at("no.png")));
    for (const name of ["twin.png", "third.png"]) {
      Deno.copyFileSync(at("query.png"), at(`others/${name}`));
    }
    const alike = await runBank(
      ...["build", "--like", bank, "--data", at("others"), "-s", "data.imageSize=8"],
      ...["--rank", "2", "--out", at("alike")],
    );
    assertRefusal(
      alike,
      1,
      "the snippets are kept: deno task bank compress ",
      "Cannot factor the snippets: all of them are equal",
    );
    {
      using file = BankFile.open(at("alike.whole"));
      assert.deepEqual(file.names, ["other.png", "third.png", "twin.png"]);
    }
    const kept = Deno.readFileSync(at("alike.whole"));
    assertRefusal(
      await runBank("build", "--rank", "2", "--out", at("alike"), ...sizes),
      1,
      `Cannot write ${at("alike.whole")}: the file is there `,
      "expected none; move it away, or, if an earlier build left it, compress it by deno task bank",
    );
    assert.deepEqual(Deno.readFileSync(at("alike.whole")), kept);
    await run("import", at("all.npy"), "--out", at("plain"));
    assertRefusal(
      await runBank("learn-text", "--bank", at("plain"), "--out", at("no.safetensors")),
      1,
      "Cannot learn texts of ",
      "it has 0, expected a bank with a text for each image",
    );
  });
});

deviceTest("bank build --onnx encodes by a network, which bank add finds by the bank", async () => {
  const fixture = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));
  await inDirectory(async (directory) => {
    const bank = `${directory}/bank.safetensors`, image = `${directory}/image.png`;
    const onnx = `${directory}/encoder.onnx`;
    Deno.copyFileSync(fixture, onnx);
    const built = await runBank(
      "build",
      ...["--onnx", onnx, "--resolution", "8", "--pooling", "mean", "--out", bank],
      ...[
        "--statistics",
        "half",
        "-s",
        "data.imageSize=8",
        "-s",
        "data.heldOut=1800",
        "-s",
        "model.patchSize=2",
      ],
    );
    assert.equal(built.code, 0, built.stderr);
    let first: Float32Array;
    {
      using file = BankFile.open(bank);
      assert.deepEqual([file.dim, file.encoder?.kind, file.encoder?.source], [6, "onnx", onnx]);
      assert.equal(file.encoder?.settings["pooling"], "mean");
      const { mean, std } = file.encoder!.preprocessing;
      assert.deepEqual([mean, std], [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]);
      const images = await loadEmoji({ imageSize: 8 });
      const index = images.names.indexOf(file.names![0]!);
      const tile = { columns: 1, imageSize: 8, channels: 3 } as const;
      const pixels = images.read(Uint32Array.of(index));
      Deno.writeFileSync(image, encodePng(tileImages(pixels, tile)));
      first = file.rows(0, 1);
    }
    const added = await runBank("add", image, "--bank", bank);
    assert.equal(added.code, 0, added.stderr);
    const before = Deno.readFileSync(bank);
    {
      using file = BankFile.open(bank);
      assert.deepEqual([file.size, file.rows(106, 1)], [107, first]);
    }
    // The same file in another place is the same encoder, another file at its place is another one.
    for (
      const [command, ...args] of [
        ["build", "--onnx", onnx, "--resolution", "8", "--out", `${directory}/no`],
        ["build", "--like", bank, "--out", `${directory}/no`],
        ["nearest", image, "--bank", bank, "--out", `${directory}/no.png`],
      ]
    ) {
      const { code, stderr } = await runBank(
        ...[command!, ...args, "-s", "device.onnxProviders=[abacus]"],
      );
      assert.ok(code === 1 && /by abacus: onnxruntime has no such/.test(stderr), stderr);
    }

    const elsewhere = `${directory}/elsewhere.onnx`;
    Deno.renameSync(onnx, elsewhere);
    const lost = await runBank("add", image, "--bank", bank);
    assert.match(lost.stderr, /read from .*encoder\.onnx, which is not there, expected .* --onnx/);
    const found = await runBank(
      "add",
      ...[image, "--bank", bank, "--onnx", elsewhere, "--out", `${directory}/more.safetensors`],
    );
    assert.equal(found.code, 0, found.stderr);
    const like = ["build", "--like", bank, "-s", "data.imageSize=8", "-s", "data.heldOut=1880"];
    const alike = `${directory}/alike.safetensors`;
    const astray = await runBank(...like, "--out", alike);
    assert.match(astray.stderr, /which is not there, expected .* --onnx/);
    const again = await runBank(...like, "--onnx", elsewhere, "--out", alike);
    assert.equal(again.code, 0, again.stderr);
    assertRefusal(
      await runBank(...like, "--onnx", elsewhere, "--rank", "7", "--out", `${directory}/low`),
      2,
      "Cannot keep rank 7: expected an integer from 1 to 6, as many as 26 snippets [6] can differ in",
    );
    assert.ok(!existsSync(`${directory}/low.whole`));
    // The network with a name of its producer, "x", behind it: field 2 of the model.
    Deno.writeFileSync(onnx, Uint8Array.of(...Deno.readFileSync(elsewhere), 0x12, 1, 0x78));
    const other = await runBank("add", image, "--bank", bank);
    assert.match(
      other.stderr,
      /^error: Cannot encode for the bank with onnx: another encoder/m,
    );
    assert.equal(other.code, 1);
    assert.deepEqual(Deno.readFileSync(bank), before);
  });
});

deviceTest(
  "images of a folder are read at the side that suits the network which encodes them",
  async () => {
    const onnx = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));
    await inDirectory(async (directory) => {
      const at = (name: string) => `${directory}/${name}`;
      Deno.mkdirSync(at("photos"));
      for (const [sample, name] of ["one.png", "other.png"].entries()) {
        const pixels = new Float32Array(3 * 40 * 40);
        new Random(0, Stream.Noise).fillUniform(pixels, { step: 0, sample });
        const tile = { columns: 1, imageSize: 40, channels: 3 } as const;
        Deno.writeFileSync(at(`photos/${name}`), encodePng(tileImages(pixels, tile)));
      }
      const network = ["--data", at("photos"), "--onnx", onnx, "--resolution", "8"];
      const { stderr } = await run("build", ...network, "--out", at("bank"));
      assert.match(stderr, /^images {4}2 of 8 × 8 pixels$/m);
      // Of 10 pixels the network takes the middle 8.
      const cropped = await run(
        "build",
        ...network,
        "-s",
        "bank.onnx.crop=0.8",
        "--out",
        at("crop"),
      );
      assert.match(cropped.stderr, /^images {4}2 of 10 × 10 pixels$/m);
      const other = await run("build", ...network, "-s", "data.imageSize=16", "--out", at("other"));
      assert.match(other.stderr, /^images {4}2 of 16 × 16 pixels$/m);
      await run("build", "--data", at("photos"), "--like", at("bank"), "--out", at("like"));
      await run("add", at("photos/other.png"), "--bank", at("bank"), "--out", at("more"));
      {
        using bank = BankFile.open(at("bank")), like = BankFile.open(at("like"));
        using more = BankFile.open(at("more"));
        assert.deepEqual(like.rows(0, 2), bank.rows(0, 2));
        assert.deepEqual(more.rows(2, 1), bank.rows(1, 1));
      }
      const { stdout } = await run(
        "nearest",
        ...[at("photos/other.png"), "--bank", at("bank"), "--data", at("photos")],
        ...["--out", at("near.png"), "--json"],
      );
      const { neighbours } = JSON.parse(stdout);
      assert.equal(neighbours[0].name, "other.png");
      assert.ok(neighbours[0].cosine > 1 - 1e-6, stdout);
      // There are no emoji of the 10 × 10 pixels that this bank's images have.
      const alone = ["nearest", at("photos/other.png"), "--bank", at("crop")];
      const lost = await runBank(...alone, "--out", at("near.png"));
      assert.equal(lost.code, 2, lost.stderr);
      assert.match(lost.stderr, /Cannot draw the neighbours: .*, expected --config or --data that/);
    });
  },
);

deviceTest(
  "bank build takes the encoder of another bank, or vectors of another program",
  async () => {
    await inDirectory(async (directory) => {
      const at = (name: string) => `${directory}/${name}`;
      const data = (heldOut: number) => [
        ...["-s", "data.imageSize=8", "-s", "model.patchSize=2"],
        ...["-s", `data.heldOut=${heldOut}`],
      ];
      const [one, other] = [at("one.safetensors"), at("other.safetensors")];
      await run("build", "--dim", "8", "--resolution", "8", ...data(1800), "--out", one);
      await run("build", "--like", one, ...data(1856), "--out", other);
      const longer = await runBank("build", "--like", one, "--dim", "9", "--out", at("no"));
      assert.equal(longer.code, 2);
      assert.match(longer.stderr, /Cannot take --dim with --like: /);
      using first = BankFile.open(one), second = BankFile.open(other);
      assert.deepEqual([second.size, second.encoder], [50, first.encoder]);
      const shared = second.names!.findIndex((name) => first.names!.includes(name));
      assert.deepEqual(
        second.rows(shared, 1),
        first.rows(first.names!.indexOf(second.names![shared]!), 1),
      );

      // A row for each of all images, of which the held-out ones are left out.
      const all = await loadEmoji({ imageSize: 8 });
      const rows = Float32Array.from(
        { length: 3 * all.size },
        (_, i) => i % 3 === 0 ? 1 + Math.floor(i / 3) : i % 3 === 1 ? 2000 : 0,
      );
      await writeNpy(at("all.npy"), { shape: [all.size, 3], pieces: [rows] });
      const features = ["-s", "bank.encoder=features", "-s", `bank.features.path=${at("all.npy")}`];
      await run("build", ...features, ...data(1806), "--out", at("vectors.safetensors"));
      using vectors = BankFile.open(at("vectors.safetensors"));
      assert.deepEqual([vectors.size, vectors.dim, vectors.encoder?.kind], [100, 3, "features"]);
      for (const index of [0, 57, 99]) {
        const place = all.names.indexOf(vectors.names![index]!);
        const norm = Math.hypot(1 + place, 2000);
        assert.ok(Math.abs(vectors.rows(index, 1)[0]! - (1 + place) / norm) < 1e-6);
      }
      await writeNpy(at("few.npy"), { shape: [7, 3], pieces: [rows.slice(0, 21)] });
      const few = ["-s", "bank.encoder=features", "-s", `bank.features.path=${at("few.npy")}`];
      const refused = await runBank("build", ...few, ...data(1806), "--out", at("no.safetensors"));
      assert.match(
        refused.stderr,
        /has 7 vectors, expected one for each of the 100 images or of all 1906, with those held out$/m,
      );
      const wrong = await runBank("build", "--pooling", "mean");
      assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
      assert.match(wrong.stderr, /Cannot take --pooling without a network: expected --onnx FILE/);
      assert.deepEqual(
        [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
          /no|all$/.test(name)
        ),
        [],
      );
    });
  },
);

deviceTest("bank learn-text learns words that sample --text draws from", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors");
  const mapper = inTemporary("words/mapper.safetensors"), picture = inTemporary("words/found.png");
  const learn = (...args: string[]) =>
    runBank(
      ...["learn-text", "--bank", bank, "--epochs", "12", "--batch", "48", "--width", "32"],
      ...["--out", mapper, "--picture", picture, "--json", ...args],
    );
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
    runTask("sample", ["--checkpoint", directory, "--out", out, "-s", "sample.count=3", ...args]);
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
  const built = await runBank(
    ...["build", "--config", "configs/emoji_tiny.yaml", "--out", other, "--dim", "12"],
    ...["--resolution", "8", ...settings],
  );
  assert.equal(built.code, 0, built.stderr);
  assertRefusal(
    await draw("--mapper", mapper, "--bank", other, "--any-encoder", ...texts),
    1,
    /Cannot map by .*: it was learned for the snippets of another encoder, fingerprint is/,
  );
});

deviceTest("bank learn-text says before it encodes that it cannot learn", async () => {
  const { directory } = await trainedRun();
  const nameless = inTemporary("nameless.safetensors");
  {
    using file = BankFile.open(join(directory, "bank.safetensors"));
    const { size, dim, names, texts } = file;
    writeBank(nameless, { dim, snippets: file.rows(0, size), names, texts });
  }
  const out = inTemporary("nameless_mapper.safetensors");
  const learned = await runBank("learn-text", "--bank", nameless, "--out", out);
  assertRefusal(learned, 1, "the bank does not name its encoder, expected one that does");
  assert.doesNotMatch(learned.stderr, /^texts/m);
  const vectors = inTemporary("nameless.npy");
  await writeNpy(vectors, { shape: [206, 1], pieces: [new Float32Array(206).fill(1)] });
  const bank = join(directory, "bank.safetensors");
  assertRefusal(
    await runBank("learn-features", vectors, "--bank", bank, "--out", out, "--held-out", "206"),
    2,
    "Cannot hold out 206 of 206 pairs: expected a share below 1, or a whole number below 206",
  );
});

deviceTest("bank learn-features makes another encoder's vectors snippets of a bank", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors"), vectors = inTemporary("vectors.npy");
  const mapper = inTemporary("features.safetensors"), out = inTemporary("mapped.safetensors");
  // The snippets themselves stand for the other encoder.
  assert.equal((await runBank("export", bank, "--out", vectors)).code, 0);
  const learned = await runBank(
    ...["learn-features", vectors, "--bank", bank, "--out", mapper, "--encoder", "clip-b32"],
    ...["--learning-rate", "1e-2", "--epochs", "30", "--width", "48", "--json"],
  );
  assert.equal(learned.code, 0, learned.stderr);
  const { accuracy, loss } = JSON.parse(learned.stdout.trimEnd().split("\n").at(-1)!);
  assert(loss < 0.1 && accuracy.cosine > 0.7 && accuracy.top5 > 0.9, learned.stdout);
  const imported = await runBank("import", vectors, "--mapper", mapper, "--out", out);
  assert.equal(imported.code, 0, imported.stderr);
  using mapped = BankFile.open(out), own = BankFile.open(bank);
  assert.deepEqual([mapped.size, mapped.encoder], [own.size, own.encoder]);
  const drawn = await runTask("sample", [
    ...["--checkpoint", directory, "--bank", out, "--out", inTemporary("mapped.png")],
  ]);
  assert.equal(drawn.code, 0, drawn.stderr);
  await writeNpy(vectors, { shape: [2, 12], pieces: [new Float32Array(24).fill(1)] });
  assertRefusal(
    await runBank("learn-features", vectors, "--bank", bank, "--out", mapper),
    1,
    "it has 2 vectors, expected one for each of the 206 snippets",
  );
  await writeNpy(vectors, { shape: [2, 5], pieces: [new Float32Array(10).fill(1)] });
  assertRefusal(
    await runBank("import", vectors, "--mapper", mapper, "--out", out),
    1,
    "it takes features of length 12, expected features of length 5",
  );
});

deviceTest("bank build makes a bank that guides a model of its dimension alone", async () => {
  const { directory } = await trainedRun();
  const [fitting, other] = [inTemporary("bank12.safetensors"), inTemporary("bank24.safetensors")];
  const settings = ["--resolution", "8", "--set", "data.imageSize=8", "--set", "data.heldOut=1800"];
  const build = (out: string, dim: string) =>
    runBank(
      ...["build", "--config", "configs/emoji_tiny.yaml", "--out", out, "--dim", dim],
      ...settings,
    );
  assertRefusal(
    await build(fitting, "106"),
    2,
    "Cannot fit pixel_pca to 106 images: dim is 106, expected at most 105, such as bank.dim=10",
  );
  for (const [out, dim] of [[fitting, "12"], [other, "24"]] as const) {
    const { code, stderr } = await build(out, dim);
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
  assert(!existsSync(out));
  const taken = await sample(fitting, "--any-encoder");
  assert.equal(taken.code, 0, taken.stderr);
  assert.match(taken.stderr, /^note {4}another encoder made its snippets, .* may follow nothing$/m);
  assert(existsSync(out));
});

deviceTest("no bank command writes over what it reads or over the bank of a run", async () => {
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
    ["this command reads it", [
      "merge",
      other,
      other,
      "--out",
      `${dirname(other)}/./kept.safetensors`,
    ]],
    ["this command reads it", ["interpolate", "0", "1", "--bank", other, "--out", other]],
    ["this command reads it", ["export", other, "--out", other]],
    ["this command reads it", ["learn-text", "--bank", other, "--out", other]],
    ["this command reads it", ["build", "--like", other, "--out", other]],
    ["this command reads it", ["nearest", image, "--bank", other, "--out", image]],
  ];
  await Promise.all(cases.map(async ([said, args]) => {
    assertRefusal(await runBank(...args), 2, "Cannot write over", said, "for --out");
  }));
  assert.deepEqual(contents(directory), before);
  assert.deepEqual(Deno.readFileSync(other), copied);
  // Two outputs of a command are two files; a picture may be called what leads to another file.
  if (canLink()) {
    const picture = inTemporary("link.png"), out = inTemporary("linked.safetensors");
    Deno.symlinkSync(out, picture);
    assertRefusal(
      await runBank(
        ...["add", image, "--bank", other, "--checkpoint", directory, "--sample"],
        ...["--any-encoder", "--out", out, "--picture", picture],
      ),
      2,
      "this command writes another file there, expected another name for --picture",
    );
  }
  const folder = await runBank("add", image, "--bank", directory);
  assertRefusal(folder, 1, "it is a folder, expected a file for --bank");
  const added = await runBank("add", image, "--bank", other);
  assert.equal(added.code, 0, added.stderr);
  using file = BankFile.open(other);
  assert.equal(file.size, 207);
});

deviceTest("bank commands say which names and classes there are", async () => {
  const { directory } = await trainedRun();
  const bank = join(directory, "bank.safetensors"), missing = inTemporary("missing.png");
  const plain = inTemporary("plain.safetensors");
  using file = BankFile.open(bank);
  const name = file.names![5]!;
  const between = await runBank("interpolate", `${name}x`, "3", "--bank", bank);
  assertRefusal(between, 2, `Cannot retrieve "${name}x": no snippet`, `did you mean ${name}?`);
  const unknown = await runBank("interpolate", "qqqqqqqqqqqq", "3", "--bank", bank);
  assertRefusal(unknown, 2, "none of 206 snippets has that name, such as");

  const add = (image: string, from: string) =>
    runBank("add", image, "--bank", from, "--class", "cats", "--out", plain);
  const image = inTemporary("class.png"), data = Uint8Array.from({ length: 192 }, (_, i) => i);
  Deno.writeFileSync(image, encodePng({ width: 8, height: 8, channels: 3, data }));
  assertRefusal(await add(missing, bank), 1, missing);
  assertRefusal(
    await add(image, bank),
    2,
    /Cannot add to class cats: the bank has the classes .*, or leave --class out$/m,
  );
  assert(!existsSync(plain));
});

deviceTest("bank learn-text puts its picture beside the mapper", async () => {
  const { directory } = await trainedRun();
  const mapper = inTemporary("beside/mapper.safetensors");
  const learned = await runBank(
    ...["learn-text", "--bank", join(directory, "bank.safetensors"), "--out", mapper],
    ...["--epochs", "1", "--batch", "48", "--width", "16"],
  );
  assert.equal(learned.code, 0, learned.stderr);
  assert.deepEqual([...contents(inTemporary("beside")).keys()].sort(), [
    "mapper.safetensors",
    "texts.png",
  ]);
  assertRefusal(
    await runBank(
      "learn-text",
      "--bank",
      join(directory, "bank.safetensors"),
      "--out",
      "texts.png",
    ),
    2,
    "Cannot write texts.png: expected a name in .safetensors for --out",
  );
});

deviceTest("bank learn-text says before it learns that the images are not there", async () => {
  const { directory } = await trainedRun();
  const learned = await runBank(
    ...["learn-text", "--bank", join(directory, "bank.safetensors"), "--epochs", "1"],
    ...["--out", inTemporary("early/mapper.safetensors"), "--data", inTemporary("no_images")],
  );
  assertRefusal(learned, 1, `Cannot load images: ${inTemporary("no_images")} does not exist`);
  assert.doesNotMatch(learned.stdout + learned.stderr, /loss/);
  assert.deepEqual(contents(inTemporary("early")).size, 0);
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
