/**
 * `deno task bench:growth`: see `GROWTH_COMMAND`.
 *
 * @module
 */

import { parseArguments } from "../cli/arguments.ts";
import { GROWTH_COMMAND } from "../cli/commands/bench.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { Device } from "../kernels/core/device.ts";
import { benchGrowth, GROWTH, type GrowthRow, MANY_DISPATCHES } from "./growth.ts";
import { waitMilliseconds } from "./measure.ts";
import { growthTables, markdownTable, textTable } from "./report.ts";
import { benchTraining, type StepRow } from "./steps.ts";

/** Steps of each size that count. */
const STEPS = 4;

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(GROWTH_COMMAND, Deno.args);
  const { only, markdown, json } = options;
  const chosen = (name: string) => only.length === 0 || (only as readonly string[]).includes(name);
  const { adapter, wait } = await lookAtAdapter();
  say(`device  ${adapter}`);
  const growing = GROWTH.filter(({ name }) => chosen(name));
  const total = growing.reduce((sum, { sizes }) => sum + sizes.length, 0) +
    Number(chosen("dispatches"));
  using progress = openProgress(total);
  let done = 0;
  const rows: GrowthRow[] = [];
  for (const each of growing) {
    const onPoint = () => progress.advance(++done);
    rows.push(await benchGrowth(each, { steps: STEPS, wait, onPoint }));
  }
  let many: StepRow | undefined;
  if (chosen("dispatches")) {
    many = await benchTraining(MANY_DISPATCHES, { steps: STEPS, wait });
    progress.advance(++done);
  }
  progress.stop();
  if (json) return console.log(JSON.stringify({ adapter, rows, ...(many && { many }) }));
  for (const table of growthTables(rows, many)) {
    for (const line of markdown ? markdownTable(table) : textTable(table)) console.log(line);
  }
}

async function lookAtAdapter(): Promise<{ adapter: string; wait: number }> {
  using device = await Device.open({ allowCpuDriver: true });
  return { adapter: device.profile.label, wait: await waitMilliseconds(device) };
}
