/**
 * `deno task evaluate`: see `EVALUATE_COMMAND`.
 *
 * @module
 */

import { dirname, extname, join } from "node:path";
import process from "node:process";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { EVALUATE_COMMAND } from "../cli/commands.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { chooseIndices, conditionsAt } from "../sample/conditions.ts";
import { type Config, parseConfig } from "../train/config.ts";
import { ImageSet } from "../train/datasets/image_set.ts";
import { encodePng } from "../train/datasets/png.ts";
import { loadConfig } from "../train/load_config.ts";
import { loadImages } from "../train/load_data.ts";
import { pathOf } from "../train/run.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  openTrained,
  readCheckpointConfig,
  requireImages,
} from "../train/trained.ts";
import type { AdmBatch } from "./adm_batch.ts";
import { copyVerdict } from "./copies.ts";
import { copyPanels, type CopySearch } from "./copy_search.ts";
import { type Evaluated, evaluateSamples } from "./evaluation.ts";
import { firstOf, type ImageStream, readPixels } from "./image_stream.ts";
import type { Inception, InceptionOutput } from "./inception.ts";
import { openMeasuringEncoder } from "./measuring_encoder.ts";
import { openReferenceSet, type ReferenceSet } from "./reference_set.ts";
import { copyReport, describeEvaluation, type Evaluation } from "./report.ts";
import type { Reporter } from "./reporter.ts";
import { drawnSamples, type SampleSet, storedSamples } from "./sample_set.ts";
import { type ImageFileDecoder, openStoredImages } from "./stored_images.ts";

/** Samples that are drawn by default. */
const COUNT = 1000;
/** Images that an encoder is fitted to where there is no bank, at most. */
const MOST_FITTED = 10_000;

type Options = ReturnType<typeof parseArguments<typeof EVALUATE_COMMAND>>["options"];

/** What the command was told. */
interface Settings {
  readonly options: Options;
  readonly config: Config;
  /** The checkpoint; undefined where the samples are a file's. */
  readonly found: CheckpointConfig | undefined;
}

/** How a file or folder of images is opened. */
type OpenImages = (path: string) => Promise<AdmBatch>;

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { options } = parseArguments(EVALUATE_COMMAND, Deno.args);
  checkUsage(options);
  const settings = await readSettings(options);
  const { config, found } = settings;
  using opened = new DisposableStack();
  const device = opened.use(
    await Device.open({
      allowFallback: config.device.allowCpuDriver,
      variants: config.device.variants,
      ...tunedOptions(say),
    }),
  );
  const warnings: string[] = [];
  const reporter: Reporter = {
    note: say,
    warn: (line) => warnings.push(line),
    begin: (total) => {
      const { json } = options;
      return new Progress({ total, stream: json ? process.stdout : process.stderr, json });
    },
  };
  say(`device     ${device.profile.label}`);
  const data = lazily(() => loadImages(config.data, { seed: config.train.seed, note: say }));
  const training = async () => (await data()).train;
  const { imageSize } = config.data;
  const openImages: OpenImages = (path) =>
    openStoredImages(path, { imageSize, loadDecoder, reporter });

  const samples = await openSamples(settings, { device, openImages, opened });
  const reference = opened.use(
    await openReferenceSet(options.reference, {
      training,
      heldOut: async () => (await data()).heldOut,
      openImages,
    }),
  );
  checkReference(reference, options);
  const trainingBank = found && config.model.conditioning === "snippet"
    ? bankPathOf(found)
    : undefined;
  const encoder = opened.use(
    await openMeasuringEncoder({
      device,
      bank: options.bank ?? trainingBank ?? reference.bank?.path,
      onnx: options.onnx,
      config: config.bank,
      images: () =>
        reference.images && !reference.isTraining
          ? inMemory(firstOf(reference.images, MOST_FITTED))
          : training(),
      reporter,
    }),
  );
  const inception = await openInception(options);
  if (inception) opened.use(inception);

  const report = options.report ?? (found && join(found.checkpoint, "evaluation.json"));
  // Before the long work, which a folder that cannot be made would waste.
  for (const path of [options.out, options.copies, report]) {
    if (path !== undefined) await Deno.mkdir(dirname(path), { recursive: true });
  }
  const evaluated = await evaluateSamples({
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
  });
  const copies = evaluated.copies && await writeCopies(evaluated.copies, options.copies!);
  const evaluation = evaluationOf(settings, { samples, reference, evaluated, copies, warnings });
  if (report !== undefined) {
    await Deno.writeTextFile(report, `${JSON.stringify(evaluation, null, 2)}\n`);
    say(`wrote      ${report}`);
  }
  console.log(
    options.json ? JSON.stringify(evaluation) : ["", ...describeEvaluation(evaluation)].join("\n"),
  );
}

