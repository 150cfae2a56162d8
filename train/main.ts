/**
 * `deno task train`: see `TRAIN_COMMAND`.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { bankFiles } from "../bank/config.ts";
import { BankFile } from "../bank/file.ts";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { TRAIN_COMMAND } from "../cli/commands/train.ts";
import { lockFolder } from "../cli/folder_lock.ts";
import { requireFiles } from "../cli/input_files.ts";
import { Interruption } from "../cli/interruption.ts";
import { openDevice } from "../cli/open_device.ts";
import { writing } from "../cli/output_file.ts";
import { plotEvaluation, plotLoss } from "../cli/plot.ts";
import {
  formatDuration,
  type LaterProgress,
  openProgress,
  openProgressLater,
} from "../cli/progress.ts";
import { readRunLog, RunLog } from "../cli/run_log.ts";
import { Interrupted, runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { shellWord } from "../cli/shell_word.ts";
import { clonePath } from "../cli/typed_path.ts";
import { removeAbandoned, writeAtomically } from "../kernels/core/atomic_file.ts";
import { counted } from "../kernels/core/counted.ts";
import { formatBytes } from "../kernels/core/format_bytes.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { modelOptions } from "../model/config.ts";
import { modelCost, totalBytes } from "../model/inspect.ts";
import { readModelOptions } from "../model/read_model_options.ts";
import { SiT } from "../model/sit.ts";
import { matchStateDict } from "../model/state_dict.ts";
import { openWeights } from "../model/weights.ts";
import type { Viewer } from "../sample/viewer.ts";
import { attempt } from "./attempt.ts";
import {
  checkpointsAfter,
  findCheckpoint,
  fingerprintOf,
  lastCheckpoint,
  listCheckpoints,
  readCheckpointState,
  readStateOfSiT,
  removeOldCheckpoints,
  requireSpace,
  requireTrainingImages,
  saveCheckpoint,
} from "./checkpoint.ts";
import { adviseAfter, type StartedRun } from "./commands/advice.ts";
import type { Config } from "./config.ts";
import { configHelp } from "./config_help.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { requireDrawable } from "./drawable.ts";
import { configToGoOn } from "./fixed_keys.ts";
import { loadConfig } from "./load_config.ts";
import { loadData, type LoadedData } from "./load_data.ts";
import type { TrainRecord } from "./history.ts";
import { folderOverrides } from "./overrides.ts";
import { Preview } from "./preview.ts";
import { describeReport, reportConditioning } from "./report.ts";
import { buildRun, latentScaling, type Run } from "./run.ts";
import { AVERAGED_WEIGHTS } from "./run_files.ts";
import { type DistanceRecord, SampleDistance, SAMPLES } from "./sample_distance.ts";
import type { Trainer } from "./trainer.ts";
import { openViewer } from "./viewer.ts";

const DEFAULT_CONFIG = "configs/emoji_tiny.yaml";

/** Milliseconds without a sign of life. */
const PATIENCE = 3000;

/** The run, once its training has begun. */
let startedRun: StartedRun | undefined;
/** The checkpoint that is read to go on from. */
let resumedCheckpoint: string | undefined;

await runCommand(main, {
  hint: (error) => adviseAfter(error, { started: startedRun, resumed: resumedCheckpoint }),
});

