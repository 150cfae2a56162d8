/**
 * `deno task sample`: see `SAMPLE_COMMAND`.
 *
 * @module
 */

import { dirname, extname, join } from "node:path";
import { type Bank, captionOf, checkIndices } from "../bank/bank.ts";
import { encoderOfBank } from "../bank/encoders/open.ts";
import { textEncoderOf } from "../bank/encoders/open_text.ts";
import { requireFiniteImages } from "../bank/pixels.ts";
import {
  chooseUniform,
  indicesOfClass,
  indicesOfName,
  MOST_NEIGHBOURS,
  nearestSnippets,
} from "../bank/retrieve.ts";
import { lookUp, parseArguments, type ParsedArguments, UsageError } from "../cli/arguments.ts";
import { SAMPLE_COMMAND } from "../cli/commands/sample.ts";
import {
  checkDrawing,
  checkModelOptions,
  missingDecoder,
  sampleOverrides,
} from "../cli/model_options.ts";
import { openDevice } from "../cli/open_device.ts";
import { prepareOutput, prepareOutputFolder, writeOutput } from "../cli/output_file.ts";
import { openProgress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { writeSafetensors } from "../kernels/core/safetensors_writer.ts";
import { type BankImagesOptions, imagesOfRun } from "../train/bank_images.ts";
import { type LatentScaling, unscaleLatents } from "../train/datasets/latent_scaling.ts";
import { pictureScale, tileImages } from "../train/datasets/picture.ts";
import { pictureOfPairs, pictureOfRows, viewingScale } from "../train/datasets/picture_rows.ts";
import { encodePng, type RawImage } from "../train/datasets/png.ts";
import { requireDrawable } from "../train/drawable.ts";
import { encodeFiles, loadFiles, sideForBank } from "../train/encode_files.ts";
import { loadMapper, readMapperEnds } from "../train/mapper_file.ts";
import { mapVectors } from "../train/mapper_training.ts";
import { checkNamedBank } from "../train/named_bank.ts";
import { latentScaling } from "../train/run.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  loadTrained,
  readCheckpointConfig,
  readWeightsConfig,
  type TrainedModel,
} from "../train/trained.ts";
import { openViewer } from "../train/viewer.ts";
import {
  chooseAmong,
  chooseByNoise,
  conditionsAt,
  drawLabels,
  labelOfClass,
} from "./conditions.ts";
import { pathOf } from "./network.ts";
import { drawBatches, type DrawnImages, drawRows, MeanEvaluations } from "./rows.ts";
import type { Viewer } from "./viewer.ts";

/** Samples of each text where nothing says how many. */
const TEXT_SAMPLES = 8;

/** Pixels of the largest picture to write, some 8,000 × 8,000: what programs still show. */
const MOST_PIXELS = 2 ** 26;

/** The options of which one may say what guides the samples. */
const WAYS = ["index", "class", "name", "like", "by-noise", "text"] as const;

type Way = typeof WAYS[number];
type Options = ParsedArguments<typeof SAMPLE_COMMAND>["options"];

/** What the command was told, and where it draws. */
interface Task {
  readonly options: Options;
  /** What guides the samples; undefined for all of the bank, or labels as the data have them. */
  readonly way: Way | undefined;
  readonly device: Device;
  /** Writes images from the one of index `first` on; undefined where all are kept, for one file. */
  readonly writeImages: ((images: Float32Array, first: number) => Promise<void>) | undefined;
}

/** Samples, none where they are written already, with what stands beside or above them in the picture. */
interface Samples extends DrawnImages {
  readonly count: number;
  /** Indices of the snippets or labels that they were drawn from; none for texts. */
  readonly indices?: Uint32Array;
  /** Samples in a row of a text, and an image in front of each row. */
  readonly rows?: { readonly columns: number; readonly front: Float32Array | undefined };
  /** Images over the samples, one each. */
  readonly above?: Float32Array | undefined;
}

await runCommand(main);

