/**
 * `deno task verify`: compares this project with recordings of the official code.
 *
 * @module
 */

import { parseArguments } from "../../cli/arguments.ts";
import { VERIFY_COMMAND } from "../../cli/commands/evaluate.ts";
import { EXIT_CODES, runCommand } from "../../cli/run_command.ts";
import { Device } from "../../kernels/core/device.ts";
import { formatCount, formatRows, formatSummary, passed, type Report } from "./report.ts";
import { verifyFile } from "./verify.ts";

if (import.meta.main) {
  let failed = false;
  const main = async () => {
    failed = !await verify(Deno.args);
  };
  await runCommand(main, {
    exit: (code) => Deno.exit(code === EXIT_CODES.success && failed ? EXIT_CODES.failure : code),
  });
}

/** Verifies the files of the arguments and prints what was found; whether all of it passed. */
async function verify(args: readonly string[]): Promise<boolean> {
  const { positionals, options } = parseArguments(VERIFY_COMMAND, args);
  using device = await Device.open({ allowCpuDriver: true });
  console.log(`Device: ${device.profile.label}`);
  const reports: Report[] = [];
  for (const path of positionals) {
    const report = await verifyFile(device, path);
    reports.push(report);
    if (!options.summary) console.log(formatRows(report).join("\n"));
  }
  if (options.summary) console.log(formatSummary(reports).join("\n"));
  console.log(formatCount(reports));
  return reports.every((report) => report.rows.every(passed));
}
