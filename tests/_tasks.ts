/** Runs the commands as a user does: each in a process of its own, with the permissions of its task. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import configuration from "../deno.json" with { type: "json" };
import type { Device } from "../kernels/core/device.ts";
import { NO_ADAPTER, sharedDevice } from "./_gpu.ts";

/** The root of the project, where commands run. */
export const ROOT: string = fileURLToPath(new URL("../", import.meta.url));

/** What a finished command left. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Settings of a network and a run so small that only compiling kernels takes time. */
export const SMALL: readonly string[] = [
  ...["model.width=16", "model.depth=1", "model.heads=2", "model.patchSize=4"],
  ...["data.imageSize=8", "bank.dim=12", "bank.resolution=8", "train.batchSize=8"],
  ...["train.logEvery=1", "train.sampleEvery=2", "sample.count=4", "sample.steps=2"],
].flatMap((setting) => ["--set", setting]);

/** {@linkcode SMALL} on 206 of the built-in images. */
export const SMALL_EMOJI: readonly string[] = [...SMALL, "--set", "data.heldOut=1700"];

/** Program and arguments of a task, with arguments of its own behind. */
export function taskCommand(
  task: keyof typeof configuration.tasks,
  args: readonly string[],
): string[] {
  const [, run, ...rest] = configuration.tasks[task].command.split(" ");
  return [Deno.execPath(), run!, "--quiet", ...rest, ...args];
}

/** Starts a task. */
export function startTask(
  task: keyof typeof configuration.tasks,
  args: readonly string[],
  env: Record<string, string> = {},
): Deno.ChildProcess {
  return start(taskCommand(task, args), env);
}

/** Runs a task to its end. */
export async function runTask(
  task: keyof typeof configuration.tasks,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  return await finish(startTask(task, args, env));
}

/** Starts a program in the root of the project. */
export function start(
  [program, ...args]: readonly string[],
  env: Record<string, string> = {},
): Deno.ChildProcess {
  return new Deno.Command(program!, {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1", INIT_CWD: ROOT, ...env },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Waits for a process to end. */
export async function finish(child: Deno.ChildProcess): Promise<Finished> {
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Waits until a process has written to a path; throws what it said where it ends without. */
export async function untilWritten(path: string, child: Deno.ChildProcess): Promise<void> {
  let ended = false;
  child.status.then(() => ended = true);
  while (!existsSync(path) || Deno.statSync(path).size === 0) {
    if (ended) throw new Error(`Nothing was written to ${path}: ${(await finish(child)).stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A test of commands that open a device, as it does. */
export function deviceTest(name: string, fn: (device: Device) => Promise<void>): void {
  Deno.test({ name, ignore: NO_ADAPTER, fn: async () => await fn(await sharedDevice()) });
}

let temporary: string | undefined;
Deno.test.afterAll(() => {
  if (temporary !== undefined) Deno.removeSync(temporary, { recursive: true });
});

/** A path in a folder that is removed after the tests of a file. */
export function inTemporary(name: string): string {
  temporary ??= Deno.makeTempDirSync({ prefix: "gmem_tasks_" });
  return join(temporary, name);
}

/** Trains the small network on {@linkcode SMALL_EMOJI} for three steps. */
export function trainSmall(directory: string, ...args: string[]): Promise<Finished> {
  const settings = [
    ...["--set", `train.runDirectory=${directory}`, "--set", "train.evaluateEvery=2"],
    ...["--steps", "3", ...args],
  ];
  return runTask("train", [...SMALL_EMOJI, ...settings]);
}

let trained: Promise<{ directory: string } & Finished> | undefined;

/** A run of three steps that all tests of a file share; they copy it to change it. */
export function trainedRun(): Promise<{ directory: string } & Finished> {
  const directory = inTemporary("run");
  return trained ??= trainSmall(directory, "--json").then((run) => ({ directory, ...run }));
}

/** A copy of the shared run, and of everything in it before a command ran. */
export async function copyOfRun(name: string): Promise<string> {
  const { directory } = await trainedRun();
  const copy = inTemporary(name);
  copyDirectory(directory, copy);
  return copy;
}

/** Copies a folder with all that is in it. */
export function copyDirectory(source: string, target: string): void {
  Deno.mkdirSync(target, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(source)) {
    const [from, to] = [join(source, name), join(target, name)];
    if (isDirectory) copyDirectory(from, to);
    else Deno.copyFileSync(from, to);
  }
}

/** Every file under a directory with its bytes. */
export function contents(directory: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const path = join(directory, name);
    if (!isDirectory) files.set(name, Deno.readFileSync(path));
    else for (const [inside, bytes] of contents(path)) files.set(join(name, inside), bytes);
  }
  return files;
}

/** Checks that a command failed with a code and said so, on standard error alone. */
export function assertRefusal(run: Finished, code: number, ...said: (string | RegExp)[]): void {
  assert.equal(run.code, code, run.stderr);
  assert.equal(run.stdout, "");
  assert.match(run.stderr, /^error: /m);
  assert.doesNotMatch(run.stderr, /^ {4}at /m);
  for (const text of said) {
    if (text instanceof RegExp) assert.match(run.stderr, text);
    else assert(run.stderr.includes(text), `${run.stderr}\nlacks ${text}`);
  }
}
