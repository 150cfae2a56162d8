import assert from "node:assert/strict";
import { HelpRequest, UsageError } from "../../cli/arguments.ts";
import { Interrupted, runCommand, type RunCommandOptions } from "../../cli/run_command.ts";
import { DeviceLostError, UnsupportedDeviceError } from "../../kernels/core/errors.ts";
import { SettingError } from "../../train/setting_error.ts";

async function run(
  main: () => Promise<void>,
  options: RunCommandOptions = {},
): Promise<{ codes: number[]; printed: string[]; errors: string[] }> {
  const [codes, printed, errors]: [number[], string[], string[]] = [[], [], []];
  await runCommand(main, {
    ...options,
    print: (line) => void printed.push(line),
    printError: (line) => void errors.push(line),
    exit: (code) => void codes.push(code),
  });
  return { codes, printed, errors };
}

Deno.test("runCommand() exits with 0 after success, and exactly once", async () => {
  let ran = false;
  const { codes, errors } = await run(() => {
    ran = true;
    return Promise.resolve();
  });
  assert(ran);
  assert.deepEqual(codes, [0]);
  assert.deepEqual(errors, []);
});

Deno.test("runCommand() maps errors to exit codes and one line each", async () => {
  const cases: [error: unknown, code: number, line: string][] = [
    [new TypeError("Cannot do it"), 1, "error: Cannot do it"],
    [new UsageError("Cannot read it"), 2, "error: Cannot read it"],
    [new SettingError("Cannot read --set x"), 2, "error: Cannot read --set x"],
    [new SyntaxError("Cannot read x.yaml"), 1, "error: Cannot read x.yaml"],
    [new DeviceLostError("Device lost: reset"), 3, "error: Device lost: reset"],
    [new UnsupportedDeviceError("No device", { missing: ["adapter"] }), 3, "error: No device"],
    ["a thrown text", 1, "error: a thrown text"],
  ];
  for (const [error, code, line] of cases) {
    const { codes, printed, errors } = await run(() => Promise.reject(error));
    assert.deepEqual(codes, [code]);
    assert.deepEqual(errors, [line]);
    assert.deepEqual(printed, []);
  }
});

Deno.test("runCommand() maps what main throws before its first await", async () => {
  const { codes } = await run(() => {
    throw new UsageError("Cannot read it");
  });
  assert.deepEqual(codes, [2]);
});

Deno.test("runCommand() exits with 130 and says nothing more when Ctrl-C ended the command", async () => {
  const { codes, printed, errors } = await run(() => Promise.reject(new Interrupted()), {
    hint: () => "go on",
  });
  assert.deepEqual([codes, printed, errors], [[130], [], []]);
});

Deno.test("runCommand() prints help and exits with 0", async () => {
  const { codes, printed, errors } = await run(() => Promise.reject(new HelpRequest("Usage: x")));
  assert.deepEqual([codes, printed, errors], [[0], ["Usage: x"], []]);
});

Deno.test("runCommand() prints the stack with debug alone", async () => {
  const { errors } = await run(() => Promise.reject(new TypeError("Cannot do it")), {
    args: ["--debug"],
  });
  assert.equal(errors[0], "error: Cannot do it");
  assert.match(errors[1] ?? "", /run_command_test\.ts/);
});

Deno.test("runCommand() prints the hint under an error of the run, not of usage", async () => {
  const hint = () => "resume with: deno task train --resume runs/x";
  const lost = await run(() => Promise.reject(new DeviceLostError("Device lost")), { hint });
  assert.deepEqual(lost.errors, ["error: Device lost", hint()]);
  const usage = await run(() => Promise.reject(new UsageError("Cannot read it")), { hint });
  assert.deepEqual(usage.errors, ["error: Cannot read it"]);
});

Deno.test("runCommand() ends a process with code, message and output intact", async () => {
  const program = `
    import { Interrupted, runCommand } from ${
    JSON.stringify(import.meta.resolve("../../cli/run_command.ts"))
  };
    await runCommand(async () => {
      console.log("x".repeat(100_000));
      Promise.reject(new RangeError("Cannot go on: stray"));
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
  `;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", program],
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  assert.equal(new TextDecoder().decode(stderr).trim(), "error: Cannot go on: stray");
  assert.equal(code, 1);
  assert.equal(stdout.length, 100_001);
});
