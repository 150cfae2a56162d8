/**
 * `deno task evaluate`: see `EVALUATE_COMMAND`.
 *
 * @module
 */

import { dirname, extname, join } from "node:path";
import process from "node:process";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { requireEncoder } from "../bank/encoders/encoder.ts";
import { encoderOfBank, openEncoder } from "../bank/encoders/open.ts";
import { PixelPca } from "../bank/encoders/pixel_pca.ts";
import { BankFile } from "../bank/file.ts";
import { readRows } from "../bank/svd.ts";
import { parseArguments, UsageError } from "../cli/arguments.ts";
import { EVALUATE_COMMAND } from "../cli/commands.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { drawAdaptive } from "../sample/draw.ts";
import { type Config, parseConfig } from "../train/config.ts";
import { ImageSet } from "../train/datasets/image_set.ts";
import { encodePng } from "../train/datasets/png.ts";
import { loadConfig } from "../train/load_config.ts";
import { loadData } from "../train/load_data.ts";
import { pathOf } from "../train/run.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  openTrained,
  readCheckpointConfig,
} from "../train/trained.ts";
import { AdmBatchWriter, openAdmBatch } from "./adm_batch.ts";
import { quantile } from "./bootstrap.ts";
import { checkCopies, type CopyCheck, copyVerdict, drawCopies } from "./copies.ts";
import { frechetDistance, type Gaussian, GaussianStatistics } from "./frechet.ts";
import {
  type ByteBatch,
  firstOf,
  type ImageStream,
  streamOf,
  toBytes,
  toValues,
  withChannels,
} from "./image_stream.ts";
import type { Inception, InceptionOutput } from "./inception.ts";
import { InceptionScore } from "./inception_score.ts";
import { compareFeatures } from "./measure.ts";
import { copyReport, describeEvaluation, type Evaluation, type InceptionReport } from "./report.ts";

/** Images that are drawn at once. */
const BATCH = 64;
/** Samples that are drawn by default. */
const COUNT = 1000;
/** Samples whose nearest training images are drawn. */
const SHOWN = 8;
/** Samples that are compared with training images, at most. */
const MOST_COMPARED = 10_000;
/** Side to which images are shrunk, by whole factors, before their pixels are compared. */
const COMPARED_SIDE = 32;
/** Images that an encoder is fitted to where there is no bank, at most. */
const MOST_FITTED = 10_000;
/** Components up to which parts of the reference are measured with Inception: it takes a minute above. */
const FEW_COMPONENTS = 512;
/** Points of a curve. */
const CURVE_POINTS = 100;

const IMAGE_NAME = /\.(png|jpe?g|webp|avif|gif|tiff?)$/i;

type Options = ReturnType<typeof parseArguments<typeof EVALUATE_COMMAND>>["options"];

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { options } = parseArguments(EVALUATE_COMMAND, Deno.args);
  checkUsage(options);
  const { config, found } = await readConfiguration(options);
  using opened = new DisposableStack();
  const device = opened.use(
    await Device.open({
      allowFallback: config.device.allowCpuDriver,
      variants: config.device.variants,
      ...tunedOptions(say),
    }),
  );
  const context: Context = { options, config, found, device, warnings: [], opened };
  say(`device     ${device.profile.label}`);
  const data = lazily(() => loadData(config.data, { seed: config.train.seed, note: say }));
  const training = async () => (await data()).train;
  const samples = await openSamples(context);
  const reference = await openReference(context, { data, training });
  const encoder = opened.use(await openMeasure(context, { reference, training }));
  const inception = await openInception(context);
  await evaluate(context, { samples, reference, training, encoder, inception });
}

/** What every part of the command needs. */
interface Context {
  readonly options: Options;
  readonly config: Config;
  readonly found: CheckpointConfig | undefined;
  readonly device: Device;
  /** What a person should know, added to. */
  readonly warnings: string[];
  /** What is released at the end. */
  readonly opened: DisposableStack;
}

/** Samples and where they come from. */
interface Samples {
  readonly stream: ImageStream;
  readonly source: string;
  readonly sampler: string | undefined;
  /** Evaluations of the network for each so far. */
  readonly evaluations: () => number | undefined;
}