async function main(): Promise<void> {
  const { options } = parseArguments(SAMPLE_COMMAND, Deno.args);
  const way = wayOf(options);
  const found = readModel(options);
  checkUsage(found, { options, way });
  const { config, step } = found, { bank: bankPath, out, weights, mapper, onnx, like } = options;
  const makesLatents = config.data.kind === "latents";
  const asLatents = makesLatents && out.endsWith(".safetensors"), asFolder = isFolder(out);
  using viewer = asLatents ? undefined : await openViewer(config.data, dirname(found.checkpoint), {
    providers: config.device.onnxProviders,
  });
  if (!asLatents && viewer === undefined) {
    throw missingDecoder(found.checkpoint, { instead: "--out FILE.safetensors for the latents" });
  }
  const scaling = asLatents ? latentScaling(config.data, dirname(found.checkpoint)) : undefined;
  if (viewer && !asFolder) requireOnePicture(config.sample, { options, viewer });
  if (asFolder) await prepareOutputFolder(out);
  else {
    await prepareOutput(out, {
      inputs: [bankPath, bankPathOf(found), weights, mapper, onnx, like],
      endings: makesLatents ? [".png", ".safetensors"] : [".png"],
    });
  }
  using device = await openDevice(config.device, say);
  say(`device  ${device.profile.label}`);
  requireDrawable(device, config);
  using trained = loadTrained(device, { ...found, bank: bankPath });
  if (weights === undefined) {
    checkNamedBank(trained, {
      bank: bankPath,
      anyEncoder: options["any-encoder"],
      note: (line) => say(`note    ${line}`),
    });
  }

  const started = performance.now();
  const writeImages = viewer && asFolder
    ? imageWriter(out, { viewer, data: config.data, count: config.sample.count })
    : undefined;
  const task = { options, way, device, writeImages };
  const samples = way === "text" ? await drawTexts(trained, task) : await drawChosen(trained, task);
  const { images, count, evaluations, indices } = samples;
  if (viewer && !asFolder) {
    const shown = await viewed(images, { viewer, first: 0, count });
    await writeOutput(out, encodePng(pictureOf(shown, { samples, viewer, found })));
  } else if (scaling) {
    writeLatents(out, images, { data: config.data, scaling, count });
  }
  const seconds = (performance.now() - started) / 1000;
  say(
    `wrote   ${out}: ${counted(count, asLatents ? "latent" : "image")} by ` +
      `${config.sample.sampler}, ` +
      `${counted(evaluations, "network evaluation")} each (NFE), ${seconds.toFixed(1)} s`,
  );
  if (options.json) {
    const chosen = indices && { [trained.bank ? "snippets" : "labels"]: [...indices] };
    console.log(JSON.stringify({ out, count, step, evaluations, seconds, ...chosen }));
  }
}

/** Whether a name is that of a folder: it ends in a slash, or in nothing that says what a file holds. */
function isFolder(path: string): boolean {
  return /[\\/]$/.test(path) || extname(path) === "";
}

/** Throws for more samples than one picture shows, before any is drawn. */
function requireOnePicture(
  { count, columns }: CheckpointConfig["config"]["sample"],
  { options: { text, like }, viewer: { imageSize } }:
    & Pick<Task, "options">
    & { readonly viewer: Viewer },
): void {
  const samples = count * Math.max(1, text.length);
  // An image stands in front of the samples of a text, and one over each that is like another.
  const others = text.length + (like === undefined ? 0 : count);
  const scale = others > 0 ? viewingScale(imageSize) : pictureScale({ columns, imageSize });
  const pixels = (samples + others) * (imageSize * scale) ** 2;
  if (pixels <= MOST_PIXELS) return;
  throw new UsageError(
    `Cannot draw ${samples} images into one picture: it would have ${
      Math.ceil(pixels / 1e6)
    } million pixels, ` +
      `expected at most ${
        Math.floor(MOST_PIXELS / 1e6)
      } million, or a folder such as --out samples/ for a file each`,
  );
}

/** The images of samples. */
async function viewed(
  samples: Float32Array,
  { viewer, first, count }: { viewer: Viewer; first: number; count: number },
): Promise<Float32Array> {
  const images = await viewer.view(samples);
  // A decoder may make numbers of finite latents that are not finite, and those would be black.
  requireFiniteImages(images, { first, count, what: "sample" });
  return images;
}

/** What writes samples into a folder, each as a file named by its index. */
function imageWriter(
  folder: string,
  { viewer, data, count }: {
    readonly viewer: Viewer;
    readonly data: CheckpointConfig["config"]["data"];
    readonly count: number;
  },
): NonNullable<Task["writeImages"]> {
  const { channels, imageSize } = viewer, length = channels * imageSize ** 2;
  const digits = Math.max(4, `${count - 1}`.length);
  return async (samples, first) => {
    const drawn = samples.length / (data.channels * data.imageSize ** 2);
    const images = await viewed(samples, { viewer, first, count: drawn });
    for (let i = 0; i < drawn; i++) {
      const image = images.subarray(i * length, (i + 1) * length);
      const picture = tileImages(image, { columns: 1, channels, imageSize });
      const name = `${first + i}`.padStart(digits, "0");
      await writeOutput(join(folder, `${name}.png`), encodePng(picture));
    }
  };
}

/** The option that says what guides the samples. */
function wayOf(options: Options): Way | undefined {
  const given = WAYS.filter((name) => {
    const value = options[name];
    return typeof value === "object" ? value.length > 0 : Boolean(value);
  });
  if (given.length > 1) {
    throw new UsageError(
      `Cannot draw by ${given.map((name) => `--${name}`).join(" and ")}: expected one of them`,
    );
  }
  if ((given[0] === "text") !== (options.mapper !== undefined)) {
    throw new UsageError("Cannot draw from texts: expected both --text TEXT and --mapper FILE");
  }
  return given[0];
}

