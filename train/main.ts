/**
 * `deno task train`: see `TRAIN_COMMAND`.
 *
 * @module
 */

import { join } from "node:path";
import { parseArguments } from "../cli/arguments.ts";
import { TRAIN_COMMAND } from "../cli/commands/train.ts";
import { lockFolder } from "../cli/folder_lock.ts";
import { openDevice } from "../cli/open_device.ts";
import { Interrupted, runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { watchWork } from "../cli/watch_work.ts";
import { writeAtomically } from "../kernels/core/atomic_file.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";
import { modelCost, totalBytes } from "../model/inspect.ts";
import { attempt } from "./attempt.ts";
import {
  checkpointsAfter,
  findCheckpoint,
  imagesFingerprint,
  requireSpace,
  requireTrainingImages,
} from "./checkpoint.ts";
import { adviseAfter, type StartedRun } from "./commands/advice.ts";
import {
  checkCheckpoints,
  checkImages,
  checkSettings,
  checkUsage,
  readSettings,
  type Settings,
} from "./commands/settings.ts";
import { trainRun } from "./commands/training.ts";
import type { Config } from "./config.ts";
import { configHelp } from "./config_help.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { requireDrawable } from "./drawable.ts";
import { loadData, type LoadedData } from "./load_data.ts";
import { type ConditioningReport, describeReport, reportConditioning } from "./report.ts";
import { buildRun, type Run } from "./run.ts";

await train();

/** The command. What it advises after an error depends on how far it came. */
async function train(): Promise<void> {
  let resumed: string | undefined, started: StartedRun | undefined;
  const hint = (error: Error) => adviseAfter(error, { started, resumed });
  await runCommand(async () => {
    const given = parseArguments(TRAIN_COMMAND, Deno.args, { details: configHelp });
    checkUsage(given);
    const { resume } = given.options;
    resumed = resume === undefined ? undefined : findCheckpoint(resume);
    const settings = await readSettings(given, { resumed });
    checkSettings(settings);
    const { config, directory, json } = settings;
    using _lock = await lockFolder(directory, {
      expected: "that it ends first" +
        (resumed ? "" : ", or another folder by --set train.runDirectory=DIR"),
      note: say,
    });
    checkCheckpoints(settings);

    using device = await openDevice(config.device, say);
    sayDevice(device);
    if (config.data.kind !== "latents" || config.data.decoder !== null) {
      requireDrawable(device, config);
    }
    using data = await openData(settings);
    // Before the bank, which would miss the same images in other words.
    if (resumed) {
      const { size } = data.train;
      requireTrainingImages(resumed, { images: imagesFingerprint(data.train), size });
    }
    sayData(data, config);
    checkImages(settings, data.train);
    using run = await openRun(settings, { device, data });
    sayRun(run, settings);
    requireSpace(directory, run.model.parameters.entries(), {
      coming: checkpointsAfter(run.trainer.step, config.train),
      keep: config.train.keepCheckpoints,
    });

    const { heldOut } = data;
    const result = await trainRun(settings, { run, heldOut, onBegin: (begun) => started = begun });
    if (!result) throw new Interrupted();
    const report = await writeReport(settings, { run, heldOut });
    if (json) console.log(JSON.stringify({ ...result, report }));
  }, { hint });
}

function sayDevice({ profile }: Device): void {
  say(`device  ${profile.label}`);
  if (profile.driver === "cpu") {
    say("        no GPU was found: the CPU driver computes the same, much slower");
  }
}

async function openData({ config, json }: Settings): Promise<LoadedData> {
  const decoding = watchWork({ what: "data    decoding the images", json });
  return await loadData(config.data, {
    seed: config.train.seed,
    note: say,
    onProgress: decoding.advance,
  }).finally(decoding.stop);
}

function sayData({ train, heldOut }: LoadedData, { data, train: { batchSize } }: Config): void {
  say(`data    ${counted(train.size, "image")} to train on, ${heldOut?.size ?? 0} held out`);
  if (batchSize > train.size) {
    const times = Number((batchSize / train.size).toFixed(1));
    say(
      `        a batch holds each of them ${counted(times, "time")} on average, ` +
        `with noise of its own: train.batchSize is ${batchSize}`,
    );
  }
  if (data.kind === "latents") {
    say(
      data.decoder === null
        ? "        no pictures, no evaluation and no report: samples are latents, and data.decoder is null"
        : "        no report: nothing encodes images as the snippets; distances are by pixel_pca",
    );
  }
}

/** Makes bank, model and trainer, with the weights that there are. */
async function openRun(
  { config, directory, resumed, weights, json }: Settings,
  { device, data: { train, places } }: { device: Device; data: LoadedData },
): Promise<Run> {
  const encoding = watchWork({ what: "bank    encoding the images", json });
  return await buildRun({
    device,
    config,
    train,
    places,
    runDirectory: directory,
    checkpoint: resumed,
    weights,
    note: say,
    onEncoded: encoding.advance,
  }).finally(encoding.stop);
}

function sayRun({ model, trainer: { parts } }: Run, { config, resumed, weights }: Settings): void {
  const { batchSize, gradientAccumulation, recompute, steps } = config.train;
  say(`model   ${model.parameters.trainedElements.toLocaleString("en")} learned parameters`);
  const cost = modelCost(model.options, { batch: Math.ceil(batchSize / parts) });
  say(`memory  about ${formatBytes(totalBytes(cost.bytes, { recompute }))} on a GPU`);
  if (parts > gradientAccumulation) {
    say(`batch   ${batchSize} images in ${parts} parts, as large as the adapter binds`);
  }
  if (weights) say(`weights ${weights.path}`);
  if (resumed) say(`resume  ${resumed}, of ${counted(steps, "step")}`);
}

/** Whether samples follow what guided them, said and written; undefined where that cannot be measured. */
async function writeReport(
  { config, directory, json }: Settings,
  { run, heldOut }: { run: Run; heldOut: LoadedData["heldOut"] },
): Promise<ConditioningReport | undefined> {
  const report = await attempt("the report", { tell: say }, async () => {
    const { dataset, bank, encoder, trainingFeatures } = run;
    // Distances take two images.
    if (!bank || !encoder || !trainingFeatures || dataset.size < 2) return undefined;
    const unseen = heldOut instanceof LatentShards ? undefined : heldOut;
    const drawing = watchWork({ what: "report  drawing samples", json });
    return await reportConditioning({
      ...run,
      bank,
      encoder,
      trainingFeatures,
      config,
      heldOut: unseen,
      onDrawn: drawing.advance,
    }).finally(drawing.stop);
  });
  if (report) {
    for (const line of describeReport(report)) say(line);
    await attempt("report.json", { tell: say }, () => {
      writeAtomically(join(directory, "report.json"), JSON.stringify(report, null, 2));
    });
  }
  return report;
}
