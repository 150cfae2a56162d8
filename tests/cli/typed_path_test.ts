import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { parseArguments } from "../../cli/arguments.ts";
import { EVALUATE_COMMAND, VERIFY_COMMAND } from "../../cli/commands/evaluate.ts";
import { SAMPLE_COMMAND } from "../../cli/commands/sample.ts";
import { SET } from "../../cli/commands/shared_options.ts";
import { TRAIN_COMMAND } from "../../cli/commands/train.ts";
import { clonePath, typedPath } from "../../cli/typed_path.ts";
import { configReference } from "../../train/config_help.ts";

/** Runs as a task that was called in a folder, by someone at home in another. */
function calledIn(folder: string, run: () => void): void {
  const before = ["INIT_CWD", "HOME"].map((name) => [name, Deno.env.get(name)] as const);
  Deno.env.set("INIT_CWD", folder);
  Deno.env.set("HOME", "/home/me");
  try {
    run();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

Deno.test("typedPath() leaves paths of the folder in which a task runs, but for the home folder", () => {
  calledIn(Deno.cwd(), () => {
    assert.equal(typedPath("runs/a"), "runs/a");
    assert.equal(typedPath("~/runs/a"), join("/home/me", "runs/a"));
    assert.equal(typedPath("~a/b"), "~a/b");
    assert.equal(clonePath("runs/a"), "runs/a");
  });
});

Deno.test("typedPath() takes paths in the folder in which a task was called", () => {
  const folder = resolve("tests");
  calledIn(folder, () => {
    assert.equal(typedPath("../runs/a"), resolve("runs/a"));
    assert.equal(typedPath(resolve("runs/a")), resolve("runs/a"));
    assert.equal(clonePath("runs/a"), resolve("runs/a"));
  });
});

Deno.test("parseArguments() reads paths where the task was called, and nothing else", () => {
  const folder = resolve("tests"), at = (name: string) => join(folder, name);
  calledIn(folder, () => {
    const { options, positionals } = parseArguments(TRAIN_COMMAND, [
      ...[
        "a.yaml",
        "--data",
        "photos",
        "-s",
        "train.runDirectory=~/r",
        "-s",
        "data.decoder=d.onnx",
      ],
      ...["-s", "bank.path=null", "-s", 'data.path="b"', "-s", "bank.encoder=onnx"],
    ]);
    assert.deepEqual(positionals, [at("a.yaml")]);
    assert.equal(options.data, at("photos"));
    assert.deepEqual(options.set, [
      ...[`train.runDirectory=${join("/home/me", "r")}`, `data.decoder=${at("d.onnx")}`],
      ...["bank.path=null", 'data.path="b"', "bank.encoder=onnx"],
    ]);
    const verified = parseArguments(VERIFY_COMMAND, ["a", "b", "c"]).positionals;
    assert.deepEqual(verified, [at("a"), at("b"), at("c")]);
    const sampled = parseArguments(SAMPLE_COMMAND, ["--class", "cats"]).options;
    assert.deepEqual([sampled.out, sampled.class], [at("samples.png"), ["cats"]]);
    const referenceOf = (...args: string[]) =>
      parseArguments(EVALUATE_COMMAND, args).options.reference;
    assert.equal(referenceOf(), "train");
    assert.equal(referenceOf("--reference", "held-out"), "held-out");
    assert.equal(referenceOf("--reference", "photos"), at("photos"));
  });
});

Deno.test("--set reads as paths what are keys of the configuration", () => {
  const reference = configReference().split("\n");
  for (const key of SET.pathKeys) {
    assert.equal(reference.filter((line) => line.startsWith(`${key}: text`)).length, 1, key);
  }
});