/** The checkpoint or the file of weights that was asked for. */
function readModel(options: Options): CheckpointConfig {
  const { checkpoint, weights, reversed, heads, sampler, steps, seed } = options;
  const count = options.count ??
    (options.text.length > 0 ? TEXT_SAMPLES : indicesIn(options.index).length || undefined);
  const overrides = [...sampleOverrides({ sampler, steps, count, seed }), ...options.set];
  checkModelOptions(options);
  if (weights !== undefined) return readWeightsConfig(weights, { reversed, heads, overrides });
  if (checkpoint !== undefined) return readCheckpointConfig(checkpoint, { overrides });
  throw new UsageError("Cannot draw: expected --checkpoint DIR or --weights FILE");
}

/** Throws where the options do not go with the model, before a device is opened. */
function checkUsage(
  found: CheckpointConfig,
  { options, way }: Pick<Task, "options" | "way">,
): void {
  const { checkpoint, config } = found;
  checkDrawing(options, config);
  if (options.onnx !== undefined && way !== "text" && way !== "like") {
    throw new UsageError(
      "Cannot take --onnx: it encodes for --text or --like, expected one of them",
    );
  }
  if (config.model.conditioning === "label" && way !== undefined && way !== "class") {
    throw new UsageError(
      `Cannot draw by --${way} with ${checkpoint}: the model is guided by labels, expected ` +
        "--class, or a model with model.conditioning snippet",
    );
  }
}

/** The indices in lists such as 3,17. */
function indicesIn(lists: readonly string[]): number[] {
  return lists.flatMap((list) => list.split(",")).map((word) => {
    if (/^\s*\d+\s*$/.test(word)) return Number(word);
    throw new UsageError(
      `Cannot read --index ${lists.join(",")}: expected whole numbers such as 3,17`,
    );
  });
}

/** Draws from snippets or labels of one's choice, or of the seed's. */
async function drawChosen(trained: TrainedModel, task: Task): Promise<Samples> {
  const { model, bank, config } = trained, { device, options, way, writeImages } = task;
  const indices = bank
    ? await chosenSnippets(trained, { ...task, bank })
    : chosenLabels(trained, task);
  const count = indices.length, { channels, imageSize } = config.data;
  const length = channels * imageSize ** 2, evaluations = new MeanEvaluations();
  const images = new Float32Array(writeImages ? 0 : count * length);
  using progress = openProgress(count, { json: options.json });
  progress.advance(0);
  const batches = drawBatches({
    model,
    config: config.sample,
    count,
    conditionOf: conditionsAt(indices, { device, bank }),
    ...pathOf(config),
  });
  for await (const batch of batches) {
    evaluations.add(batch.count, batch.evaluations);
    if (writeImages) await writeImages(batch.images, batch.first);
    else images.set(batch.images, batch.first * length);
    progress.advance(batch.first + batch.count);
  }
  progress.stop();
  const above = bank && way === "like" && !writeImages
    ? await imagesBehind(trained, { device, bank, indices })
    : undefined;
  return { images, count, evaluations: evaluations.mean, indices, above };
}

function chosenLabels(trained: TrainedModel, { options }: Task): Uint32Array {
  const { count, seed } = trained.config.sample;
  if (options.class.length === 0) return drawLabels(trained, { count, seed });
  const labels = lookUp(() => options.class.map((word) => [labelOfClass(word, trained)]));
  for (const [i, [label]] of labels.entries()) {
    if (trained.imagesPerClass[label!] !== 0) continue;
    const name = JSON.stringify(options.class[i]);
    say(`note    no training image is of class ${name}; its samples may follow nothing`);
  }
  return chooseAmong(labels, { count, seed });
}

async function chosenSnippets(
  trained: TrainedModel,
  task: Task & { readonly bank: Bank },
): Promise<Uint32Array> {
  const { bank, options, way } = task;
  const { count, seed } = trained.config.sample;
  const among = (groups: ArrayLike<number>[]) => chooseAmong(groups, { count, seed });
  switch (way) {
    case "index":
      return among(
        lookUp(() =>
          [...checkIndices(indicesIn(options.index), bank.size)].map((index) => [index])
        ),
      );
    case "class":
      return among(lookUp(() => options.class.map((name) => membersOf(bank, name))));
    case "name":
      return among(lookUp(() => options.name.map((name) => indicesOfName(bank, name))));
    case "like":
      return among((await neighboursOf(trained, task)).map((index) => [index]));
    case "by-noise":
      return await chooseByNoise(trained.model, { bank, count, seed });
    default:
      return chooseUniform(bank.size, { count, seed });
  }
}

