/**
 * `deno task train`: see `TRAIN_COMMAND`.
 *
 * @module
 */

import { join, resolve } from "node:path";
import process from "node:process";
import { parseArguments } from "../cli/arguments.ts";
import { TRAIN_COMMAND } from "../cli/commands.ts";
import { plotLoss } from "../cli/plot.ts";
import { formatDuration, Progress } from "../cli/progress.ts";
import { readRunLog, RunLog } from "../cli/run_log.ts";
import { runCommand } from "../cli/run_command.ts";
import { Device } from "../kernels/core/device.ts";
import {
  findCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  readCheckpointState,
  saveCheckpoint,
} from "./checkpoint.ts";
import { type Config, configReference, parseConfig, resolveConfig } from "./config.ts";
import { loadData } from "./load_data.ts";
import { Preview } from "./preview.ts";
import { describeReport, reportConditioning } from "./report.ts";
import { buildRun, type Run } from "./run.ts";

const DEFAULT_CONFIG = "configs/emoji_tiny.yaml";

let runDirectory: string | undefined;

await runCommand(main, {
  debug: Deno.args.includes("--debug"),
  hint: (error) => {
    const last = runDirectory && listedCheckpoints(runDirectory).at(-1)?.path;
    if (error.name === "NonFiniteLossError") {
      return last
        ? `The last good checkpoint is ${last}; lower optimizer.learningRate and go on from it with --resume ${runDirectory}`
        : "There is no checkpoint yet; lower optimizer.learningRate and start again";
    }
    return last ? `Go on with: deno task train --resume ${runDirectory}` : undefined;
  },
});

function listedCheckpoints(directory: string): { path: string }[] {
  try {
    return listCheckpoints(directory);
  } catch {
    return [];
  }
}

async function main(): Promise<void> {
  const { options, positionals } = parseArguments(TRAIN_COMMAND, Deno.args, {
    details: configReference,
  });
  const overrides = [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.steps ? [`train.steps=${options.steps}`] : []),
    ...(options.set ?? []),
  ];
  const resumed = options.resume ? findCheckpoint(options.resume) : undefined;
  const config = resumed
    ? resolveConfig(readCheckpointState(resumed).config, { name: resumed, overrides })
    : await readConfig(positionals[0] ?? DEFAULT_CONFIG, overrides);
  runDirectory = resumed ? resolve(resumed, "..") : config.train.runDirectory;
  await Deno.mkdir(runDirectory, { recursive: true });

  const say = options.json ? () => {} : (line: string) => console.error(line);
  using device = await Device.open({
    allowFallback: config.device.allowCpuDriver,
    variants: config.device.variants,
  });
  say(`device  ${device.profile.label}`);
  if (device.profile.driver === "cpu") {
    say("        no GPU was found: the CPU driver computes the same, much slower");
  }
  const { train, heldOut } = await loadData(config.data, { seed: config.train.seed, note: say });
  say(`data    ${train.size} images to train on, ${heldOut?.size ?? 0} held out`);
  using run = await buildRun({ device, config, train, runDirectory, note: say });
  say(`model   ${run.model.parameters.trainedElements.toLocaleString("en")} parameters`);
  if (resumed) {
    loadCheckpoint(resumed, run);
    say(`resume  ${resumed}`);
  }
  await trainRun({ run, config, directory: runDirectory, json: options.json ?? false, say });

  if (run.bank && run.encoder) {
    const report = await reportConditioning({
      ...run,
      bank: run.bank,
      encoder: run.encoder,
      config,
      heldOut,
    });
    const file = join(runDirectory, "report.json");
    await Deno.writeTextFile(file, JSON.stringify(report, null, 2));
    for (const line of describeReport(report)) say(line);
  }
}

async function readConfig(path: string, overrides: readonly string[]): Promise<Config> {
  return parseConfig(await Deno.readTextFile(path), { name: path, overrides });
}

async function trainRun(
  { run, config, directory, json, say }: {
    run: Run;
    config: Config;
    directory: string;
    json: boolean;
    say: (line: string) => void;
  },
): Promise<void> {
  const { trainer, model } = run;
  const { steps, logEvery, syncEvery, sampleEvery, checkpointEvery } = config.train;
  const log = await RunLog.open(join(directory, "log.jsonl"), { throughStep: trainer.step });
  using preview = new Preview({ run, config, directory: join(directory, "samples") });
  using progress = new Progress({
    total: steps,
    start: trainer.step,
    stream: json ? process.stdout : process.stderr,
    json,
  });
  const interrupt = new AbortController();
  const onInterrupt = () => interrupt.abort();
  Deno.addSignalListener("SIGINT", onInterrupt);
  const started = performance.now();
  let saved = -1;
  const save = async () => {
    if (saved === trainer.step) return;
    await saveCheckpoint(directory, { trainer, model, config });
    saved = trainer.step;
  };
  try {
    const due = (every: number | null) => every !== null && trainer.step % every === 0;
    // A record is due wherever something else is, so that the loop can do it there.
    const everies = [logEvery, sampleEvery, checkpointEvery].filter((every) => every !== null);
    const records = trainer.run({
      steps,
      logEvery: everies.reduce(greatestCommonDivisor),
      syncEvery,
      signal: interrupt.signal,
      onStep: (step) => progress.advance(step),
    });
    for await (const record of records) {
      log.append({ ...record });
      progress.record({ ...record });
      if (due(sampleEvery) && trainer.step < steps) await preview.write();
      if (due(checkpointEvery)) await save();
    }
    await save();
    await writeLossPlot(directory);
    if (interrupt.signal.aborted) {
      progress.stop();
      say(`stopped after step ${trainer.step}; go on with: deno task train --resume ${directory}`);
      Deno.exit(0);
    }
    const picture = await preview.write();
    progress.stop();
    say(`trained ${steps} steps in ${formatDuration((performance.now() - started) / 1000)}`);
    say(`wrote   ${picture}, ${join(directory, "loss.svg")}, checkpoint of step ${trainer.step}`);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    log[Symbol.dispose]();
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

async function writeLossPlot(directory: string): Promise<void> {
  const records = await readRunLog(join(directory, "log.jsonl"));
  await Deno.writeTextFile(join(directory, "loss.svg"), await plotLoss(records));
}