/** What samples are measured against; something of it is there. */
interface Reference {
  readonly source: string;
  readonly images: ImageStream | undefined;
  /** These images are the training images. */
  readonly isTraining: boolean;
  /** Snippets of the bank's encoder. */
  readonly bank: BankFile | undefined;
  readonly pool: Gaussian | undefined;
  readonly spatial: Gaussian | undefined;
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

async function readConfiguration(
  options: Options,
): Promise<{ config: Config; found: CheckpointConfig | undefined }> {
  const overrides = [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.sampler ? [`sample.sampler=${options.sampler}`] : []),
    ...(options.steps ? [`sample.steps=${options.steps}`] : []),
    ...(options.seed === undefined ? [] : [`sample.seed=${options.seed}`]),
    ...options.set,
  ];
  if (options.checkpoint !== undefined) {
    const found = readCheckpointConfig(options.checkpoint, { overrides });
    return { config: found.config, found };
  }
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  return { config, found: undefined };
}

async function openSamples(context: Context): Promise<Samples> {
  const { options: { samples: path, count }, found, opened } = context;
  if (path !== undefined) {
    const { images } = await openImages(path, context);
    if (images === undefined) {
      throw new TypeError(`Cannot take samples of ${path}: it has no arr_0, expected images in it`);
    }
    const stream = firstOf(images, count ?? images.size);
    return { stream, source: path, sampler: undefined, evaluations: () => undefined };
  }
  const { options: { bank }, config, device } = context;
  const trained = opened.use(openTrained(device, { ...found!, bank }));
  const random = new Random(config.sample.seed, Stream.Label);
  const size = trained.bank?.size ?? trained.classes;
  const { imageSize, channels } = config.data, number = count ?? COUNT;
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(
      `Cannot measure samples of ${found!.checkpoint}: they have ${channels} channels, expected ` +
        "images of 1 or 3, or the decoded images by --samples",
    );
  }
  let evaluations: number | undefined;
  async function* batches(): AsyncGenerator<ByteBatch> {
    for (let first = 0; first < number; first += BATCH) {
      const indices = Uint32Array.from(
        { length: Math.min(BATCH, number - first) },
        (_, i) => Math.floor(random.uniform(0, first + i, 0) * size),
      );
      using condition = trained.bank
        ? trained.bank.gather(indices)
        : device.tensor(indices, [indices.length]);
      const drawn = await drawAdaptive({
        model: trained.model,
        condition,
        config: config.sample,
        firstSample: first,
        ...pathOf(config),
      });
      using images = drawn.images;
      evaluations = drawn.evaluations;
      const values = await images.read();
      const wrong = values.findIndex((value) => !Number.isFinite(value));
      if (wrong >= 0) {
        throw new RangeError(
          `Cannot measure sample ${first + Math.floor(wrong / (channels * imageSize ** 2))}: it ` +
            `holds ${values[wrong]}, expected finite numbers`,
        );
      }
      yield { first, count: indices.length, pixels: toBytes(values) };
    }
  }
  return {
    stream: { size: number, imageSize, channels, batches },
    source: found!.checkpoint,
    sampler: `${config.sample.sampler}, ${config.sample.steps} steps`,
    evaluations: () => evaluations,
  };
}

async function openReference(
  context: Context,
  sets: {
    data: () => Promise<{ train: ImageSet; heldOut: ImageSet | undefined }>;
    training: () => Promise<ImageSet>;
  },
): Promise<Reference> {
  const { options: { reference: what, inception }, opened } = context;
  const nothing = {
    images: undefined,
    isTraining: false,
    bank: undefined,
    pool: undefined,
    spatial: undefined,
  };
  if (what === "train") {
    const images = streamOf(await sets.training());
    return { ...nothing, source: "the training images", images, isTraining: true };
  }
  if (what === "held-out") {
    const { heldOut } = await sets.data();
    if (heldOut === undefined) {
      throw new RangeError(
        "Cannot measure against held-out images: data.heldOut is 0, expected some held out",
      );
    }
    return { ...nothing, source: "the held-out images", images: streamOf(heldOut) };
  }
  if (extname(what) === ".safetensors") {
    return { ...nothing, source: what, bank: opened.use(BankFile.open(what)) };
  }
  const parts = await openImages(what, context);
  if (parts.images === undefined && inception === undefined) {
    throw new UsageError(
      `Cannot measure against ${what}: it has statistics of Inception features alone, expected ` +
        "--inception FILE",
    );
  }
  return { ...nothing, source: what, ...parts };
}

