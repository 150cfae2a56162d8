/**
 * `deno task evaluate`: see `EVALUATE_COMMAND`.
 *
 * @module
 */

import { drawUniform } from "../bank/retrieve.ts";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { EVALUATE_COMMAND } from "../cli/commands/evaluate.ts";
import { openDevice } from "../cli/open_device.ts";
import { writeOutput } from "../cli/output_file.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import type { Device } from "../kernels/core/device.ts";
import { conditionsAt, drawLabels } from "../sample/conditions.ts";
import { pathOf } from "../sample/network.ts";
import { ImageSet } from "../train/datasets/image_set.ts";
import { encodePng } from "../train/datasets/png.ts";
import { requireDrawable } from "../train/drawable.ts";
import { checkNamedBank } from "../train/named_bank.ts";
import { bankPathOf, loadTrainedWeights, openTrained, stepsPerEpochOf } from "../train/trained.ts";
import type { AdmBatch } from "./adm_batch.ts";
import { type DataImages, dataImages } from "./commands/data_images.ts";
import { plotBeside, prepareFiles } from "./commands/files.ts";
import {
  inceptionOutputs,
  type Options,
  readSettings,
  type Settings,
} from "./commands/settings.ts";
import { copyVerdict } from "./copies.ts";
import { copyPanels, type CopySearch, requireSearchable } from "./copy_search.ts";
import { type Evaluated, evaluateSamples } from "./evaluate_samples.ts";
import { firstOf, type ImageStream, readPixels } from "./image_stream.ts";
import type { Inception } from "./inception.ts";
import { requireVectors } from "./measure.ts";
import { openMeasuringEncoder } from "./measuring_encoder.ts";
import { openReferenceSet, type ReferenceSet } from "./reference_set.ts";
import {
  type CopiesReport,
  copyReport,
  describeCopies,
  describeMeasures,
  type EvaluationReport,
} from "./report.ts";
import type { Reporter } from "./reporter.ts";
import { drawnSamples, type SampleSet, storedSamples } from "./sample_set.ts";
import { describeSeries, type EvaluationSeries, seriesPanels } from "./series_report.ts";
import { type ImageFileDecoder, openStoredImages } from "./stored_images.ts";

/** Samples that are drawn by default. */
const COUNT = 1000;
/** Images that an encoder is fitted to where there is no bank, at most. */
const MOST_FITTED = 10_000;

/** How a file or folder of images is opened. */
type OpenImages = (path: string) => Promise<AdmBatch>;

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(EVALUATE_COMMAND, Deno.args);
  const settings = await readSettings(options);
  const { config, found } = settings;
  const report = await prepareFiles(settings);
  using opened = new DisposableStack();
  const device = opened.use(await openDevice(config.device, say));
  const warnings: string[] = [];
  const reporter: Reporter = {
    note: say,
    warn: (line) => warnings.push(line),
    begin: (total) => openProgress(total, { json: options.json }),
  };
  say(`device     ${device.profile.label}`);
  const inception = await openInception(options, config.device.onnxProviders);
  if (inception) opened.use(inception);
  const { viewer, training, heldOut } = dataImages(settings, { opened, reporter });
  const imageSize = async () => (await viewer()).imageSize;
  const openImages: OpenImages = (path) =>
    openStoredImages(path, { imageSize, loadDecoder, reporter });

  const samples = await openSamples(settings, { device, viewer, openImages, opened, reporter });
  const reference = opened.use(
    await openReferenceSet(options.reference, { training, heldOut, openImages }),
  );
  requireVectors(samples[0]!.stream.size, "sample");
  checkReference(reference, options);
  // Before the long work, which data that are not there, or do not fit, would waste.
  if (options.copies !== undefined) requireSearchable(samples[0]!, await training());
  const fromWeights = options.weights !== undefined;
  const trainingBank = found && !fromWeights && config.model.conditioning === "snippet"
    ? bankPathOf(found)
    : undefined;
  const encoder = opened.use(
    await openMeasuringEncoder({
      device,
      bank: options.bank ?? trainingBank ?? reference.bank?.path,
      onnx: options.onnx,
      providers: config.device.onnxProviders,
      config: config.bank,
      images: () =>
        reference.images && !reference.isTraining
          ? inMemory(firstOf(reference.images, MOST_FITTED))
          : training(),
      reporter,
    }),
  );
  await tellAll(settings, {
    samples,
    reference,
    report,
    warnings,
    measured: evaluateSamples({
      samples,
      reference,
      training,
      trainingBank,
      encoder,
      inception,
      copies: options.copies !== undefined,
      out: options.out,
      resamples: options.resamples,
      seed: config.sample.seed,
      device,
      reporter,
    }),
  });
}

