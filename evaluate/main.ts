/**
 * `deno task evaluate`: see `EVALUATE_COMMAND`.
 *
 * @module
 */

import { chooseUniform } from "../bank/retrieve.ts";
import { parseArguments, refuseGiven, UsageError } from "../cli/arguments.ts";
import { EVALUATE_COMMAND } from "../cli/commands/evaluate.ts";
import { openDevice } from "../cli/open_device.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import type { Device } from "../kernels/core/device.ts";
import { conditionsAt, drawLabels } from "../sample/conditions.ts";
import { pathOf } from "../sample/network.ts";
import { ImageSet } from "../train/datasets/image_set.ts";
import { requireDrawable } from "../train/drawable.ts";
import { checkNamedBank } from "../train/named_bank.ts";
import { bankPathOf, loadTrained, loadTrainedWeights } from "../train/trained.ts";
import type { AdmBatch } from "./adm_batch.ts";
import { type DataImages, dataImages } from "./commands/data_images.ts";
import { prepareFiles } from "./commands/files.ts";
import {
  inceptionOutputs,
  type Options,
  readSettings,
  type Settings,
} from "./commands/settings.ts";
import { tellAll } from "./commands/telling.ts";
import { requireSearchable } from "./copy_search.ts";
import { evaluateSamples } from "./evaluate_samples.ts";
import { type ImageStream, readPixels, spreadOf } from "./image_stream.ts";
import type { Inception } from "./inception.ts";
import { requireVectors } from "./measure.ts";
import { openMeasuringEncoder } from "./measuring_encoder.ts";
import { openReferenceSet, type ReferenceSet } from "./reference_set.ts";
import type { Reporter } from "./reporter.ts";
import { drawnSamples, type SampleSet, storedSamples } from "./sample_set.ts";
import { type ImageFileDecoder, openStoredImages } from "./stored_images.ts";

/** Samples that are drawn by default. */
const COUNT = 1000;
/** Images that an encoder is fitted to where there is no bank, at most. */
const MOST_FITTED = 10_000;

/** How a file or folder of images is opened. */
type OpenImages = (path: string) => Promise<AdmBatch>;

await runCommand(main);

async function main(): Promise<void> {
  const { options, given } = parseArguments(EVALUATE_COMMAND, Deno.args);
  if (options.inception === undefined) {
    refuseGiven(given, ["output", "pixels"], "without a network: expected --inception FILE");
  }
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
          ? inMemory(spreadOf(reference.images, MOST_FITTED))
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
  const trained = opened.use(loadTrained(device, { ...found!, bank }));
  const { model, bank: guiding } = trained, drawn = count ?? COUNT;
  if (options.weights === undefined) {
    // What it finds is what is to be measured: a warning beside the numbers.
    checkNamedBank(trained, { bank, anyEncoder: true, note: reporter.warn });
  }
  return drawings.map(({ found, sampling }) => {
    const choice = { count: drawn, seed: sampling.seed };
    const indices = guiding ? chooseUniform(guiding.size, choice) : drawLabels(trained, choice);
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