/** The images in a folder or a `.npz` file, with the statistics that such a file may have. */
async function openImages(
  path: string,
  context: Context,
): Promise<Pick<Reference, "images" | "pool" | "spatial">> {
  if (extname(path) === ".npz") return context.opened.use(openAdmBatch(path));
  const images = await openFolder(path, context);
  return { images, pool: undefined, spatial: undefined };
}

/**
 * The images of a folder and its subfolders, by sorted path, decoded as they are asked for. PNG files
 * must all have one size; the files of other formats are cropped and resized to it.
 */
async function openFolder(path: string, context: Context): Promise<ImageStream> {
  const names = listImages(path).sort();
  if (names.length === 0) {
    throw new Error(
      `Cannot load images: ${path} holds no images, expected png, jpg, jpeg, webp, avif, gif or ` +
        "tiff files, or a .npz file",
    );
  }
  let imageSize: number | undefined;
  for (const name of names) {
    const size = pngSize(name);
    if (size === undefined) continue;
    const [width, height] = size;
    imageSize ??= width;
    if (width !== imageSize || height !== imageSize) {
      throw new RangeError(
        `Cannot measure ${name}: it has ${width} × ${height} pixels, expected ${imageSize} × ` +
          `${imageSize} as ${names[0]}`,
      );
    }
  }
  const resized = names.filter((name) => !/\.png$/i.test(name)).length;
  const side = imageSize ?? context.config.data.imageSize;
  if (resized > 0) {
    context.warnings.push(
      `${resized} files of ${path} are no PNG and are taken as ${side} × ${side} pixels, cropped ` +
        "and resized where they have others",
    );
  }
  const { loadImageFiles } = await import("../train/datasets/image_folder.ts");
  return streamOf({
    size: names.length,
    imageSize: side,
    channels: 3,
    classes: [],
    read: async (indices) => {
      const images = await loadImageFiles(Array.from(indices, (index) => names[index]!), {
        imageSize: side,
      });
      return images.read(Uint32Array.from(indices, (_, i) => i));
    },
  });
}

function listImages(path: string): string[] {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(path)];
  } catch (cause) {
    throw new Error(
      `Cannot load images: ${path} cannot be read as a folder, ${(cause as Error).message}, ` +
        "expected a folder of images or a .npz file",
      { cause },
    );
  }
  return entries.filter(({ name }) => !name.startsWith(".")).flatMap((entry) => {
    const name = join(path, entry.name);
    if (entry.isDirectory) return listImages(name);
    return IMAGE_NAME.test(entry.name) ? [name] : [];
  });
}

/** Width and height in the header of a PNG; undefined for other files. */
function pngSize(path: string): readonly [number, number] | undefined {
  if (!/\.png$/i.test(path)) return undefined;
  using file = Deno.openSync(path, { read: true });
  const head = new Uint8Array(24);
  if (file.readSync(head) !== head.length || head[1] !== 0x50) return undefined;
  const view = new DataView(head.buffer);
  return [view.getUint32(16), view.getUint32(20)];
}

/** The encoder of the bank; where there is none, one that is fitted to the reference. */
async function openMeasure(
  context: Context,
  sets: { reference: Reference; training: () => Promise<ImageSet> },
): Promise<Encoder> {
  const { options, config, found, device, warnings } = context;
  const path = options.bank ??
    (found && config.model.conditioning === "snippet" ? bankPathOf(found) : undefined) ??
    (sets.reference.bank && options.reference);
  if (path !== undefined) {
    using file = BankFile.open(path);
    const known = file.encoder !== undefined && file.encoder.kind !== "features";
    if (known || options.onnx !== undefined) {
      return await encoderOfBank(file, { device, onnx: options.onnx });
    }
    warnings.push(
      `the encoder of ${path} is ${file.encoder?.kind ?? "not known"} and encodes no images: ` +
        "measured by pixel_pca in its place",
    );
  }
  const { images } = sets.reference;
  const source = images && !sets.reference.isTraining
    ? await collect(firstOf(images, MOST_FITTED))
    : await sets.training();
  say(`encoder    fitted to ${source.size} images`);
  const fitted = await openEncoder({ device, config: config.bank, images: source });
  if (fitted !== undefined) return fitted;
  const { dim, resolution, whiten } = config.bank;
  return await PixelPca.fit({ device, images: source, dim, resolution, whiten });
}

