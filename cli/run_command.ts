/**
 * The frame around every command: errors become one clear line and an exit code.
 *
 * @module
 */

import { DeviceLostError, UnsupportedDeviceError } from "../kernels/core/errors.ts";
import { SettingError } from "../train/setting_error.ts";
import { HelpRequest, UsageError } from "./arguments.ts";
import { gpusAtRest } from "./open_device.ts";

/** Exit codes of all commands. */
export const EXIT_CODES = {
  success: 0,
  failure: 1,
  usage: 2,
  device: 3,
  interrupted: 130,
} as const;

/** Ctrl-C or SIGTERM ended a command early, which has said what it kept and how to go on. */
export class Interrupted extends Error {
  /** The class, by which errors from other realms can be told. */
  override readonly name = "Interrupted";
}

/** Options of {@linkcode runCommand}; the defaults are the process's own arguments, console and exit. */
export interface RunCommandOptions {
  /** The arguments; `--debug` among them prints the stack of an error as well. */
  readonly args?: readonly string[];
  /** A line printed under an error of the run itself, such as the command that resumes it. */
  readonly hint?: (error: Error) => string | undefined;
  /** Prints a line of result. */
  readonly print?: (line: string) => void;
  /** Prints a line of error. */
  readonly printError?: (line: string) => void;
  /** Ends the process. */
  readonly exit?: (code: number) => void;
}

/**
 * Runs a command and ends the process with its exit code: 0 when it worked, 1 when it failed, 2
 * when the command line cannot be used, 3 when there is no usable device or it was lost (but 1 where
 * Deno itself panics at the loss), 130, as shells have it, when Ctrl-C or SIGTERM ended it early.
 *
 * The process always ends by an explicit exit: Deno aborts with a message of its own where a
 * process falls off its end while the GPU still works. Before that, GPUs finish what was submitted. Errors
 * outside the promise (in event listeners) end it likewise.
 *
 * @example
 * ```ts ignore
 * await runCommand(async () => {
 *   const { options } = parseArguments(TRAIN_COMMAND, Deno.args);
 *   await train(options);
 * });
 * ```
 */
export async function runCommand(
  main: () => void | Promise<void>,
  options: RunCommandOptions = {},
): Promise<void> {
  const { print = console.log, printError = console.error, exit = Deno.exit } = options;
  const stray = Promise.withResolvers<never>();
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    stray.reject(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    stray.reject(event.error);
  };
  addEventListener("unhandledrejection", onRejection);
  addEventListener("error", onError);
  let code: number = EXIT_CODES.success;
  try {
    await Promise.race([main(), stray.promise]);
  } catch (error) {
    if (error instanceof HelpRequest) {
      print(error.text);
    } else if (error instanceof Interrupted) {
      code = EXIT_CODES.interrupted;
    } else {
      for (const line of errorLines(error, options)) printError(line);
      code = exitCode(error);
    }
  } finally {
    removeEventListener("unhandledrejection", onRejection);
    removeEventListener("error", onError);
  }
  await gpusAtRest();
  exit(code);
}

function exitCode(error: unknown): number {
  if (error instanceof UsageError || error instanceof SettingError) return EXIT_CODES.usage;
  if (error instanceof DeviceLostError || error instanceof UnsupportedDeviceError) {
    return EXIT_CODES.device;
  }
  return EXIT_CODES.failure;
}

function errorLines(error: unknown, options: RunCommandOptions): string[] {
  const { args = Deno.args, hint } = options;
  if (!(error instanceof Error)) return [`error: ${String(error)}`];
  const lines = [`error: ${error.message}`];
  const advice = error instanceof UsageError ? undefined : hint?.(error);
  if (advice !== undefined) lines.push(advice);
  if (args.includes("--debug")) lines.push(Deno.inspect(error));
  return lines;
}