/** Prints and writes what is found as soon as it is: what is measured next, or the disk, may fail. */
async function tellAll(
  settings: Settings,
  parts: {
    samples: readonly SampleSet[];
    reference: ReferenceSet;
    measured: AsyncIterable<Evaluated>;
    /** The JSON file to write; undefined for none. */
    report: string | undefined;
    /** Those given so far; more come while samples are measured. */
    warnings: string[];
  },
): Promise<void> {
  const { options, over, drawings } = settings, { samples, reference, report, warnings } = parts;
  const general = warnings.splice(0);
  const evaluations: EvaluationReport[] = [];
  const print = (...lines: readonly string[]) => {
    if (!options.json) console.log(lines.join("\n"));
  };
  let written: string | undefined;
  const keep = async () => {
    if (report !== undefined) written = await writeReport(resultOf(settings, evaluations), report);
  };
  try {
    for await (const evaluated of parts.measured) {
      const i = evaluations.length;
      const evaluation = evaluationOf(settings, {
        samples: samples[i]!,
        step: drawings[i]?.found.step,
        reference,
        evaluated,
        warnings: [...general, ...warnings.splice(0)],
      });
      evaluations.push(evaluation);
      if (over === undefined) print("", ...describeMeasures(evaluation), "");
      await keep();
      if (evaluated.searchCopies === undefined) continue;
      const search = await evaluated.searchCopies();
      const copies = copiesOf(search, options.copies!);
      evaluations[i] = { ...evaluation, copies };
      print(...describeCopies(copies), "");
      await keep();
      await writeCopies(search, options.copies!);
    }
  } finally {
    if (evaluations.length > 0) {
      const result = resultOf(settings, evaluations);
      if (options.json) console.log(JSON.stringify(result));
      if ("evaluations" in result) print("", ...describeSeries(result), "");
      if (written !== undefined) say(`wrote      ${written}`);
    }
  }
}

/** What was found so far, as it is written down. */
function resultOf(
  { config, found, over }: Settings,
  evaluations: readonly EvaluationReport[],
): EvaluationReport | EvaluationSeries {
  if (over === undefined) return evaluations[0]!;
  const { sampler } = config.sample, stepsPerEpoch = stepsPerEpochOf(found!);
  return { format: 1, over, sampler, stepsPerEpoch, evaluations };
}

/** Writes a report, and beside that of a series its plot; gives what it wrote. */
async function writeReport(
  result: EvaluationReport | EvaluationSeries,
  report: string,
): Promise<string> {
  await writeOutput(report, `${JSON.stringify(result, null, 2)}\n`);
  if (!("evaluations" in result)) return report;
  const plot = plotBeside(report);
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../cli/plot.ts");
  await writeOutput(plot, await plotCurves(seriesPanels(result)));
  return `${report} and ${plot}`;
}

/** Statistics alone are of Inception features, so that the network is needed. */
function checkReference(reference: ReferenceSet, { inception }: Options): void {
  const { asked, images, bank } = reference;
  const count = images?.size ?? bank?.size;
  if (count !== undefined) requireVectors(count, "reference");
  if (images === undefined && bank === undefined && inception === undefined) {
    throw new UsageError(
      `Cannot measure against ${asked}: it has statistics of Inception features alone, expected ` +
        "--inception FILE",
    );
  }
}