async function openInception(context: Context): Promise<Inception | undefined> {
  const { options: { inception: path, output, pixels }, opened } = context;
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
  const network = opened.use(await Inception.open(path, { outputs, pixels }));
  const { outputs: found } = network;
  say(`inception  ${Object.entries(found).map(([kind, name]) => `${kind} ${name}`).join(", ")}`);
  return network;
}

async function evaluate(
  context: Context,
  parts: {
    samples: Samples;
    reference: Reference;
    training: () => Promise<ImageSet>;
    encoder: Encoder;
    inception: Inception | undefined;
  },
): Promise<void> {
  const { options, config, found, device, warnings } = context;
  const { samples, reference, encoder, inception } = parts;
  const { seed } = config.sample;
  const report = options.report ?? (found && join(found.checkpoint, "evaluation.json"));
  // Before the long work, which a folder that cannot be made would waste.
  for (const path of [options.out, options.copies, report]) {
    if (path !== undefined) await Deno.mkdir(dirname(path), { recursive: true });
  }
  if (reference.bank) requireEncoder(encoder.description, reference.bank);
  // Statistics say nothing of this encoder, and a bank nothing of Inception.
  const fallback = reference.images === undefined ? await parts.training() : undefined;
  const images = reference.images ?? streamOf(fallback!);
  const imagesAreTraining = reference.isTraining || fallback !== undefined;
  requireOneSize(samples, { images, source: options.reference });
  const snippets = reference.bank ?? await bankOfTraining(context, { ...parts, imagesAreTraining });

  const kept = options.copies === undefined ? 0 : Math.min(samples.stream.size, MOST_COMPARED);
  const keptPixels: Uint8Array[] = [];
  const drawn = await extract(samples.stream, {
    ...parts,
    context,
    inception,
    out: options.out,
    label: samples.sampler === undefined ? "samples" : "drawing",
    onBatch: ({ first, pixels, count }) => {
      if (first < kept) {
        keptPixels.push(pixels.slice(0, pixels.length / count * Math.min(count, kept - first)));
      }
    },
  });
  const withInception = inception !== undefined &&
    (reference.pool === undefined || reference.images !== undefined);
  const measured = snippets !== undefined && !withInception ? undefined : await extract(images, {
    context,
    encoder: snippets === undefined ? encoder : undefined,
    inception: withInception ? inception : undefined,
    out: undefined,
    label: "reference",
  });
  const referenceFeatures = snippets ? await readSnippets(snippets) : measured!.features!;
  const compare = { device, seed, resamples: options.resamples };
  const encoderSource = reference.bank || reference.images
    ? reference.source
    : "the training images";
  const comparison = await withProgress(
    "measuring  encoder features, in percent",
    options.json,
    (onProgress) =>
      compareFeatures({ samples: drawn.features!, reference: referenceFeatures }, {
        ...compare,
        dim: encoder.dim,
        onProgress,
      }),
  );
  const inceptionReport = inception &&
    await compareInception(context, { inception, reference, samples: drawn, images: measured });
  const copies = options.copies === undefined ? undefined : await lookForCopies(context, {
    training: await parts.training(),
    encoder,
    samples: {
      stream: samples.stream,
      pixels: joined(keptPixels),
      features: drawn.features!.subarray(0, kept * encoder.dim),
    },
    features: imagesAreTraining && !reference.bank ? referenceFeatures : undefined,
  });
  const evaluation: Evaluation = {
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
    seed,
    encoder: {
      ...comparison,
      kind: encoder.description.kind,
      fingerprint: encoder.description.fingerprint,
      source: encoderSource,
    },
    inception: inceptionReport,
    copies,
    warnings: [...warnings, ...comparison.warnings],
  };
  if (report !== undefined) {
    await Deno.writeTextFile(report, `${JSON.stringify(evaluation, null, 2)}\n`);
    say(`wrote      ${report}`);
  }
  console.log(
    options.json ? JSON.stringify(evaluation) : ["", ...describeEvaluation(evaluation)].join("\n"),
  );
}

