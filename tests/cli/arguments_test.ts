import assert from "node:assert/strict";
import {
  type CommandDefinition,
  HelpRequest,
  helpText,
  lookUp,
  parseArguments,
  refuseGiven,
  selectCommand,
  UsageError,
} from "../../cli/arguments.ts";
import { BANK_PROGRAM } from "../../cli/commands/bank.ts";
import { BENCH_COMMAND, GROWTH_COMMAND, TUNE_COMMAND } from "../../cli/commands/bench.ts";
import { CLAIMS_COMMAND } from "../../cli/commands/claims.ts";
import { EVALUATE_COMMAND, VERIFY_COMMAND } from "../../cli/commands/evaluate.ts";
import { INSPECT_COMMAND } from "../../cli/commands/inspect.ts";
import { SAMPLE_COMMAND } from "../../cli/commands/sample.ts";
import { ENCODE_COMMAND, TRAIN_COMMAND } from "../../cli/commands/train.ts";

const EVERY_COMMAND: readonly CommandDefinition[] = [
  TRAIN_COMMAND,
  ENCODE_COMMAND,
  SAMPLE_COMMAND,
  EVALUATE_COMMAND,
  ...Object.values(BANK_PROGRAM.commands),
  VERIFY_COMMAND,
  CLAIMS_COMMAND,
  INSPECT_COMMAND,
  TUNE_COMMAND,
  BENCH_COMMAND,
  GROWTH_COMMAND,
];

const COMMAND = {
  name: "demo",
  summary: "Shows what there is.",
  positionals: [{ name: "config", description: "The configuration" }],
  options: {
    out: { type: "string", value: "FILE", required: true, description: "Where to write" },
    kind: { type: "string", choices: ["euler", "heun"], default: "heun", description: "Which" },
    steps: { type: "integer", minimum: 1, description: "How many" },
    shift: { type: "number", default: 0.5, description: "How far" },
    set: { type: "string", short: "s", multiple: true, value: "K=V", description: "Override" },
    json: { type: "boolean", description: "Lines of JSON" },
  },
  examples: [{ command: "demo --out a.png", description: "Write a picture." }],
} as const satisfies CommandDefinition;

function refusal(args: readonly string[], command: CommandDefinition = COMMAND): string {
  let message = "";
  assert.throws(() => parseArguments(command, args), (error: Error) => {
    assert(error instanceof UsageError, `${error}`);
    message = error.message;
    return true;
  });
  return message;
}

Deno.test("parseArguments() gives typed values and defaults", () => {
  const { options, positionals } = parseArguments(COMMAND, ["--out", "a.png"]);
  // The declared types are part of what is tested: a mistake there does not compile.
  const out: string = options.out;
  const kind: "euler" | "heun" = options.kind;
  const steps: number | undefined = options.steps;
  const set: readonly string[] = options.set;
  const json: boolean = options.json;
  assert.deepEqual([out, kind, steps, options.shift, set, json], [
    "a.png",
    "heun",
    undefined,
    0.5,
    [],
    false,
  ]);
  assert.deepEqual(positionals, []);
});

Deno.test("parseArguments() reads every way of writing an option", () => {
  const { options, positionals } = parseArguments(COMMAND, [
    "--out=a=b.png",
    "x.yaml",
    "-s",
    "a=1",
    "-sb=2",
    "--set=c=3",
    "--shift",
    "-1.5",
    "--steps",
    "2",
    "--steps=1e3",
    "--kind",
    "euler",
    "--json",
    "--debug",
  ]);
  assert.deepEqual(options, {
    out: "a=b.png",
    kind: "euler",
    steps: 1000,
    shift: -1.5,
    set: ["a=1", "b=2", "c=3"],
    json: true,
  });
  assert.deepEqual(positionals, ["x.yaml"]);
  assert.deepEqual(parseArguments(COMMAND, ["--out", "a", "--", "--json"]).positionals, ["--json"]);
});

Deno.test("parseArguments() tells which options were given, be it with their defaults", () => {
  const { given } = parseArguments(COMMAND, ["--out", "a", "--kind", "heun", "-s", "a=1"]);
  assert.deepEqual([...given], ["out", "kind", "set"]);
  refuseGiven(given, ["steps", "json"], "alone");
  assert.throws(() => refuseGiven(given, ["json", "set", "kind"], "alone: expected --json"), {
    name: "UsageError",
    message: "Cannot take --set alone: expected --json",
  });
});