async function main(): Promise<void> {
  const { options, positionals } = parseArguments(TRAIN_COMMAND, Deno.args, {
    details: configHelp,
  });
  const { resume, init, reversed, json } = options;
  if (init !== undefined && resume !== undefined) {
    throw new UsageError("Cannot take weights from --init: --resume has those of the run already");
  }
  if (reversed && init === undefined) {
    throw new UsageError("Cannot reverse the time of a new network: expected --init FILE");
  }
  if (resume !== undefined && positionals.length > 0) {
    throw new UsageError(
      `Cannot resume with ${positionals[0]}: a run keeps its configuration, expected --set for ` +
        "keys to change",
    );
  }
  const overrides = [
    ...folderOverrides(options.data),
    ...(options.steps ? [`train.steps=${options.steps}`] : []),
    ...(options.recompute ? ["train.recompute=true"] : []),
    ...options.set,
  ];
  const resumed = resume === undefined ? undefined : findCheckpoint(resume);
  resumedCheckpoint = resumed;
  const config = resumed
    ? configToGoOn({ checkpoint: resumed, stored: readStateOfSiT(resumed).config, overrides })
    : await loadConfig(positionals[0] ?? DEFAULT_CONFIG, { overrides });
  const directory = resumed ? dirname(resumed) : clonePath(config.train.runDirectory);
  if (resumed) {
    requireData(resumed, config.data);
  } else if (/^~(?:[\\/]|$)/.test(config.train.runDirectory)) {
    throw new UsageError(
      `Cannot keep a run in ${config.train.runDirectory}: a configuration knows no home folder, ` +
        "expected the whole path",
    );
  }
  requireUsed(config);
  const makesBank = !resumed && config.bank.path === null &&
    config.model.conditioning === "snippet";
  if (init !== undefined) refuseFolder(init);
  requireFiles({
    "--init": init,
    "bank.path": config.bank.path,
    ...(makesBank && bankFiles(config.bank)),
    "data.decoder": config.data.decoder,
  });
  // Before the images are read and the bank is made.
  if (init !== undefined) requireNetwork(init, config);
  if (config.bank.path !== null) BankFile.open(config.bank.path)[Symbol.dispose]();
  using _lock = await lockFolder(directory, {
    expected: "that it ends first" +
      (resumed ? "" : ", or another folder by --set train.runDirectory=DIR"),
    note: say,
  });
  if (resumed) requireNewest(resumed);
  else requireNoCheckpoint(directory);

  using device = await openDevice(config.device, say);
  say(`device  ${device.profile.label}`);
  if (device.profile.driver === "cpu") {
    say("        no GPU was found: the CPU driver computes the same, much slower");
  }
  const makesPictures = config.data.kind !== "latents" || config.data.decoder !== null;
  if (makesPictures) requireDrawable(device, config);
  const decoding = watchWork({ what: "data    decoding the images", json });
  using data = await loadData(config.data, {
    seed: config.train.seed,
    note: say,
    onProgress: decoding.advance,
  }).finally(decoding.stop);
  const { train, heldOut, places } = data;
  // Before the bank, which would miss the same images in other words.
  if (resumed) requireTrainingImages(resumed, fingerprintOf(train));
  const { batchSize, gradientAccumulation, recompute } = config.train;
  say(`data    ${counted(train.size, "image")} to train on, ${heldOut?.size ?? 0} held out`);
  if (batchSize > train.size) {
    const times = Number((batchSize / train.size).toFixed(1));
    say(
      `        a batch holds each of them ${counted(times, "time")} on average, ` +
        `with noise of its own: train.batchSize is ${batchSize}`,
    );
  }
  if (config.data.kind === "latents") {
    say(
      config.data.decoder === null
        ? "        no pictures, no evaluation and no report: samples are latents, and data.decoder is null"
        : "        no report: nothing encodes images as the snippets; distances are by pixel_pca",
    );
  }
  const encoding = watchWork({ what: "bank    encoding the images", json });
  using run = await buildRun({
    device,
    config,
    train,
    places,
    runDirectory: directory,
    checkpoint: resumed,
    weights: init === undefined ? undefined : { path: init, reversed },
    note: say,
    onEncoded: encoding.advance,
  }).finally(encoding.stop);
  say(`model   ${run.model.parameters.trainedElements.toLocaleString("en")} learned parameters`);
  const cost = modelCost(run.model.options, { batch: Math.ceil(batchSize / run.trainer.parts) });
  say(`memory  about ${formatBytes(totalBytes(cost.bytes, { recompute }))} on a GPU`);
  if (run.trainer.parts > gradientAccumulation) {
    say(`batch   ${batchSize} images in ${run.trainer.parts} parts, as large as the adapter binds`);
  }
  if (init !== undefined) say(`weights ${init}`);
  if (resumed) say(`resume  ${resumed}, of ${counted(config.train.steps, "step")}`);
  requireSpace(directory, run.model.parameters.entries(), {
    coming: checkpointsAfter(run.trainer.step, config.train),
    keep: config.train.keepCheckpoints,
  });
  const result = await trainRun({ run, config, heldOut, directory, resumed, json });
  if (!result) throw new Interrupted();

  const report = await attempt("the report", { tell: say }, async () => {
    const { bank, encoder, trainingFeatures } = run;
    // Distances take two images.
    if (!bank || !encoder || !trainingFeatures || train.size < 2) return undefined;
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
  if (json) console.log(JSON.stringify({ ...result, report }));
}

/**
 * Throws where training would have no use for what a configuration says. The schema takes it, since it is also
 * that of weights whose data are not known, and of runs that are drawn with.
 */
function requireUsed({ data, model, bank }: Config): void {
  if (model.repa !== null && data.kind !== "latents") {
    throw new UsageError(
      `Cannot align tokens as model.repa says: data.kind is ${data.kind}, whose images have none of an ` +
        "encoder, expected model.repa null, or data.kind latents",
    );
  }
  if (model.conditioning !== "label") return;
  const guided =
    "model.conditioning is label, and labels guide the network in place of snippets, expected ";
  if (bank.path !== null) throw new UsageError(`Cannot take bank.path: ${guided}bank.path null`);
  if (bank.encoder !== "pixel_pca") {
    throw new UsageError(`Cannot take bank.encoder ${bank.encoder}: ${guided}pixel_pca`);
  }
  if (model.snippetEmbedding !== "linear") {
    throw new UsageError(
      `Cannot take model.snippetEmbedding ${model.snippetEmbedding}: ${guided}linear`,
    );
  }
  // The kind by default says nothing: many configurations have it.
  if (bank.mask.kind === "zero" || bank.mask.kind === "none") return;
  throw new UsageError(`Cannot take bank.mask.kind ${bank.mask.kind}: ${guided}none`);
}

/** Shows how far work before the first step is, once it takes longer than one waits without a word. */
function watchWork({ what, json }: { what: string; json: boolean }): LaterProgress {
  const started = performance.now();
  return openProgressLater((done, total) => {
    if (json || performance.now() - started < PATIENCE) return undefined;
    say(`${what}, ${done} of ${total} are done`);
    return openProgress(total, { start: done });
  });
}

/** A fresh run among the checkpoints of another would later be resumed from the wrong one. */
function requireNoCheckpoint(directory: string): void {
  const last = lastCheckpoint(directory);
  if (last === undefined) return;
  throw new UsageError(
    `Cannot start a run in ${directory}: it holds ${last}, expected a folder without checkpoints. ` +
      `Go on with that run by --resume ${shellWord(directory)}, ` +
      "or choose another folder by --set train.runDirectory=DIR",
  );
}

/** Throws where weights are to come from a folder, and names those of the checkpoint there. */
function refuseFolder(weights: string): void {
  if (!existsSync(weights) || !Deno.statSync(weights).isDirectory) return;
  throw new UsageError(
    `Cannot take weights from ${weights}: it is a folder, expected a file such as ` +
      join(findCheckpoint(weights), AVERAGED_WEIGHTS),
  );
}

/**
 * Throws where the weights in a file are not those of a configuration's network, whatever the number of its
 * classes or the length of its snippets: those only data and bank tell.
 */
function requireNetwork(path: string, { model, data }: Config): void {
  using weights = openWeights(path);
  const { condition } = readModelOptions(weights, {
    heads: model.heads,
    nullClass: model.classDropout > 0,
  });
  const guide = "classes" in condition ? "label" : "snippet";
  if (guide !== model.conditioning) {
    throw new TypeError(
      `Cannot take weights from ${path}: a ${guide} guides their network, expected a ` +
        `${model.conditioning}, as model.conditioning says`,
    );
  }
  const ends = { classes: 1, snippetDim: 1, ...condition };
  const { parameters } = new SiT(
    new ParameterStore(undefined),
    modelOptions(model, { ...data, ...ends }),
  );
  matchStateDict(parameters, weights);
}

/** Throws where the data of a run are no longer where they were. */
function requireData(checkpoint: string, { path }: Config["data"]): void {
  if (path === null || existsSync(path)) return;
  throw new Deno.errors.NotFound(
    `Cannot go on from ${checkpoint}: its data were in ${path}, which does not exist, expected it, or ` +
      "--set data.path=DIR for where they are now",
  );
}

/** Two ways on from an earlier step would end up in one folder, and the older one be taken for newest. */
function requireNewest(checkpoint: string): void {
  const directory = dirname(checkpoint), { step } = readCheckpointState(checkpoint);
  const newest = listCheckpoints(directory).at(-1);
  if (newest === undefined || newest.step <= step) return;
  throw new UsageError(
    `Cannot go on from ${checkpoint}: its folder has later checkpoints, up to ${newest.path}. ` +
      `Go on from that one by --resume ${shellWord(directory)}, or move the later ones away first`,
  );
}

/** What measures in the course of training; undefined where nothing can be, or no step is due for it. */
async function prepareDistance(
  { run, config, heldOut, viewer, directory, json }: {
    run: Run;
    config: Config;
    heldOut: LoadedData["heldOut"];
    viewer: Viewer | undefined;
    directory: string;
    json: boolean;
  },
): Promise<SampleDistance | undefined> {
  const { train: { steps, evaluateEvery }, data } = config;
  const measured = (step: number) => Math.floor(step / (evaluateEvery ?? Infinity));
  if (measured(steps) <= measured(run.trainer.step)) return undefined;
  const preparing = watchWork({
    what: run.dataset instanceof LatentShards
      ? "measure decoding latents"
      : "measure encoding training images",
    json,
  });
  return await SampleDistance.prepare({
    run,
    config,
    viewer,
    heldOut: heldOut instanceof LatentShards
      ? heldOut.scaled(latentScaling(data, directory))
      : heldOut,
    onPrepared: preparing.advance,
  }).finally(preparing.stop);
}

/**
 * The records of steps. Where a step fails that leaves those before it as they were, as one does whose data
 * cannot be read, they are saved.
 */
async function* orSaved(
  records: AsyncIterable<TrainRecord>,
  { trainer, save, tell }: {
    trainer: Trainer;
    save: () => Promise<void>;
    tell: (line: string) => void;
  },
): AsyncGenerator<TrainRecord> {
  let recorded: number | undefined;
  try {
    for await (const record of records) {
      recorded = record.step;
      yield record;
    }
  } catch (error) {
    // The trainer gave a record of them, which one without a finite loss has not.
    if (recorded === trainer.step) {
      await attempt(`the checkpoint of step ${recorded}`, { tell }, save);
    }
    throw error;
  }
}

/** Trains to the end and returns what was written, or undefined when it was stopped early. */
async function trainRun(
  { run, config, heldOut, directory, resumed, json }: {
    run: Run;
    config: Config;
    heldOut: LoadedData["heldOut"];
    directory: string;
    /** The checkpoint that the run goes on from. */
    resumed: string | undefined;
    json: boolean;
  },
): Promise<
  | { step: number; checkpoint: string; picture: string | undefined; plot: string | undefined }
  | undefined
> {
  const { trainer } = run;
  const { steps, logEvery, syncEvery, sampleEvery, evaluateEvery } = config.train;
  const { checkpointEvery, keepCheckpoints } = config.train;
  const pictures = join(directory, "samples");
  // A run that goes on need not come to the same files again.
  for (const folder of [directory, pictures]) removeAbandoned(folder);
  const logPath = join(directory, "log.jsonl");
  using log = await writing(
    logPath,
    () => RunLog.open(logPath, { throughStep: trainer.step }),
  );
  using viewer = await openViewer(config.data, directory, {
    providers: config.device.onnxProviders,
  });
  const preview = viewer &&
    new Preview({ run, config, viewer, directory: pictures });
  using distance = await attempt(
    "the measurements",
    { tell: say },
    () => prepareDistance({ run, config, heldOut, viewer, directory, json }),
  );
  using progress = openProgress(steps, { start: trainer.step, json });
  const tell = (line: string) => json ? say(line) : progress.note(line);
  const { batchSize, recompute } = config.train;
  startedRun = { directory, batchSize, parts: trainer.parts, recompute };
  const first = trainer.step, started = performance.now();
  let checkpoint = resumed ?? "", saved = resumed ? first : -1;
  const save = async () => {
    if (saved === trainer.step) return;
    checkpoint = await saveCheckpoint(directory, { ...run, config });
    saved = trainer.step;
    if (keepCheckpoints === null) return;
    await attempt("the removal of older checkpoints", { tell }, () => {
      removeOldCheckpoints(directory, keepCheckpoints);
    });
  };
  /** Draws between steps: with tensors of other sizes, beside which those of a step would lie. */
  const drawBetween = async <T>(what: string, work: () => Promise<T>) => {
    run.device.trim();
    const result = await attempt(`${what} of step ${trainer.step}`, { tell }, work);
    run.device.trim();
    return result;
  };
  const writePicture = async () =>
    preview && await drawBetween("the picture", () => preview.write());
  {
    using interruption = new Interruption(tell);
    const due = (every: number | null) => every !== null && trainer.step % every === 0;
    const records = trainer.run({
      steps,
      logEvery,
      alsoAfter: () => [sampleEvery, evaluateEvery, checkpointEvery].some(due),
      syncEvery,
      signal: interruption.signal,
      onStep: (step) => progress.advance(step),
    });
    for await (const record of orSaved(records, { trainer, save, tell })) {
      const { step } = record;
      const write = (measured?: DistanceRecord) =>
        attempt(`step ${step} in the log`, { tell }, () => {
          log.append({ ...record, ...measured });
        });
      // Before the checkpoint: a run that goes on from it has no record of the steps up to it.
      await write();
      // Before all else, so that nothing else can cost the steps up to here.
      if (due(checkpointEvery) || step === steps || interruption.signal.aborted) await save();
      const measured = distance && due(evaluateEvery)
        ? await drawBetween("the measurement", () => distance.measure())
        : undefined;
      if (measured) await write(measured);
      progress.record({ ...record, ...measured });
      if (due(sampleEvery) && step < steps) await writePicture();
    }
    await save();
  }
  const plotTo = (name: string, draw: () => Promise<string>) =>
    attempt(`the plot ${name}`, { tell }, async () => {
      const path = join(directory, name);
      writeAtomically(path, await draw());
      return path;
    });
  const logged = await attempt("the plots", { tell }, () => readRunLog(logPath)) ?? [];
  const plot = logged.length > 0 ? await plotTo("loss.svg", () => plotLoss(logged)) : undefined;
  const curve = logged.some(({ frechet }) => Number.isFinite(frechet))
    ? await plotTo("evaluation.svg", () =>
      plotEvaluation(logged, {
        images: SAMPLES,
        stepsPerEpoch: run.dataset.size / config.train.batchSize,
      }))
    : undefined;
  progress.stop();
  if (trainer.step < steps) {
    say(`stopped after step ${trainer.step} and saved ${checkpoint}`);
    say(`go on with: deno task train --resume ${shellWord(directory)}`);
    return undefined;
  }
  const picture = await writePicture();
  const seconds = (performance.now() - started) / 1000;
  say(
    trainer.step === first
      ? `nothing was left to train: the run is at step ${first} of ${steps}, --steps NUMBER goes further`
      : `trained steps ${first + 1} to ${trainer.step} in ${formatDuration(seconds)}`,
  );
  const written = [picture, plot, curve, checkpoint].filter((path) => path !== undefined);
  say(`wrote   ${written.join(", ")}`);
  return { step: trainer.step, checkpoint, picture, plot };
}
