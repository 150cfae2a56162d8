/**
 * `deno task evaluate`: see `EVALUATE_COMMAND`.
 *
 * @module
 */

import { dirname, extname, join } from "node:path";
import process from "node:process";
import { drawUniform } from "../bank/retrieve.ts";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { EVALUATE_COMMAND } from "../cli/commands/evaluate.ts";
import { openDevice } from "../cli/open_device.ts";
import { prepareOutput, writing } from "../cli/output_file.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import type { LabelledImages } from "../bank/image_source.ts";
import type { Device } from "../kernels/core/device.ts";
import { conditionsAt } from "../sample/conditions.ts";
import type { SampleConfig } from "../sample/config.ts";
import { SAMPLERS } from "../sample/samplers.ts";
import type { Viewer } from "../sample/viewer.ts";
import { type Config, parseConfig } from "../train/config.ts";
import { ImageSet } from "../train/datasets/image_set.ts";
import { LatentShards } from "../train/datasets/latent_shards.ts";
import { encodePng } from "../train/datasets/png.ts";
import { decodeLatents } from "../train/decoded_latents.ts";
import { loadConfig } from "../train/load_config.ts";
import { loadData } from "../train/load_data.ts";
import { latentScaling, pathOf } from "../train/run.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  openTrained,
  readCheckpointConfig,
  readWeightsConfig,
} from "../train/trained.ts";
import { openViewer } from "../train/viewer.ts";
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
import { describeSteps, type StepsEvaluation, stepsPanels } from "./steps_report.ts";
import { type ImageFileDecoder, openStoredImages } from "./stored_images.ts";

/** Samples that are drawn by default. */
const COUNT = 1000;
/** Images that an encoder is fitted to where there is no bank, at most. */
const MOST_FITTED = 10_000;
/** Latents that are decoded to measure against, at most: as many as ADM's batches have images. */
const MOST_DECODED = 10_000;

type Options = ReturnType<typeof parseArguments<typeof EVALUATE_COMMAND>>["options"];

/** What the command was told. */
interface Settings {
  readonly options: Options;
  readonly config: Config;
  /** The checkpoint; undefined where the samples are a file's. */
  readonly found: CheckpointConfig | undefined;
  /** How samples are drawn: more than one way where there are several numbers of steps. */
  readonly samplings: readonly SampleConfig[];
}

/** The images of the data, made when they are first asked for. */
interface DataImages {
  /** Shows what the model makes. */
  readonly viewer: () => Promise<Viewer>;
  /** The images to train on. */
  readonly training: () => Promise<LabelledImages>;
  /** Images that training never sees; undefined when none are held out. */
  readonly heldOut: () => Promise<LabelledImages | undefined>;
}