Deno.test("parseArguments() reads several values between commas", () => {
  const command = {
    ...COMMAND,
    options: {
      steps: { type: "integer", minimum: 1, list: true, description: "How many" },
      kinds: { type: "string", choices: ["euler", "heun"], list: true, description: "Which" },
    },
  } as const satisfies CommandDefinition;
  const { options } = parseArguments(command, ["--steps", "4,8,16", "--kinds=heun"]);
  const steps: readonly number[] | undefined = options.steps;
  const kinds: readonly ("euler" | "heun")[] | undefined = options.kinds;
  assert.deepEqual([steps, kinds], [[4, 8, 16], ["heun"]]);
  assert.deepEqual(parseArguments(command, ["--steps", "5", "--steps", "6"]).options.steps, [6]);
  assert.equal(parseArguments(command, []).options.steps, undefined);
  for (const value of ["4,,8", "4,", "4,0", "4,few"]) {
    assert.equal(
      refusal(["--steps", value], command),
      `Cannot read --steps ${value}: expected a whole number, at least 1, or several between commas`,
    );
  }
  assert.match(helpText(command), /--steps NUMBER +How many \(one, or several between commas\)/);
});

Deno.test("parseArguments() refuses an unknown option and names the nearest", () => {
  assert.equal(
    refusal(["--stpes", "3"]),
    "Cannot run demo: unknown option --stpes, did you mean --steps? " +
      "Expected one of --out, --kind, --steps, --shift, --set, --json, --debug, --help",
  );
  assert.match(refusal(["-x"]), /unknown option -x, expected one of --out/);
  assert.match(refusal(["--constructor"]), /unknown option --constructor, expected one of/);
});

Deno.test("parseArguments() refuses values that do not fit", () => {
  assert.equal(
    refusal(["--steps"]),
    "Cannot read --steps: no value, expected a whole number, at least 1",
  );
  assert.match(refusal(["--steps", "--json"]), /^Cannot read --steps: no value.* at least 1$/);
  assert.equal(
    refusal(["--out", "-name"]),
    "Cannot read --out: no value, expected FILE, or --out=-name where that is the value",
  );
  assert.match(refusal(["--out", "a", "-s", "-x"]), /expected K=V, or --set=-x where that is/);
  for (const value of ["x", "1.5", "0", "-5", "", " ", "Infinity", "1e99"]) {
    assert.match(
      refusal([`--steps=${value}`]),
      /^Cannot read --steps .*: expected a whole number, at/,
    );
  }
  assert.equal(parseArguments(COMMAND, ["--out", "a", "--steps=1"]).options.steps, 1);
  for (const value of ["", " "]) {
    assert.match(refusal([`--shift=${value}`]), /^Cannot read --shift .*: expected a number$/);
  }
  assert.match(refusal(["--steps=1e99"]), /a whole number, at least 1, at most 9007199254740991$/);
  assert.match(refusal(["--steps", "-5"]), /^Cannot read --steps -5: expected a whole number/);
  for (const out of [["--out="], ["--out", ""], ["--out", " "]]) {
    assert.equal(refusal(out), "Cannot read --out: no value, expected FILE");
  }
  assert.equal(
    refusal([""], VERIFY_COMMAND),
    "Cannot run deno task verify: file is empty, expected a path",
  );
  const bounded = {
    ...COMMAND,
    options: {
      share: { type: "number", above: 0, maximum: 1, description: "How much" },
      count: { type: "integer", minimum: 1, maximum: 100, description: "How many" },
    },
  } as const satisfies CommandDefinition;
  for (const value of ["0", "1.5", "-1"]) {
    assert.equal(
      refusal(["--share", value], bounded),
      `Cannot read --share ${value}: expected a number, above 0 and at most 1`,
    );
  }
  for (const value of ["0", "101", "1e99"]) {
    assert.equal(
      refusal(["--count", value], bounded),
      `Cannot read --count ${value}: expected a whole number, at least 1 and at most 100`,
    );
  }
  const { options } = parseArguments(bounded, ["--share", "1", "--count", "100"]);
  assert.deepEqual(options, { share: 1, count: 100 });
  assert.match(refusal(["--json=yes"]), /^Cannot read --json=yes: the option takes no value/);
  assert.match(refusal(["--kind", "huen"]), /expected one of euler, heun; did you mean heun\?/);
});