function checkUsage(options: Options): void {
  const { checkpoint, samples, out, copies, inception, output } = options;
  if (checkpoint === undefined && samples === undefined) {
    throw new UsageError("Cannot evaluate: expected --checkpoint DIR or --samples PATH");
  }
  if (out !== undefined && extname(out) !== ".npz") {
    throw new UsageError(`Cannot write samples to ${out}: expected a name in .npz`);
  }
  if (copies !== undefined && extname(copies) !== ".png") {
    throw new UsageError(`Cannot draw copies to ${copies}: expected a name in .png`);
  }
  if (inception === undefined && output.length > 0) {
    throw new UsageError("Cannot take --output: it names outputs of the network of --inception");
  }
}

/** Statistics alone are of Inception features, so that the network is needed. */
function checkReference(reference: ReferenceSet, { inception }: Options): void {
  const { asked, images, bank } = reference;
  if (images === undefined && bank === undefined && inception === undefined) {
    throw new UsageError(
      `Cannot measure against ${asked}: it has statistics of Inception features alone, expected ` +
        "--inception FILE",
    );
  }
}

async function readSettings(options: Options): Promise<Settings> {
  const overrides = [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.sampler ? [`sample.sampler=${options.sampler}`] : []),
    ...(options.steps ? [`sample.steps=${options.steps}`] : []),
    ...(options.seed === undefined ? [] : [`sample.seed=${options.seed}`]),
    ...options.set,
  ];
  if (options.checkpoint !== undefined) {
    const found = readCheckpointConfig(options.checkpoint, { overrides });
    requireImages(found);
    const { sampler } = found.config.sample;
    if (options.steps !== undefined && sampler === "dopri5") {
      throw new UsageError(
        "Cannot take --steps with dopri5: its steps follow from the error, expected it left out",
      );
    }
    return { options, config: found.config, found };
  }
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  return { options, config, found: undefined };
}

async function openSamples(
  { options, config, found }: Settings,
  parts: { device: Device; openImages: OpenImages; opened: DisposableStack },
): Promise<SampleSet> {
  const { samples: path, count, bank } = options;
  const { device, openImages, opened } = parts;
  if (path !== undefined) {
    const { images } = opened.use(await openImages(path));
    return storedSamples(images, { source: path, count });
  }
  const trained = opened.use(openTrained(device, { ...found!, bank }));
  const { model, bank: guiding, classes } = trained, drawn = count ?? COUNT;
  const { seed } = config.sample;
  const indices = chooseIndices({ count: drawn, size: guiding?.size ?? classes, seed });
  return drawnSamples({
    model,
    config: config.sample,
    count: drawn,
    conditionOf: conditionsAt(indices, { device, bank: guiding }),
    ...pathOf(config),
    source: found!.checkpoint,
  });
}

async function openInception(options: Options): Promise<Inception | undefined> {
  const { inception: path, output, pixels } = options;
  if (path === undefined) return undefined;
  // Imported here alone, so that the rest needs no native library.
  const { Inception } = await import("./inception.ts");
  const outputs = Object.fromEntries(output.map((text) => {
    const [, kind, name] = /^(pool|spatial|logits)=(.+)$/.exec(text) ?? [];
    if (kind === undefined) {
      throw new UsageError(
        `Cannot read --output ${text}: expected pool=NAME, spatial=NAME or logits=NAME`,
      );
    }
    return [kind as InceptionOutput, name!];
  }));
  const network = await Inception.open(path, { outputs, pixels });
  const { outputs: found } = network;
  say(`inception  ${Object.entries(found).map(([kind, name]) => `${kind} ${name}`).join(", ")}`);
  return network;
}

/** Writes the picture of a search for copies, and beside it the plot of the distances. */
async function writeCopies(
  { checks, picture }: CopySearch,
  path: string,
): Promise<Evaluation["copies"]> {
  const plot = `${path.slice(0, -extname(path).length)}.svg`;
  await Deno.writeFile(path, encodePng(picture));
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../cli/plot.ts");
  await Deno.writeTextFile(plot, await plotCurves(copyPanels(checks)));
  say(`wrote      ${path} and ${plot}`);
  const { pixel, encoder } = checks;
  return {
    pixel: copyReport(pixel),
    encoder: copyReport(encoder),
    verdict: copyVerdict({ pixels: pixel, "the encoder": encoder }, { picture: path }),
  };
}

function evaluationOf(
  { options, config, found }: Settings,
  parts: {
    samples: SampleSet;
    reference: ReferenceSet;
    evaluated: Evaluated;
    copies: Evaluation["copies"];
    warnings: readonly string[];
  },
): Evaluation {
  const { samples, reference, evaluated: { encoder, inception }, copies, warnings } = parts;
  return {
    format: 1,
    samples: {
      source: samples.source,
      count: samples.stream.size,
      step: options.samples === undefined ? found?.step : undefined,
      sampler: samples.sampler,
      evaluations: samples.evaluations(),
    },
    reference: {
      source: reference.source,
      count: reference.bank?.size ?? reference.images?.size,
    },
    seed: config.sample.seed,
    encoder,
    inception,
    copies,
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

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}

function say(line: string): void {
  console.error(line);
}