/** The snippets of a class, at least one. */
function membersOf(bank: Bank, name: string): Uint32Array {
  const members = indicesOfClass(bank, name);
  if (members.length > 0) return members;
  throw new RangeError(
    `Cannot draw class ${JSON.stringify(name)}: no snippet of the bank is of it, expected another`,
  );
}

/** Indices of the snippets nearest to the image of --like, nearest first, as many as are drawn. */
async function neighboursOf(
  trained: TrainedModel,
  { device, bank, options }: Task & { readonly bank: Bank },
): Promise<number[]> {
  const { config } = trained, { onnxProviders: providers } = config.device;
  const path = options.like!;
  using encoder = await encoderOfBank(bank, { device, onnx: options.onnx, providers });
  const images = await loadFiles([path], sideForBank(bank, encoder.description));
  const queries = await encodeFiles(images, encoder);
  const count = Math.min(config.sample.count, MOST_NEIGHBOURS);
  const [neighbours] = await nearestSnippets(device, { bank, queries, count });
  const { index, cosine } = neighbours![0]!;
  say(`like    ${path}: nearest to ${captionOf(bank, index)}, cosine ${cosine.toFixed(3)}`);
  return neighbours!.map(({ index }) => index);
}

/**
 * Draws a row of images from each text: encoded, mapped to a snippet, and drawn from as from any. In
 * front, where the run's images are there, that of the bank's snippet nearest to it.
 */
async function drawTexts(
  trained: TrainedModel,
  { device, options, writeImages }: Task,
): Promise<Samples> {
  const { text: texts, mapper: path, onnx } = options;
  const { model, config } = trained, bank = trained.bank!, noises = config.sample.count;
  const { source, target } = readMapperEnds(path!);
  using encoder = await textEncoderOf(source, { onnx, providers: config.device.onnxProviders });
  // An imported bank may not name its encoder; a snippet of another length is refused all the same.
  using owned = loadMapper(device, path!, {
    source: encoder.description,
    target: bank.encoder ?? { ...target, dim: bank.dim },
  });
  const snippets = await mapVectors(owned.mapper, await encoder.encode(texts));
  const found = await nearestSnippets(device, { bank, queries: snippets, count: 1 });
  const indices = found.map(([near]) => near!.index);
  for (const [row, text] of texts.entries()) {
    const { index, cosine } = found[row]![0]!;
    say(`text    ${text}: nearest to ${captionOf(bank, index)}, cosine ${cosine.toFixed(3)}`);
  }
  const front = writeImages ? undefined : await imagesBehind(trained, { device, bank, indices });
  using progress = openProgress(texts.length * noises, { json: options.json });
  progress.advance(0);
  const drawn = await drawRows({
    model,
    config: config.sample,
    snippets,
    noises,
    ...pathOf(config),
    onProgress: (done) => progress.advance(done),
  });
  await writeImages?.(drawn.images, 0);
  return { ...drawn, count: texts.length * noises, rows: { columns: noises, front } };
}

/** The images of snippets where a run's images are there; a file of weights has none. */
async function imagesBehind(
  trained: TrainedModel,
  options: Omit<BankImagesOptions, "note">,
): Promise<Float32Array | undefined> {
  if (trained.config.data.kind === "latents" || trained.step === undefined) return undefined;
  return await imagesOfRun(trained, { ...options, note: say });
}

/** The samples in rows: behind the images of texts, or under images of their own. */
function pictureOf(
  viewed: Float32Array,
  options: {
    readonly samples: Samples;
    readonly viewer: Viewer;
    readonly found: CheckpointConfig;
  },
): RawImage {
  const { samples: { rows, above, count }, viewer, found: { config: { sample } } } = options;
  const { channels, imageSize } = viewer;
  if (rows) {
    const front = rows.front ? [{ images: rows.front, columns: 1 }] : [];
    return pictureOfRows([...front, { images: viewed, columns: rows.columns }], viewer);
  }
  const columns = Math.min(sample.columns, count);
  if (above) return pictureOfPairs(above, viewed, { channels, imageSize, columns });
  const scale = pictureScale({ columns: sample.columns, imageSize });
  return tileImages(viewed, { columns, imageSize, channels, scale });
}

/** Writes latents [n, C, H, W] on the scale of their tokenizer, for its decoder. */
function writeLatents(
  path: string,
  latents: Float32Array,
  { data: { channels, imageSize }, scaling, count }: {
    readonly data: CheckpointConfig["config"]["data"];
    readonly scaling: LatentScaling;
    readonly count: number;
  },
): void {
  unscaleLatents(latents, scaling, imageSize ** 2);
  const shape = [count, channels, imageSize, imageSize];
  writeSafetensors(path, [["latents", { dtype: "F32", shape, data: latents }]]);
}