function requireOneSize(
  samples: Samples,
  reference: { readonly images: ImageStream; readonly source: string },
): void {
  const [own, other] = [samples.stream.imageSize, reference.images.imageSize];
  if (own !== other) {
    throw new RangeError(
      `Cannot measure ${samples.source} against ${reference.source}: the samples have ${own} × ` +
        `${own} pixels and the reference ${other} × ${other}, expected one size`,
    );
  }
}

/** The bank of the run, if its snippets are those of the training images by this encoder, in full. */
async function bankOfTraining(
  context: Context,
  parts: { training: () => Promise<ImageSet>; encoder: Encoder; imagesAreTraining: boolean },
): Promise<BankFile | undefined> {
  const { config, found, opened } = context;
  if (!parts.imagesAreTraining || !found || config.model.conditioning !== "snippet") {
    return undefined;
  }
  const file = BankFile.open(bankPathOf(found));
  const { size, names } = await parts.training();
  const same = file.rank === undefined && file.size === size &&
    file.encoder?.fingerprint === parts.encoder.description.fingerprint &&
    names.every((name, i) => file.names?.[i] === name);
  if (same) return opened.use(file);
  file[Symbol.dispose]();
  return undefined;
}

async function readSnippets(file: BankFile): Promise<Float32Array> {
  const out = new Float32Array(file.size * file.dim);
  for await (const { first, rows } of readRows(file)) out.set(rows, first * file.dim);
  return out;
}

/** What is taken of the images of a stream. */
interface Extracted {
  readonly features: Float32Array | undefined;
  readonly pool: { readonly dim: number; readonly values: Float32Array } | undefined;
  readonly spatial: GaussianStatistics | undefined;
  readonly score: InceptionScore | undefined;
}

/** Goes through a stream once. */
async function extract(
  stream: ImageStream,
  options: {
    context: Context;
    encoder: Encoder | undefined;
    inception: Inception | undefined;
    out: string | undefined;
    label: string;
    onBatch?: (batch: ByteBatch) => void;
  },
): Promise<Extracted> {
  const { context, encoder, inception, out, label, onBatch } = options;
  const { size, imageSize, channels } = stream;
  using writer = out === undefined ? undefined : new AdmBatchWriter(out, stream);
  const features = encoder && new Float32Array(size * encoder.dim);
  let pool: Float32Array | undefined, poolDim = 0;
  let spatial: GaussianStatistics | undefined, score: InceptionScore | undefined;
  say(`${label.padEnd(10)} ${size} images of ${imageSize} × ${imageSize} pixels`);
  using progress = progressOf(size, context.options.json);
  for await (const batch of stream.batches()) {
    const { first, count } = batch;
    onBatch?.(batch);
    writer?.append(batch);
    if (encoder && features) {
      features.set(await encodeBatch(batch, { encoder, stream }), first * encoder.dim);
    }
    if (inception) {
      const made = await inception.run(batch, { imageSize, channels });
      poolDim = made.pool.length / count;
      pool ??= new Float32Array(size * poolDim);
      pool.set(made.pool, first * poolDim);
      if (made.spatial) {
        spatial ??= new GaussianStatistics(made.spatial.length / count);
        spatial.add(made.spatial);
      }
      if (made.probabilities) {
        score ??= new InceptionScore(made.probabilities.length / count);
        score.add(made.probabilities);
      }
    }
    progress.advance(first + count);
  }
  writer?.commit();
  if (out !== undefined) say(`wrote      ${out}`);
  return { features, pool: pool && { dim: poolDim, values: pool }, spatial, score };
}