Deno.test("lookUp() makes a RangeError one of usage, and no other error", () => {
  const throwing = (error: Error) => () => {
    throw error;
  };
  assert.equal(lookUp(() => 3), 3);
  const cause = new RangeError("Cannot find x: there is none");
  const expected = { name: "UsageError", message: cause.message, cause };
  assert.throws(() => lookUp(throwing(cause)), expected);
  assert.throws(() => lookUp(throwing(new TypeError("no"))), { name: "TypeError" });
});

Deno.test("parseArguments() counts what has to be given", () => {
  assert.equal(refusal([]), "Cannot run demo: --out is missing, expected FILE");
  assert.match(refusal(["--out", "a", "b", "c"]), /unexpected argument c, expected config/);
  assert.match(refusal([], VERIFY_COMMAND), /^Cannot run deno task verify: file is missing/);
  assert.deepEqual(parseArguments(VERIFY_COMMAND, ["a", "b"]).positionals, ["a", "b"]);
  assert.match(refusal(["x"], SAMPLE_COMMAND), /unexpected argument x, expected no arguments$/);
});

Deno.test("parseArguments() answers --help before all else", () => {
  for (const args of [["--help"], ["-h"], ["--nonsense", "--help"]]) {
    assert.throws(
      () => parseArguments(COMMAND, args, { details: () => "More to read" }),
      (error: Error) => error instanceof HelpRequest && error.text.endsWith("\n\nMore to read"),
    );
  }
});

Deno.test("helpText() shows usage, options with defaults, and examples", () => {
  assert.equal(
    helpText(COMMAND),
    `Usage: demo [config] [options]

Shows what there is.

Arguments:
  config  The configuration

Options:
      --out FILE      Where to write (required)
      --kind TEXT     Which (one of euler, heun; default heun)
      --steps NUMBER  How many
      --shift NUMBER  How far (default 0.5)
  -s, --set K=V       Override (may be given several times)
      --json          Lines of JSON
      --debug         Print the stack of an error
  -h, --help          Print this text

Examples:
  demo --out a.png
      Write a picture.`,
  );
});

Deno.test("helpText() continues a long example with a backslash, before an option", () => {
  const command =
    "demo --out a.png --set first=1 --set second=2 --set third=3 --set fourth=4 --set fifth=5";
  assert.match(
    helpText({ ...COMMAND, examples: [{ command, description: "Write." }] }),
    /\n {2}demo --out a\.png .* --set fourth=4 \\\n {4}--set fifth=5\n {6}Write\.$/,
  );
});

Deno.test("helpText() keeps lines short enough for a terminal", () => {
  for (const command of EVERY_COMMAND) {
    for (const line of helpText(command).split("\n")) assert(line.length <= 100, line);
  }
});

Deno.test("every example of a command can be parsed by it", () => {
  for (const command of EVERY_COMMAND) {
    assert(command.examples.length > 0, command.name);
    for (const example of command.examples) {
      assert(example.command.startsWith(command.name), example.command);
      const [words] = example.command.slice(command.name.length).split(" > ");
      // As a shell takes them apart.
      const args = [...words!.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);
      parseArguments(command, args);
    }
  }
});

Deno.test("selectCommand() splits off the command's word", () => {
  const { command, args } = selectCommand(BANK_PROGRAM, ["build", "--data", "photos"]);
  const word: keyof typeof BANK_PROGRAM.commands = command;
  assert.equal(word, "build");
  assert.deepEqual(args, ["--data", "photos"]);
});

Deno.test("selectCommand() refuses an unknown word and lists the known on request", () => {
  assert.throws(() => selectCommand(BANK_PROGRAM, ["biuld"]), {
    name: "UsageError",
    message: "Cannot read the arguments of deno task bank: unknown command biuld, " +
      "did you mean build? Expected one of build, inspect, import, compress, merge, add, " +
      "interpolate, nearest, transfer, learn-text, learn-features, export",
  });
  assert.throws(() => selectCommand(BANK_PROGRAM, ["qqqqqqqq"]), {
    message: /: unknown command qqqqqqqq, expected one of build, inspect, /,
  });
  for (const args of [[], ["--help"], ["-h"]]) {
    assert.throws(
      () => selectCommand(BANK_PROGRAM, args),
      (error: Error) => error instanceof HelpRequest && /\n {2}inspect +Tells/.test(error.text),
    );
  }
});
