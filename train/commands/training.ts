/**
 * The steps of `deno task train`, with all that is done and written beside them.
 *
 * @module
 */

import { join } from "node:path";
import { Interruption } from "../../cli/interruption.ts";
import { writing } from "../../cli/output_file.ts";
import { plotEvaluation, plotLoss } from "../../cli/plot.ts";
import { formatDuration, openProgress, type Progress } from "../../cli/progress.ts";
import { readRunLog, RunLog } from "../../cli/run_log.ts";
import { say } from "../../cli/say.ts";
import { shellWord } from "../../cli/shell_word.ts";
import { watchWork } from "../../cli/watch_work.ts";
import { removeAbandoned, writeAtomically } from "../../kernels/core/atomic_file.ts";
import type { InterpolantConfig } from "../../model/config.ts";
import type { Viewer } from "../../sample/viewer.ts";
import { attempt } from "../attempt.ts";
import { removeOldCheckpoints, saveCheckpoint } from "../checkpoint.ts";
import { LatentShards } from "../datasets/latent_shards.ts";
import type { TrainRecord } from "../history.ts";
import type { LoadedData } from "../load_data.ts";
import { Preview } from "../preview.ts";
import { latentScaling, type Run } from "../run.ts";
import { type DistanceRecord, SampleDistance, SAMPLES } from "../sample_distance.ts";
import { openViewer } from "../viewer.ts";
import type { StartedRun } from "./advice.ts";
import type { Settings } from "./settings.ts";

/** What trains, and what shows, measures and saves it. */
interface Work {
  readonly run: Run;
  readonly settings: Settings;
  readonly log: RunLog;
  /** What draws pictures; undefined where samples are latents that nothing decodes. */
  readonly preview: Preview | undefined;
  /** What measures samples; undefined where nothing does, or no step is due for it. */
  readonly distance: SampleDistance | undefined;
  readonly checkpoints: Checkpoints;
  readonly progress: Progress;
  readonly tell: (line: string) => void;
}

/** What training has written. */
export interface Trained {
  /** Steps done. */
  readonly step: number;
  /** The last checkpoint. */
  readonly checkpoint: string;
  /** The last picture; undefined where there is none. */
  readonly picture: string | undefined;
  /** The plot of the loss; undefined where there is none. */
  readonly plot: string | undefined;
}

/** Trains to the end and returns what was written, or undefined when it was stopped early. */
export async function trainRun(
  settings: Settings,
  { run, heldOut, onBegin }: {
    run: Run;
    heldOut: LoadedData["heldOut"];
    /** Called when all is ready for the first step. */
    onBegin: (started: StartedRun) => void;
  },
): Promise<Trained | undefined> {
  const { config, directory, json } = settings, { trainer } = run, first = trainer.step;
  const { steps, batchSize, recompute } = config.train;
  const pictures = join(directory, "samples"), logPath = join(directory, "log.jsonl");
  // A run that goes on need not come to the same files again.
  for (const folder of [directory, pictures]) removeAbandoned(folder);
  using log = await writing(logPath, () => RunLog.open(logPath, { throughStep: first }));
  using viewer = await openViewer(config.data, directory, {
    providers: config.device.onnxProviders,
  });
  const preview = viewer && new Preview({ run, config, viewer, directory: pictures });
  using distance = await attempt(
    "the measurements",
    { tell: say },
    () => prepareDistance(settings, { run, heldOut, viewer }),
  );
  using progress = openProgress(steps, { start: first, json });
  const tell = (line: string) => json ? say(line) : progress.note(line);
  onBegin({ directory, batchSize, parts: trainer.parts, recompute });
  const started = performance.now();
  const checkpoints = new Checkpoints(run, { settings, tell });
  const work = { run, settings, log, preview, distance, checkpoints, progress, tell };
  await takeSteps(work);
  const plots = await plotLog(logPath, work);
  progress.stop();
  if (trainer.step < steps) {
    say(`stopped after step ${trainer.step} and saved ${checkpoints.last}`);
    say(`go on with: deno task train --resume ${shellWord(directory)}`);
    return undefined;
  }
  const picture = await drawPicture(work);
  const seconds = (performance.now() - started) / 1000;
  say(
    trainer.step === first
      ? `nothing was left to train: the run is at step ${first} of ${steps}, --steps NUMBER goes further`
      : `trained steps ${first + 1} to ${trainer.step} in ${formatDuration(seconds)}`,
  );
  const { last: checkpoint } = checkpoints;
  const written = [picture, plots.loss, plots.evaluation, checkpoint];
  say(`wrote   ${written.filter((path) => path !== undefined).join(", ")}`);
  return { step: trainer.step, checkpoint, picture, plot: plots.loss };
}