/** How a file or folder of images is opened. */
type OpenImages = (path: string) => Promise<AdmBatch>;

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(EVALUATE_COMMAND, Deno.args);
  checkUsage(options);
  const settings = await readSettings(options);
  const { config, found, samplings } = settings;
  using opened = new DisposableStack();
  const device = opened.use(await openDevice(config.device, say));
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
  const { viewer, training, heldOut } = dataImages(settings, { opened, reporter });
  const imageSize = async () => (await viewer()).imageSize;
  const openImages: OpenImages = (path) =>
    openStoredImages(path, { imageSize, loadDecoder, reporter });

  const samples = await openSamples(settings, { device, viewer, openImages, opened });
  const reference = opened.use(
    await openReferenceSet(options.reference, { training, heldOut, openImages }),
  );
  checkReference(reference, options);
  // Before the long work, which data that are not there would waste.
  if (options.copies !== undefined) await training();
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
  const inception = await openInception(options, config.device.onnxProviders);
  if (inception) opened.use(inception);

  const name = samplings.length > 1 ? "steps.json" : "evaluation.json";
  const folder = found && (fromWeights ? dirname(found.checkpoint) : found.checkpoint);
  const report = options.report ?? (folder && join(folder, name));
  // Before the long work, which a folder that cannot be written to would waste.
  const inputs = [options.samples, options.reference, options.bank, options.onnx, options.weights];
  for (const [option, path] of [["--out", options.out], ["--copies", options.copies]] as const) {
    if (path !== undefined) await prepareOutput(path, { inputs, option });
  }
  if (report !== undefined) await prepareOutput(report, { inputs, option: "--report" });
  const general = warnings.splice(0);
  const evaluations: Evaluation[] = [];
  const measured = evaluateSamples({
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
  for await (const evaluated of measured) {
    const copies = evaluated.copies && await writeCopies(evaluated.copies, options.copies!);
    evaluations.push(evaluationOf(settings, {
      samples: samples[evaluations.length]!,
      reference,
      evaluated,
      copies,
      warnings: [...general, ...warnings.splice(0)],
    }));
  }
  const result = samplings.length > 1
    ? { format: 1, sampler: config.sample.sampler, evaluations } as const
    : evaluations[0]!;
  // What was found is told first: a full disk must not cost it.
  const lines = "evaluations" in result ? describeSteps(result) : describeEvaluation(result);
  console.log(options.json ? JSON.stringify(result) : ["", ...lines, ""].join("\n"));
  if (report !== undefined) {
    await writing(
      report,
      () => Deno.writeTextFile(report, `${JSON.stringify(result, null, 2)}\n`),
    );
    const plot = "evaluations" in result ? ` and ${await plotSteps(result, report)}` : "";
    say(`wrote      ${report}${plot}`);
  }
}

function checkUsage(options: Options): void {
  const { checkpoint, weights, samples, out, copies, report, inception, output } = options;
  const { reversed, heads, reference } = options;
  if (checkpoint === undefined && weights === undefined && samples === undefined) {
    throw new UsageError(
      "Cannot evaluate: expected --checkpoint DIR, --weights FILE or --samples PATH",
    );
  }
  if (checkpoint !== undefined && weights !== undefined) {
    throw new UsageError("Cannot evaluate: expected either --checkpoint DIR or --weights FILE");
  }
  if (weights === undefined && (reversed || heads !== undefined)) {
    throw new UsageError("Cannot take --reversed or --heads: expected them with --weights FILE");
  }
  if (weights !== undefined) {
    const nothing =
      `Cannot measure ${weights}: a file of weights names no training data, expected `;
    if (reference === "train" || reference === "held-out") {
      throw new UsageError(`${nothing}--reference PATH`);
    }
    if (copies !== undefined) throw new UsageError(`${nothing}no --copies`);
  }
  if (out !== undefined && extname(out) !== ".npz") {
    throw new UsageError(`Cannot write samples to ${out}: expected a name in .npz`);
  }
  if (copies !== undefined && extname(copies) !== ".png") {
    throw new UsageError(`Cannot draw copies to ${copies}: expected a name in .png`);
  }
  if (stepsOf(options).length > 1) {
    const other = Object.entries({ samples, out, copies }).find(([, path]) => path !== undefined);
    if (other !== undefined) {
      throw new UsageError(
        `Cannot measure several --steps with --${other[0]}: expected one number, or none of ` +
          "--samples, --out and --copies",
      );
    }
    if (report !== undefined && extname(report) !== ".json") {
      throw new UsageError(`Cannot write the report to ${report}: expected a name in .json`);
    }
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

/** The numbers of steps that were asked for, each once and from few to many. */
function stepsOf({ steps = [] }: Options): number[] {
  return [...new Set(steps)].sort((a, b) => a - b);
}

async function readSettings(options: Options): Promise<Settings> {
  const steps = stepsOf(options);
  const overridesOf = (steps: number | undefined) => [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.sampler ? [`sample.sampler=${options.sampler}`] : []),
    ...(steps === undefined ? [] : [`sample.steps=${steps}`]),
    ...(options.seed === undefined ? [] : [`sample.seed=${options.seed}`]),
    ...options.set,
  ];
  const { checkpoint, weights, reversed, heads } = options;
  const drawing = checkpoint ?? weights;
  if (drawing !== undefined) {
    const read = (steps?: number) =>
      weights === undefined
        ? readCheckpointConfig(drawing, { overrides: overridesOf(steps) })
        : readWeightsConfig(drawing, { reversed, heads, overrides: overridesOf(steps) });
    const found = read(steps[0]), { config } = found;
    const { sampler } = config.sample;
    if (steps.length > 0 && SAMPLERS[sampler].kind === "adaptive") {
      throw new UsageError(
        `Cannot take --steps with ${sampler}: its steps follow from the error, expected it left out`,
      );
    }
    if (weights !== undefined && config.model.conditioning === "snippet" && !options.bank) {
      throw new UsageError(
        `Cannot measure ${weights}: its network is guided by snippets, expected --bank FILE`,
      );
    }
    const more = steps.slice(1).map((each) => read(each).config.sample);
    return { options, config, found, samplings: [config.sample, ...more] };
  }
  const overrides = overridesOf(steps[0]);
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  return { options, config, found: undefined, samplings: [config.sample] };
}

/** The images of the data; of latents those that the decoder makes of some. */
function dataImages(
  { options, config, found }: Settings,
  parts: { opened: DisposableStack; reporter: Reporter },
): DataImages {
  const { opened, reporter } = parts,
    { data: section, device, train: { seed, runDirectory } } = config;
  const directory = found ? dirname(found.checkpoint) : runDirectory;
  const viewer = lazily(async () => {
    const viewer = await openViewer(section, directory, { providers: device.onnxProviders });
    if (viewer !== undefined) return opened.use(viewer);
    const source = found?.checkpoint ?? options.config ?? "images";
    throw new UsageError(
      `Cannot evaluate ${source}: the data are latents, expected their decoder by --set ` +
        "data.decoder=FILE.onnx, or images by --samples PATH and --reference PATH",
    );
  });
  const data = lazily(async () => opened.use(await loadData(section, { seed, note: say })));
  const imagesOf = async (
    part: LabelledImages | LatentShards,
    name: string,
  ): Promise<LabelledImages> => {
    if (!(part instanceof LatentShards)) return part;
    const decoder = await viewer(), count = Math.min(part.size, MOST_DECODED);
    reporter.note(`decoding   ${count} of ${part.size} ${name} latents`);
    reporter.warn(
      `the ${name} images are ${count} decoded latents, of ${part.size}: what the tokenizer loses does ` +
        "not count",
    );
    using progress = reporter.begin(count);
    return await decodeLatents(part.scaled(latentScaling(section, directory)), {
      viewer: decoder,
      most: MOST_DECODED,
      onProgress: (done) => progress.advance(done),
    });
  };
  return {
    viewer,
    training: lazily(async () => await imagesOf((await data()).train, "training")),
    heldOut: lazily(async () => {
      const { heldOut } = await data();
      return heldOut && await imagesOf(heldOut, "held-out");
    }),
  };
}

async function openSamples(
  { options, config, found, samplings }: Settings,
  parts: {
    device: Device;
    viewer: DataImages["viewer"];
    openImages: OpenImages;
    opened: DisposableStack;
  },
): Promise<readonly SampleSet[]> {
  const { samples: path, count, bank } = options;
  const { device, openImages, opened } = parts;
  if (path !== undefined) {
    const { images } = opened.use(await openImages(path));
    return [storedSamples(images, { source: path, count })];
  }
  const viewer = await parts.viewer();
  const trained = opened.use(openTrained(device, { ...found!, bank }));
  const { model, bank: guiding, classes } = trained, drawn = count ?? COUNT;
  return samplings.map((sampling) => {
    const size = guiding?.size ?? classes;
    const indices = drawUniform(size, { count: drawn, seed: sampling.seed });
    return drawnSamples({
      model,
      config: sampling,
      count: drawn,
      conditionOf: conditionsAt(indices, { device, bank: guiding }),
      ...pathOf(config),
      viewer,
      source: found!.checkpoint,
    });
  });
}

async function openInception(
  options: Options,
  providers: readonly string[],
): Promise<Inception | undefined> {
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
  const network = await Inception.open(path, { outputs, pixels, providers });
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

/** Draws distances over evaluations of the network beside a report, and returns the plot's path. */
async function plotSteps(evaluation: StepsEvaluation, report: string): Promise<string> {
  const plot = `${report.slice(0, -extname(report).length)}.svg`;
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../cli/plot.ts");
  await Deno.writeTextFile(plot, await plotCurves(stepsPanels(evaluation)));
  return plot;
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
