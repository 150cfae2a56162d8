/** What all commands have in common, and how those of a run go together, as a user meets them. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeBank } from "../bank/bank_writer.ts";
import { BankFile } from "../bank/file.ts";
import { BANK_PROGRAM } from "../cli/commands/bank.ts";
import {
  assertRefusal,
  contents,
  copyOfRun,
  deviceTest,
  inTemporary,
  runTask,
  SMALL_EMOJI,
  trainedRun,
} from "./_tasks.ts";

Deno.test("every command explains itself with --help, with examples", async () => {
  const commands: (readonly [task: Parameters<typeof runTask>[0], ...words: string[]])[] = [
    ["train"],
    ["encode"],
    ["sample"],
    ["evaluate"],
    ...Object.keys(BANK_PROGRAM.commands).map((word) => ["bank", word] as const),
    ["verify"],
    ["claims"],
    ["inspect"],
    ["tune"],
    ["bench"],
    ["bench:growth"],
    ["bench:peers"],
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
  const cases: [task: Parameters<typeof runTask>[0], args: string[], said: string][] = [
    ["train", ["--stepz", "3"], "unknown option --stepz, did you mean --steps?"],
    ["train", ["--steps", "few"], "Cannot read --steps few: expected a whole number, at least 1"],
    ["train", ["configs/emoji.yaml", "--resume", "runs/x"], "Cannot resume with configs/emoji"],
    ["train", ["--set", "modle.width=16"], "unknown key modle, did you mean model"],
    ["bank", ["build", "--dim", "999999", "--out", "x"], "bank.dim (given as a setting) is"],
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
    [
      "bench:peers",
      ["--steps", "few"],
      "Cannot read --steps few: expected a whole number, at least 1",
    ],
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
  const folder = await runTask("train", [directory]);
  assertRefusal(folder, 1, `Cannot read configuration ${directory}: `, "expected a YAML file\n");
  const missing = await runTask("train", [join(directory, "main.yaml")]);
  assertRefusal(
    missing,
    1,
    "main.yaml: there is no such file, expected one such as",
    join(directory, "mine.yaml"),
    join("configs", "emoji_tiny.yaml"),
  );
});

Deno.test("without an adapter commands give exit code 3 and say what to install", async () => {
  const directory = inTemporary("no_adapter"), bank = inTemporary("no_adapter.safetensors");
  const runs = await Promise.all([
    runTask("train", ["--set", `train.runDirectory=${directory}`], { DENO_WEBGPU_BACKEND: "" }),
    runTask("bank", ["build", "--out", bank], { DENO_WEBGPU_BACKEND: "" }),
  ]);
  for (const run of runs) {
    assertRefusal(run, 3, "no adapter found", "package mesa-vulkan-drivers");
  }
  assert(!existsSync(directory) && !existsSync(bank));
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
      assert(existsSync(inTemporary(file)));
    }
    const set = ["-s", "train.runDirectory=mine", "--steps", "1"];
    const run = await runTask("train", [...SMALL_EMOJI, ...set], env);
    assert.equal(run.code, 0, run.stderr);
    assert(existsSync(join(called, "mine/step_0000001")));
    Deno.writeTextFileSync(join(called, "a.yaml"), "train: {runDirectory: ~/mine}");
    assertRefusal(await runTask("train", ["a.yaml"], env), 2, "Cannot keep a run in ~/mine:");
  },
);

deviceTest("train and inspect count the same learned parameters", async () => {
  const { directory, stderr } = await trainedRun();
  const [, count] = /^model {3}(\S+) learned parameters$/m.exec(stderr) ?? [];
  const { code, stdout } = await runTask("inspect", [directory]);
  assert.equal(code, 0);
  assert.deepEqual(/^learned +(\S+)$/m.exec(stdout)?.[1], count);
  assert.match(stdout, /^pos_embed .* fixed$/m);
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
  assertRefusal(
    await sample(),
    1,
    `by ${path}: its snippets are not those`,
    "or another one as the option bank",
  );
  assert.equal((await sample("--bank", path)).code, 0);

  const more = new Float32Array([...snippets, ...snippets.subarray(0, dim)]);
  const { encoder, encoderWeights } = records;
  writeBank(path, { encoder, encoderWeights, dim, snippets: more });
  assert.equal((await sample("--index", String(size))).code, 0);
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

deviceTest(
  "commands refuse files to write before they draw or measure, and name those they cannot",
  async () => {
    const { directory } = await trainedRun();
    const bank = join(directory, "bank.safetensors"), folder = inTemporary("a_folder");
    Deno.mkdirSync(folder);
    const refused = async (
      task: "sample" | "bank" | "bench" | "tune",
      code: number,
      said: string,
      args: string[],
    ) => {
      const run = await runTask(task, args);
      assertRefusal(run, code, said);
      assert.doesNotMatch(run.stderr, /^device/m);
    };
    const sample = ["--checkpoint", directory, "--out"];
    await Promise.all([
      refused("sample", 2, "s.jpg: expected a name in .png for --out", [...sample, "s.jpg"]),
      refused("sample", 2, "expected a name in .png for --out", [...sample, "s.safetensors"]),
      refused("sample", 2, `Cannot write into ${directory}: there are files in it`, [
        ...sample,
        directory,
      ]),
      refused("sample", 2, "Cannot draw 60000 images into one picture: it would have ", [
        ...sample,
        inTemporary("many.png"),
        "--count",
        "60000",
      ]),
      refused("bench", 1, `Cannot write ${folder}: it is a folder`, ["--out", folder]),
      refused("tune", 1, `Cannot write ${folder}: it is a folder`, ["--out", folder]),
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
    assert(existsSync(`${plots}_energy.svg`) && existsSync(`${plots}_map.svg`));
  },
);