async function encodeBatch(
  batch: ByteBatch,
  options: { encoder: Encoder; stream: ImageStream },
): Promise<Float32Array> {
  const { encoder, stream: { imageSize, channels: from } } = options;
  const channels = Number(encoder.description.preprocessing["channels"] ?? from);
  const values = toValues(withChannels(batch, { from, to: channels }));
  const { first, count } = batch;
  const shape = { count, channels, height: imageSize, width: imageSize, firstIndex: first };
  return await encoder.encode(values, shape);
}

async function compareInception(
  context: Context,
  parts: {
    inception: Inception;
    reference: Reference;
    samples: Extracted;
    images: Extracted | undefined;
  },
): Promise<InceptionReport> {
  const { options, config, device, warnings } = context;
  const { inception, reference, samples, images } = parts;
  const { dim, values } = samples.pool!;
  requireSameFeatures(reference, { pool: dim, spatial: samples.spatial?.dim });
  const compared = await withProgress(
    `measuring  ${dim} Inception features, in percent; the decompositions come last`,
    options.json,
    (onProgress) =>
      compareFeatures({
        samples: values,
        reference: images?.pool?.values,
        statistics: reference.pool,
      }, {
        dim,
        device,
        seed: config.sample.seed,
        resamples: 0,
        chance: dim <= FEW_COMPONENTS || values.length / dim <= dim,
        onProgress,
      }),
  );
  warnings.push(...compared.warnings.map((warning) => `Inception: ${warning}`));
  const spatial = reference.spatial ?? images?.spatial;
  if (samples.spatial === undefined) warnings.push("no sFID: the network has no spatial features");
  else if (spatial === undefined) warnings.push("no sFID: the reference has no mu_s and sigma_s");
  if (samples.score === undefined) {
    warnings.push("no Inception score: the network gives no classes");
  }
  const share = (inside: typeof compared.precision) => inside && { ...inside, interval: undefined };
  return {
    fingerprint: inception.fingerprint,
    fid: compared.frechet.value,
    sfid: spatial && samples.spatial && frechetDistance(spatial, samples.spatial),
    inceptionScore: samples.score?.result(),
    precision: share(compared.precision),
    recall: share(compared.recall),
    chance: compared.chance,
  };
}

function requireSameFeatures(
  reference: Reference,
  dims: { readonly pool: number; readonly spatial: number | undefined },
): void {
  const keys = { pool: "mu", spatial: "mu_s" } as const;
  for (const kind of ["pool", "spatial"] as const) {
    const [own, other] = [dims[kind], reference[kind]?.dim];
    if (own !== undefined && other !== undefined && own !== other) {
      throw new TypeError(
        `Cannot measure against ${reference.source}: its ${
          keys[kind]
        } has ${other} components and ` +
          `the network's ${kind} output ${own}, expected statistics of the same network`,
      );
    }
  }
}

async function lookForCopies(
  context: Context,
  parts: {
    training: ImageSet;
    encoder: Encoder;
    samples: { stream: ImageStream; pixels: Uint8Array; features: Float32Array };
    /** Of the training images, where they are known. */
    features: Float32Array | undefined;
  },
): Promise<Evaluation["copies"]> {
  const { options, config, device } = context;
  const { training, encoder, samples } = parts;
  const { imageSize, channels } = training;
  const path = options.copies!;
  requireOneSize(
    { stream: samples.stream, source: "samples", sampler: undefined, evaluations: () => undefined },
    { images: streamOf(training), source: "the training images" },
  );
  const length = samples.stream.channels * imageSize ** 2;
  const pixels = withChannels(
    { first: 0, count: samples.pixels.length / length, pixels: samples.pixels },
    { from: samples.stream.channels, to: channels },
  );
  const features = parts.features ??
    (await extract(streamOf(training), {
      context,
      encoder,
      inception: undefined,
      out: undefined,
      label: "training",
    })).features!;
  const shrunk = { imageSize, channels };
  const common = { seed: config.sample.seed, device, shown: SHOWN };
  const [own, other] = [shrink(pixels, shrunk), shrink(training.pixels, shrunk)];
  const dim = own.length / (pixels.length / (channels * imageSize ** 2));
  const checks = await withProgress("copies     in percent", options.json, async (onProgress) => ({
    pixel: await checkCopies({
      ...common,
      samples: own,
      training: other,
      dim,
      // Root of the mean square over all values, in levels of 256.
      scale: 1 / Math.sqrt(dim),
      onProgress: (done) => onProgress(done / 2),
    }),
    encoder: await checkCopies({
      ...common,
      samples: samples.features,
      training: features,
      dim: encoder.dim,
      onProgress: (done) => onProgress((1 + done) / 2),
    }),
  }));
  const one = channels * imageSize ** 2;
  const picture = drawCopies(checks, {
    samples: pixels.subarray(0, SHOWN * one),
    imageSize,
    channels,
    read: (index) => training.pixels.subarray(index * one, (index + 1) * one),
  });
  const plot = `${path.slice(0, -extname(path).length)}.svg`;
  await Deno.writeFile(path, encodePng(picture));
  await Deno.writeTextFile(plot, await plotDistances(checks));
  say(`wrote      ${path} and ${plot}`);
  return {
    pixel: copyReport(checks.pixel),
    encoder: copyReport(checks.encoder),
    verdict: copyVerdict({ pixels: checks.pixel, "the encoder": checks.encoder }, {
      picture: path,
    }),
  };
}

