/**
 * `deno task bank`: see `BANK_PROGRAM`.
 *
 * @module
 */

import { selectCommand } from "../cli/arguments.ts";
import { BANK_PROGRAM } from "../cli/commands/bank.ts";
import { runCommand } from "../cli/run_command.ts";
import { build, importBank } from "./commands/build.ts";
import { add, interpolate, transfer } from "./commands/draw.ts";
import { compress, exportBank, inspect, merge } from "./commands/files.ts";
import { learnFeatures, learnText } from "./commands/learn.ts";
import { nearest } from "./commands/nearest.ts";

const COMMANDS: Readonly<
  Record<keyof typeof BANK_PROGRAM.commands, (args: readonly string[]) => void | Promise<void>>
> = {
  build,
  inspect,
  import: importBank,
  compress,
  merge,
  add,
  interpolate,
  nearest,
  transfer,
  "learn-text": learnText,
  "learn-features": learnFeatures,
  export: exportBank,
};

await runCommand(main);

async function main(): Promise<void> {
  const { command, args } = selectCommand(BANK_PROGRAM, Deno.args);
  await COMMANDS[command](args);
}