/** What measures in the course of training; undefined where nothing can be, or no step is due for it. */
async function prepareDistance(
  { config, directory, json }: Settings,
  { run, heldOut, viewer }: {
    run: Run;
    heldOut: LoadedData["heldOut"];
    viewer: Viewer | undefined;
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

/** Takes the steps that are left, or those up to Ctrl-C, and does what is due after each. */
async function takeSteps(work: Work): Promise<void> {
  const { run: { trainer }, settings, log, distance, checkpoints, progress, tell } = work;
  const { steps, logEvery, syncEvery, sampleEvery, evaluateEvery, checkpointEvery } =
    settings.config.train;
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
  for await (const record of orSaved(records, work)) {
    const { step } = record;
    const write = (measured?: DistanceRecord) =>
      attempt(`step ${step} in the log`, { tell }, () => {
        log.append({ ...record, ...measured });
      });
    // Before the checkpoint: a run that goes on from it has no record of the steps up to it.
    await write();
    // Before all else, so that nothing else can cost the steps up to here.
    if (due(checkpointEvery) || step === steps || interruption.signal.aborted) {
      await checkpoints.save();
    }
    const measured = distance && due(evaluateEvery)
      ? await drawBetween("the measurement", work, () => distance.measure())
      : undefined;
    if (measured) await write(measured);
    progress.record({ ...record, ...measured });
    if (due(sampleEvery) && step < steps) await drawPicture(work);
  }
  await checkpoints.save();
}

/**
 * The records of steps. Where a step fails that leaves those before it as they were, as one does whose data
 * cannot be read, they are saved.
 */
async function* orSaved(
  records: AsyncIterable<TrainRecord>,
  { run: { trainer }, checkpoints, tell }: Work,
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
      await attempt(`the checkpoint of step ${recorded}`, { tell }, () => checkpoints.save());
    }
    throw error;
  }
}

/** Saves the checkpoints of a run, that of a step once, and removes those that are too many. */
class Checkpoints {
  /** The last checkpoint: at first the one that the run goes on from, or nothing. */
  last: string;
  readonly #run: Run;
  readonly #settings: Settings;
  readonly #tell: (line: string) => void;
  #savedStep: number | undefined;

  constructor(
    run: Run,
    { settings, tell }: { settings: Settings; tell: (line: string) => void },
  ) {
    this.last = settings.resumed ?? "";
    this.#run = run;
    this.#settings = settings;
    this.#tell = tell;
    if (settings.resumed) this.#savedStep = run.trainer.step;
  }

  async save(): Promise<void> {
    const { trainer } = this.#run, { config, directory } = this.#settings;
    const { keepCheckpoints } = config.train;
    if (this.#savedStep === trainer.step) return;
    this.last = await saveCheckpoint(directory, trainer, { ...this.#run, config });
    this.#savedStep = trainer.step;
    if (keepCheckpoints === null) return;
    await attempt("the removal of older checkpoints", { tell: this.#tell }, () => {
      removeOldCheckpoints(directory, keepCheckpoints);
    });
  }
}

/** The path of a picture of samples; undefined where none can be drawn. */
async function drawPicture(work: Work): Promise<string | undefined> {
  const { preview } = work;
  return preview && await drawBetween("the picture", work, () => preview.write());
}

/** Draws between steps: with tensors of other sizes, beside which those of a step would lie. */
async function drawBetween<T>(
  what: string,
  { run: { device, trainer }, tell }: Work,
  draw: () => Promise<T>,
): Promise<T | undefined> {
  device.trim();
  const result = await attempt(`${what} of step ${trainer.step}`, { tell }, draw);
  device.trim();
  return result;
}

/** Plots what a run has logged and returns the paths; undefined where there is nothing to plot. */
async function plotLog(
  logPath: string,
  { run, settings: { config, directory }, tell }: Work,
): Promise<{ loss: string | undefined; evaluation: string | undefined }> {
  const plotTo = (name: string, draw: () => Promise<string>) =>
    attempt(`the plot ${name}`, { tell }, async () => {
      const path = join(directory, name);
      writeAtomically(path, await draw());
      return path;
    });
  const logged = await attempt("the plots", { tell }, () => readRunLog(logPath)) ?? [];
  const denoising = denoisingLossOf(config.interpolant);
  const loss = logged.length > 0
    ? await plotTo("loss.svg", () => plotLoss(logged, { denoising }))
    : undefined;
  const evaluation = logged.some(({ frechet }) => Number.isFinite(frechet))
    ? await plotTo("evaluation.svg", () =>
      plotEvaluation(logged, {
        images: SAMPLES,
        stepsPerEpoch: stepsPerEpoch(run, config.train),
      }))
    : undefined;
  return { loss, evaluation };
}

/** The loss that a configuration means, in words. */
export function denoisingLossOf({ weighting, cosineLoss }: InterpolantConfig): string {
  const square = weighting === "none" ? "mean squared error" : "weighted squared error";
  return cosineLoss ? `${square} + 1 − cosine` : square;
}

/** Steps that go once through the data; undefined where not all of a run had batches of one size. */
function stepsPerEpoch(
  { dataset, trainer }: Run,
  { batchSize }: { readonly batchSize: number },
): number | undefined {
  return trainer.seen === trainer.step * batchSize ? dataset.size / batchSize : undefined;
}
