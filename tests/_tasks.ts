/** Runs the commands as a user does: each in a process of its own, with the permissions of its task. */

import { fileURLToPath } from "node:url";
import configuration from "../deno.json" with { type: "json" };

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