/** Bytes as vectors, with the mean of each block of pixels where images are larger than 32 × 32. */
function shrink(
  pixels: Uint8Array,
  images: { readonly imageSize: number; readonly channels: number },
): Float32Array {
  const { imageSize } = images;
  const factor = Math.ceil(imageSize / COMPARED_SIDE);
  if (factor === 1) return Float32Array.from(pixels);
  const side = Math.floor(imageSize / factor), planes = pixels.length / imageSize ** 2;
  const out = new Float32Array(planes * side ** 2);
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < side * factor; y++) {
      for (let x = 0; x < side * factor; x++) {
        const place = (plane * side + Math.floor(y / factor)) * side + Math.floor(x / factor);
        out[place]! += pixels[(plane * imageSize + y) * imageSize + x]! / factor ** 2;
      }
    }
  }
  return out;
}

/** The share of images within a distance of a training image, over the distance. */
async function plotDistances(
  checks: { readonly pixel: CopyCheck; readonly encoder: CopyCheck },
): Promise<string> {
  const curve = (name: string, distances: Float64Array) => ({
    name,
    points: Array.from({ length: CURVE_POINTS + 1 }, (_, i) => ({
      x: quantile(distances, i / CURVE_POINTS),
      y: i / CURVE_POINTS,
    })),
  });
  const titles = {
    pixel: "distance to the nearest training image (pixels, levels of 256)",
    encoder: "distance to the nearest training image (encoder)",
  };
  // Imported here alone, so that the rest need not load the plotting library.
  const { plotCurves } = await import("../cli/plot.ts");
  return await plotCurves((["pixel", "encoder"] as const).map((space) => ({
    xTitle: titles[space],
    yTitle: "share of images at most that far",
    marked: false,
    curves: [
      curve("samples", checks[space].samples.distances),
      curve("training images", checks[space].training.distances),
    ],
  })));
}

/** All images of a stream in memory. */
async function collect(stream: ImageStream): Promise<ImageSet> {
  const { size, imageSize, channels } = stream;
  const pixels = new Uint8Array(size * channels * imageSize ** 2);
  for await (const batch of stream.batches()) {
    pixels.set(batch.pixels, batch.first * channels * imageSize ** 2);
  }
  const names = Array.from({ length: size }, (_, i) => String(i));
  return new ImageSet({ imageSize, channels, pixels, names });
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    out.set(part, place);
    place += part.length;
  }
  return out;
}

function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}

/** Runs work that says what share of it is done. */
async function withProgress<T>(
  label: string,
  json: boolean,
  work: (onProgress: (done: number) => void) => Promise<T>,
): Promise<T> {
  const total = 100;
  using progress = progressOf(total, json);
  say(label);
  return await work((done) => progress.advance(Math.floor(done * total)));
}

function progressOf(total: number, json: boolean): Progress {
  return new Progress({ total, stream: json ? process.stdout : process.stderr, json });
}

function say(line: string): void {
  console.error(line);
}