async function openSamples(
  { options, config, found, over, drawings }: Settings,
  parts: {
    device: Device;
    viewer: DataImages["viewer"];
    openImages: OpenImages;
    opened: DisposableStack;
    reporter: Reporter;
  },
): Promise<readonly SampleSet[]> {
  const { samples: path, count, bank } = options;
  const { device, openImages, opened, reporter } = parts;
  if (path !== undefined) {
    const { images } = opened.use(await openImages(path));
    return [storedSamples(images, { source: path, count })];
  }
  for (const { found, sampling } of drawings) {
    requireDrawable(device, { ...found.config, sample: sampling });
  }
  const viewer = await parts.viewer();
  const trained = opened.use(openTrained(device, { ...found!, bank }));
  const { model, bank: guiding } = trained, drawn = count ?? COUNT;
  if (options.weights === undefined) {
    // What it finds is what is to be measured: a warning beside the numbers.
    checkNamedBank(trained, { bank, anyEncoder: true, note: reporter.warn });
  }
  return drawings.map(({ found, sampling }) => {
    const choice = { count: drawn, seed: sampling.seed };
    const indices = guiding ? drawUniform(guiding.size, choice) : drawLabels(trained, choice);
    return drawnSamples({
      model,
      config: sampling,
      count: drawn,
      conditionOf: conditionsAt(indices, { device, bank: guiding }),
      ...pathOf(config),
      viewer,
      source: found.checkpoint,
      // One model for all, whose weights are those of the newest at first.
      prepare: over === "training steps" ? () => loadTrainedWeights(model, found) : undefined,
    });
  });
}

async function openInception(
  options: Options,
  providers: readonly string[],
): Promise<Inception | undefined> {
  const { inception: path, pixels } = options;
  if (path === undefined) return undefined;
  // Imported here alone, so that the rest needs no native library.
  const { Inception } = await import("./inception.ts");
  const network = await Inception.open(path, {
    outputs: inceptionOutputs(options),
    pixels,
    providers,
  });
  const { outputs: found } = network;
  say(`inception  ${Object.entries(found).map(([kind, name]) => `${kind} ${name}`).join(", ")}`);
  return network;
}

/** Writes the picture of a search for copies, and beside it the plot of the distances. */
async function writeCopies({ checks, picture }: CopySearch, path: string): Promise<void> {
  const plot = plotBeside(path);
  await writeOutput(path, encodePng(picture));
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../cli/plot.ts");
  await writeOutput(plot, await plotCurves(copyPanels(checks)));
  say(`wrote      ${path} and ${plot}`);
}

function copiesOf({ checks: { pixel, encoder } }: CopySearch, picture: string): CopiesReport {
  return {
    pixel: copyReport(pixel),
    encoder: copyReport(encoder),
    verdict: copyVerdict({ pixels: pixel, "the encoder": encoder }, { picture }),
  };
}

function evaluationOf(
  { config }: Settings,
  parts: {
    samples: SampleSet;
    /** Training steps of their model; undefined where it is not known. */
    step: number | undefined;
    reference: ReferenceSet;
    evaluated: Evaluated;
    warnings: readonly string[];
  },
): EvaluationReport {
  const { samples, step, reference, evaluated: { encoder, inception }, warnings } = parts;
  return {
    format: 1,
    samples: {
      source: samples.source,
      count: samples.stream.size,
      step,
      sampler: samples.sampler,
      steps: samples.steps,
      evaluations: samples.evaluations(),
    },
    reference: {
      source: reference.source,
      count: reference.bank?.size ?? reference.images?.size,
    },
    seed: config.sample.seed,
    encoder,
    inception,
    copies: undefined,
    warnings: [...warnings, ...encoder.warnings],
  };
}

async function loadDecoder(): Promise<ImageFileDecoder> {
  // Imported here alone, so that other images need no native image decoder.
  const { loadImageFiles } = await import("../train/datasets/image_folder.ts");
  return loadImageFiles;
}

async function inMemory(stream: ImageStream): Promise<ImageSet> {
  const { size, imageSize, channels } = stream;
  const names = Array.from({ length: size }, (_, i) => String(i));
  return new ImageSet({ imageSize, channels, pixels: await readPixels(stream), names });
}
