/**
 * `deno task tune`: see `TUNE_COMMAND`.
 *
 * @module
 */

import { parseArguments, UsageError } from "../cli/arguments.ts";
import { TUNE_COMMAND } from "../cli/commands/bench.ts";
import { openDevice } from "../cli/open_device.ts";
import { prepareOutput } from "../cli/output_file.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { tuningPath, writeTuning } from "../cli/tuning_file.ts";
import type { Device } from "../kernels/core/device.ts";
import type { AskedVariant } from "../kernels/core/tuning.ts";
import { modelOptions } from "../model/config.ts";
import { DEFAULT_CONFIG, loadConfig } from "../train/load_config.ts";
import { measure, waitMilliseconds } from "./measure.ts";
import { describeTuning, questionsOf, tune, type TunedTimes, tuningTable } from "./tuner.ts";

const MINIMUM_MILLISECONDS = 200;

await runCommand(main);

async function main(): Promise<void> {
  const { options, positionals } = parseArguments(TUNE_COMMAND, Deno.args);
  const path = options.out ?? tuningPath();
  if (path === undefined) {
    throw new UsageError("Cannot find the user's cache folder: expected --out FILE");
  }
  const config = await loadConfig(positionals[0] ?? DEFAULT_CONFIG, { overrides: options.set });
  await prepareOutput(path, { inputs: positionals });
  // A forced variant would leave nothing to choose; writeTuning tells of a file that cannot be used.
  using device = await openDevice({ ...config.device, variants: {} }, () => {});
  say(`device  ${device.profile.label}`);
  const { data, train, bank, sample } = config;
  const questions = await questionsOf({
    model: modelOptions(config.model, {
      imageSize: data.imageSize,
      channels: data.channels,
      classes: 1,
      snippetDim: bank.dim,
    }),
    batchSize: train.batchSize,
    gradientAccumulation: train.gradientAccumulation,
    precision: train.precision,
    sampleCount: sample.count,
    guided: sample.guidance.scale !== 1,
  }, device.profile);
  const { label } = device.profile;
  // What was timed before a kill is kept.
  const results = await timeAll(
    device,
    questions,
    (result) => writeTuning(tuningTable([result]), { path, label, note: say }),
  );
  if (options.json) console.log(JSON.stringify({ path, results }));
  else for (const line of [...describeTuning(results), `wrote ${path}`]) console.log(line);
}

async function timeAll(
  device: Device,
  questions: readonly AskedVariant[],
  keep: (result: TunedTimes) => void,
): Promise<TunedTimes[]> {
  const wait = await waitMilliseconds(device);
  using progress = openProgress(questions.length);
  let done = 0;
  return await tune(device, questions, {
    time: async (record, giveUpAfter) => {
      const options = { wait, rounds: 3, minimumMilliseconds: MINIMUM_MILLISECONDS, giveUpAfter };
      return (await measure(device, record, options)).milliseconds;
    },
    onTimed(result) {
      keep(result);
      progress.advance(++done);
    },
  });
}
