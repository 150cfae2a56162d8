/**
 * `deno task bank`: see `BANK_PROGRAM`.
 *
 * @module
 */

import { dirname } from "node:path";
import process from "node:process";
import { parseArguments, selectCommand, UsageError } from "../cli/arguments.ts";
import {
  BANK_ADD_COMMAND,
  BANK_BUILD_COMMAND,
  BANK_COMPRESS_COMMAND,
  BANK_EXPORT_COMMAND,
  BANK_IMPORT_COMMAND,
  BANK_INSPECT_COMMAND,
  BANK_INTERPOLATE_COMMAND,
  BANK_LEARN_FEATURES_COMMAND,
  BANK_LEARN_TEXT_COMMAND,
  BANK_MERGE_COMMAND,
  BANK_NEAREST_COMMAND,
  BANK_PROGRAM,
  BANK_TRANSFER_COMMAND,
} from "../cli/commands.ts";
import { plotEnergy, plotMap } from "../cli/plot.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { tunedOptions } from "../cli/tuning_file.ts";
import { Device } from "../kernels/core/device.ts";
import { folderOverrides, imageOf, imagesOfRun, placedImages } from "../train/bank_images.ts";
import {
  imagesFor,
  pictureInterpolation,
  pictureNovel,
  pictureTransfer,
  type SamplePicture,
  withChannels,
} from "../train/bank_pictures.ts";
import { type Config, configHelp, parseConfig } from "../train/config.ts";
import { loadConfig } from "../train/load_config.ts";
import { type ImageSet, splitIndices } from "../train/datasets/image_set.ts";
import { pictureOfRows } from "../train/datasets/picture_rows.ts";
import { encodePng, type RawImage } from "../train/datasets/png.ts";
import { loadImages } from "../train/load_data.ts";
import { loadMapper, type MapperEnds, readMapperEnds, saveMapper } from "../train/mapper_file.ts";
import {
  type MapperTrainingOptions,
  mapVectors,
  type RetrievalAccuracy,
  retrievalAccuracy,
  rowsOf,
  trainMapper,
} from "../train/mapper_training.ts";
import {
  bankPathOf,
  type CheckpointConfig,
  openTrained,
  readCheckpointConfig,
  requireImages,
  type TrainedModel,
} from "../train/trained.ts";
import { type Bank, checkIndices, type EncoderRecords, type ImageRecords } from "./bank.ts";
import { compressBank, compressionReads, describeCompression } from "./compress.ts";
import { type Encoder, type EncoderDescription, encoderDifference } from "./encoders/encoder.ts";
import { encoderOfBank } from "./encoders/open.ts";
import { openTextEncoder } from "./encoders/open_text.ts";
import {
  CLIP_STATISTICS,
  type ColourStatistics,
  IMAGENET_STATISTICS,
} from "./encoders/preprocessing.ts";
import { importFeatures, openFeatures } from "./features.ts";
import { BankFile, BankWriter, writeBank, writeLowRankBank } from "./file.ts";
import type { Shard } from "./image_source.ts";
import { type BankSummary, describeBank, inspectBank } from "./inspect.ts";
import { interpolateSnippets } from "./interpolate.ts";
import { loadBank } from "./load.ts";
import { makeBank, type Places } from "./make.ts";
import { mergeBanks } from "./merge.ts";
import { writeNpy } from "./npy.ts";
import { indexOfName, nearestSnippets } from "./retrieve.ts";
import { mapSnippets } from "./snippet_map.ts";
import { factorize, readRows } from "./svd.ts";
import { importTorchBank } from "./torch.ts";

const COMMANDS: Readonly<
  Record<keyof typeof BANK_PROGRAM.commands, (args: readonly string[]) => void | Promise<void>>
> = {
  build,
  inspect,
  import: importBank,
  compress,
  merge,
  add,
  interpolate,
  nearest,
  transfer,
  "learn-text": learnText,
  "learn-features": learnFeatures,
  export: exportBank,
};

/** Neighbours that a row of `bank add --sample` or of a text ends with, as in GMem's figure 4. */
const ROW_NEIGHBOURS = 5;

/** Held-out texts that the picture of `bank learn-text` shows. */
const TEXT_ROWS = 8;

/** Held-out pairs at most where a share is held out: comparing them grows with the square. */
const MOST_HELD_OUT = 2000;

/** Mean and deviation by the names that `bank build --statistics` knows. */
const STATISTICS: Readonly<Record<"imagenet" | "clip" | "none", ColourStatistics>> = {
  imagenet: IMAGENET_STATISTICS,
  clip: CLIP_STATISTICS,
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
};

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { command, args } = selectCommand(BANK_PROGRAM, Deno.args);
  await COMMANDS[command](args);
}

async function build(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BANK_BUILD_COMMAND, args, { details: configHelp });
  const { out, rank, json } = options;
  const shard = options.shard === undefined ? undefined : parseShard(options.shard);
  const overrides = buildOverrides(options);
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  using device = await Device.open({ allowFallback: true, variants: config.device.variants });
  say(`device    ${device.profile.label}`);
  const { train: images, places } = await loadImages(config.data, {
    seed: config.train.seed,
    note: say,
  });
  say(`images    ${images.size} of ${images.imageSize} × ${images.imageSize} pixels`);
  const encoding = { device, images, places, shard, config: config.bank, like: options.like, json };
  if (rank === undefined) {
    await encode(encoding, out);
  } else {
    const whole = `${out}.whole`;
    try {
      await encode(encoding, whole);
      using file = BankFile.open(whole);
      const factors = await factorize(file, { rank, device });
      writeLowRankBank(out, { ...file.records, ...factors });
      say(`rank      ${rank} keeps ${(100 * factors.energy).toFixed(2)} % of the energy`);
    } finally {
      removeIfThere(whole);
    }
  }
  using file = BankFile.open(out);
  show(inspectBank(file), json);
}

function parseShard(text: string): Shard {
  const [, number, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (number === undefined) {
    throw new UsageError(`Cannot read --shard ${text}: expected a part and their number, as 3/8`);
  }
  return { number: Number(number), count: Number(count) };
}

/** What the options of `bank build` say of the configuration. */
function buildOverrides(
  options: {
    readonly data: string | undefined;
    readonly dim: number | undefined;
    readonly resolution: number | undefined;
    readonly onnx: string | undefined;
    readonly statistics: keyof typeof STATISTICS | undefined;
    readonly pooling: string | undefined;
    readonly output: string | undefined;
    readonly set: readonly string[];
  },
): string[] {
  const { data, dim, resolution, onnx, statistics, pooling, output, set } = options;
  if (onnx === undefined) {
    for (const [name, value] of Object.entries({ statistics, pooling, output })) {
      if (value !== undefined) {
        throw new UsageError(`Cannot take --${name} without a network: expected --onnx FILE`);
      }
    }
  } else if (dim !== undefined) {
    throw new UsageError("Cannot take --dim with --onnx: the network says how long a snippet is");
  }
  const { mean, std } = STATISTICS[statistics ?? "imagenet"];
  const size = onnx === undefined ? "bank.resolution" : "bank.onnx.size";
  return [
    ...folderOverrides(data),
    ...(dim ? [`bank.dim=${dim}`] : []),
    ...(onnx === undefined ? [] : ["bank.encoder=onnx", `bank.onnx.path=${JSON.stringify(onnx)}`]),
    ...(resolution ? [`${size}=${resolution}`] : []),
    ...(statistics === undefined
      ? []
      : [`bank.onnx.mean=${JSON.stringify(mean)}`, `bank.onnx.std=${JSON.stringify(std)}`]),
    ...(pooling === undefined ? [] : [`bank.onnx.pooling=${pooling}`]),
    ...(output === undefined ? [] : [`bank.onnx.output=${JSON.stringify(output)}`]),
    ...set,
  ];
}

/** How a build encodes. */
interface Encoding {
  readonly device: Device;
  readonly images: ImageSet;
  readonly places: Places;
  readonly shard: Shard | undefined;
  readonly config: Config["bank"];
  readonly like: string | undefined;
  readonly json: boolean;
}

/** Writes the bank of the images by the encoder that the configuration or another bank names. */
async function encode(encoding: Encoding, path: string): Promise<void> {
  const { device, like, json, ...making } = encoding;
  using opened = new DisposableStack();
  let encoder: Encoder | undefined;
  if (like !== undefined) {
    using bank = BankFile.open(like);
    encoder = opened.use(await encoderOfBank(bank, { device }));
  }
  let progress: Progress | undefined;
  const made = await makeBank({
    ...making,
    device,
    encoder,
    path,
    onProgress: (done, total) => {
      progress ??= opened.use(progressOf(total, json));
      progress.advance(done);
    },
  });
  if (made !== encoder) made?.[Symbol.dispose]();
}

async function importBank(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_IMPORT_COMMAND, args);
  const { out, key, mapper, json } = options;
  const path = positionals[0]!;
  if (mapper !== undefined) await importMapped(path, { out, key, mapper });
  else if (/\.(npy|npz|safetensors)$/.test(path)) await importFeatures(path, { out, key });
  else importTorchBank(path, { out });
  using file = BankFile.open(out);
  show(inspectBank(file), json);
}

/** Writes the bank of the snippets that a mapper makes of vectors. */
async function importMapped(
  path: string,
  options: {
    readonly out: string;
    readonly key: string | undefined;
    readonly mapper: string;
  },
): Promise<void> {
  const { out, key, mapper: mapperPath } = options;
  const { source, target } = readMapperEnds(mapperPath);
  using features = openFeatures(path, { key });
  if (source.kind !== "features" || source.dim !== features.dim) {
    throw new TypeError(
      `Cannot map ${path} by ${mapperPath}: it takes ${source.kind} of length ${source.dim}, ` +
        `expected features of length ${features.dim}`,
    );
  }
  using device = await Device.open({ allowFallback: true });
  using owned = loadMapper(device, mapperPath);
  using writer = new BankWriter(out, { size: features.size, dim: target.dim, encoder: target });
  for await (const { rows } of readRows(features)) {
    writer.append(await mapVectors(owned.mapper, rows));
  }
  writer.commit();
}

async function inspect(args: readonly string[]): Promise<void> {
  const { options: { plot, json }, positionals } = parseArguments(BANK_INSPECT_COMMAND, args);
  using file = BankFile.open(positionals[0]!);
  const summary = inspectBank(file);
  show(summary, json);
  if (plot === undefined) return;
  await writeText(`${plot}_energy.svg`, await plotEnergy(summary.spectrum.shares));
  await writeText(`${plot}_map.svg`, await plotMap(await mapSnippets(file)));
}

async function compress(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_COMPRESS_COMMAND, args);
  const { rank, energy, storage, out: path, json } = options;
  if ((rank === undefined) === (energy === undefined)) {
    throw new UsageError("Cannot compress a bank: expected either --rank or --energy");
  }
  using file = BankFile.open(positionals[0]!);
  using device = await Device.open({ allowFallback: true });
  using progress = progressOf(compressionReads(file.size, storage), json);
  const made = await compressBank(file, {
    ...(rank === undefined ? { energy: energy! } : { rank }),
    device,
    path,
    storage,
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  print(json, made, describeCompression(made));
}

async function merge(args: readonly string[]): Promise<void> {
  const { options: { out: path, json }, positionals } = parseArguments(BANK_MERGE_COMMAND, args);
  using opened = new DisposableStack();
  const files = positionals.map((each) => opened.use(BankFile.open(each)));
  using progress = progressOf(files.reduce((sum, { size }) => sum + size, 0), json);
  await mergeBanks(files, { path, onProgress: (done) => progress.advance(done) });
  progress.stop();
  using file = BankFile.open(path);
  show(inspectBank(file), json);
}

async function add(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_ADD_COMMAND, args);
  const { class: className, sample, checkpoint, onnx, json } = options;
  if (sample !== (checkpoint !== undefined)) {
    throw new UsageError(
      sample
        ? "Cannot draw samples without a model: expected --checkpoint DIR beside --sample"
        : "Cannot use --checkpoint alone: expected --sample beside it",
    );
  }
  const found = checkpoint === undefined ? undefined : readRun(checkpoint, options);
  const path = options.bank ?? (found && bankPathOf(found));
  if (path === undefined) {
    throw new UsageError(
      "Cannot add to a bank: expected --bank FILE, or --sample and --checkpoint",
    );
  }
  const out = options.out ?? options.bank;
  if (out?.endsWith(".png")) {
    throw new UsageError(
      `Cannot write a bank to ${out}: expected --picture for the rows of samples`,
    );
  }
  using device = await openFor(found);
  using trained = found && openTrained(device, { ...found, bank: path });
  using loaded = trained ? undefined : loadBank(device, path);
  const bank = trained ? bankOf(trained) : loaded!;
  using encoder = await encoderOfBank(bank, { device, onnx });
  const label = className === undefined ? -1 : bank.classes.indexOf(className);
  if (className !== undefined && label < 0) {
    throw new RangeError(
      `Cannot add to class ${className}: the bank has the classes ` +
        `${bank.classes.join(", ") || "of no name"}`,
    );
  }
  const imageSize = options.size ?? found?.config.data.imageSize ?? ownSize(encoder);
  const images = await loadFiles(positionals, imageSize);
  const snippets = await encodeFiles(images, encoder);
  const first = bank.size;
  const near = trained &&
    await nearestImages(trained, { device, bank, snippets, data: options.data });
  const added = positionals.map((name, i) => {
    const snippet = snippets.slice(i * bank.dim, (i + 1) * bank.dim);
    return { index: bank.addExternal(snippet, { name, label }), name };
  });
  // The picture comes first: a bank is written when nothing else can fail.
  let drawn: SamplePicture | undefined;
  if (trained) {
    const { noises, picture } = options;
    using progress = progressOf(added.length * noises, json);
    // A low-rank bank gives back what its directions hold of the new snippets.
    using kept = bank.gather(added.map(({ index }) => index));
    drawn = await pictureNovel(trained, {
      images: await imagesFor(trained, { device, images, indices: added.map((_, i) => i) }),
      snippets: await kept.read(),
      noises,
      nearest: near,
      onProgress: (done) => progress.advance(done),
    });
    progress.stop();
    await writePicture(picture, drawn.picture);
  }
  if (out !== undefined) await bank.save(out);
  const result = {
    added,
    ...(out !== undefined && { path: out, size: bank.size }),
    ...(drawn && { picture: options.picture, evaluations: drawn.evaluations }),
  };
  const columns = `${options.noises} samples of ${drawn?.evaluations} network evaluations each` +
    (near ? `, the ${near.columns} images nearest to it` : "");
  print(json, result, [
    ...(out === undefined ? [] : added.map(({ index, name }) => `snippet   ${index} is ${name}`)),
    ...(drawn ? [`rows      the image, ${columns}`, `wrote     ${options.picture}`] : []),
    out === undefined
      ? `bank      ${path} keeps its ${first} snippets; --out FILE writes them with the new ones`
      : `bank      ${out}, ${bank.size} snippets`,
  ]);
}

async function interpolate(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_INTERPOLATE_COMMAND, args);
  if (options.checkpoint !== undefined) {
    return await drawBetween(options.checkpoint, { ...options, positionals });
  }
  const { bank, mode, steps, seed = 0, out = "between.safetensors", json } = options;
  if (bank === undefined) {
    throw new UsageError("Cannot interpolate: expected --bank FILE, or --checkpoint DIR to draw");
  }
  if (out.endsWith(".png")) {
    throw new UsageError(`Cannot draw ${out} without a model: expected --checkpoint DIR`);
  }
  using file = BankFile.open(bank);
  const [first, second] = pairOf(file, positionals);
  const between = interpolateSnippets(file.rows(first, 1), file.rows(second, 1), {
    mode,
    steps,
    seed,
  });
  const { encoder, encoderWeights } = file;
  const names = between.map(({ name }) => `${first} to ${second}, ${name}`);
  const snippets = new Float32Array(between.flatMap(({ snippet }) => [...snippet]));
  writeBank(out, { dim: file.dim, snippets, encoder, encoderWeights, names });
  print(json, { path: out, names }, [
    `bank      ${out}, ${names.length} snippets`,
    ...names.map((name, i) => `snippet   ${i} is ${name}`),
  ]);
}

/** Draws from the snippets between two others, in a row for each noise. */
async function drawBetween(
  checkpoint: string,
  options: {
    readonly positionals: readonly string[];
    readonly bank: string | undefined;
    readonly mode: "lerp" | "slerp" | "concat" | "mask";
    readonly steps: number;
    readonly noises: number;
    readonly seed: number | undefined;
    readonly data: string | undefined;
    readonly out: string | undefined;
    readonly set: readonly string[];
    readonly json: boolean;
  },
): Promise<void> {
  const { positionals, mode, steps, noises, data, out = "rows.png", json } = options;
  const found = readRun(checkpoint, options);
  using device = await openFor(found);
  using trained = openTrained(device, { ...found, bank: options.bank });
  const bank = bankOf(trained);
  const pair = pairOf(bank, positionals);
  const [first, second] = await Promise.all(pair.map((index) => bank.snippet(index)));
  const { seed } = trained.config.sample;
  const whole = interpolateSnippets(first!, second!, { mode, steps: steps + 2, seed });
  // The two snippets themselves are shown by their images.
  const between = whole.length === 1 ? whole : whole.slice(1, -1);
  const ends = await imagesOfRun(trained, { device, bank, indices: pair, data, note: say });
  using progress = progressOf(between.length * noises, json);
  const { picture, evaluations } = await pictureInterpolation(trained, {
    snippets: new Float32Array(between.flatMap(({ snippet }) => [...snippet])),
    noises,
    ends: ends && [ends.subarray(0, ends.length / 2), ends.subarray(ends.length / 2)],
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  await writePicture(out, picture);
  const names = between.map(({ name }) => name);
  const titles = pair.map((index) => titleOf(bank, index));
  print(json, { picture: out, between: pair, names, noises, evaluations }, [
    `columns   ${ends ? `the image of ${titles[0]}, ` : ""}` +
    `${names.length} samples (${names[0]} … ${names.at(-1)})` +
    `${ends ? `, the image of ${titles[1]}` : ` between ${titles.join(" and ")}`}`,
    `rows      ${noises} noises; ${evaluations} network evaluations a sample`,
    `wrote     ${out}`,
  ]);
}

async function transfer(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BANK_TRANSFER_COMMAND, args);
  const { bank: path, count, columns, data, out, json } = options;
  const found = readRun(options.checkpoint, options);
  const source = options.config === undefined && data === undefined
    ? undefined
    : await dataOf(options.config, { data, set: [] });
  using device = await openFor(found);
  using trained = openTrained(device, { ...found, bank: path });
  const bank = bankOf(trained);
  const problem = encoderProblem(bank, found);
  if (problem !== undefined && !options["any-encoder"]) {
    throw new TypeError(
      `Cannot guide ${found.checkpoint} by ${path}: ${problem}. Encode its images as the run did ` +
        `by bank build --like ${bankPathOf(found)}, or take it as it is by --any-encoder`,
    );
  }
  if (problem !== undefined) console.error(`note      ${problem}; the samples may follow nothing`);
  const shown = Math.min(count, bank.size);
  const indices = Uint32Array.from(
    { length: shown },
    (_, i) => Math.floor((i + 0.5) * bank.size / shown),
  );
  const sources = source && await placedImages(trained, {
    device,
    bank,
    indices,
    images: (await loadImages(source.data, { seed: source.train.seed, note: say })).train,
    expected: "--config or --data that the bank was built from",
  });
  using progress = progressOf(shown, json);
  const { picture, evaluations } = await pictureTransfer(trained, {
    indices,
    columns: Math.min(columns, shown),
    sources,
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  await writePicture(out, picture);
  print(json, { picture: out, snippets: [...indices], evaluations }, [
    `samples   ${shown} of the ${bank.size} snippets of ${path}, ` +
    `${evaluations} network evaluations each`,
    ...(sources
      ? ["rows      images of the bank, and under each the sample from its snippet"]
      : []),
    `wrote     ${out}`,
  ]);
}

/** Says why a bank may not mean to a model what the one it was trained with means. */
function encoderProblem(bank: Bank, found: CheckpointConfig): string | undefined {
  using own = BankFile.open(bankPathOf(found));
  if (bank.encoder === undefined) return "the bank does not name its encoder";
  if (own.encoder === undefined) return `the run's own bank ${own.path} does not name its encoder`;
  const difference = encoderDifference(bank.encoder, own.encoder);
  return difference && `another encoder made its snippets, ${difference}`;
}

async function learnText(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BANK_LEARN_TEXT_COMMAND, args);
  const { onnx, output, pooling, picture, out, json } = options;
  if (onnx === undefined && (output !== undefined || pooling !== undefined)) {
    throw new UsageError(
      "Cannot take --output or --pooling without a network: expected --onnx FILE",
    );
  }
  const config = await dataOf(options.config, options);
  using device = await Device.open({ allowFallback: true });
  using bank = loadBank(device, options.bank);
  const { dim, texts = [] } = bank;
  const indices = [...texts.keys()].filter((index) => texts[index]!.trim() !== "");
  if (indices.length < 2) {
    throw new TypeError(
      `Cannot learn texts of ${options.bank}: it has ${indices.length}, expected a bank with a ` +
        "text for each image, such as that of the built-in emoji",
    );
  }
  using encoder = await openTextEncoder({ onnx, output, pooling });
  say(`texts     ${indices.length}, encoded by ${encoder.description.kind}`);
  using snippets = bank.gather(indices);
  const learned = await learn(device, {
    ...options,
    pairs: {
      inputs: await encoder.encode(indices.map((index) => texts[index]!)),
      snippets: await snippets.read(),
      snippetDim: dim,
    },
    loss: "contrastive",
    ends: { source: encoder.description, target: targetOf(bank, options.bank) },
  });
  const shown = evenly(learned.heldOut, TEXT_ROWS);
  const found = shown.length === 0 ? [] : await nearestSnippets(device, {
    bank,
    queries: rowsOf(learned.mapped, { chosen: shown, width: dim }),
    count: ROW_NEIGHBOURS,
  });
  const rows = shown.map((at, row) => {
    const index = indices[learned.heldOut[at]!]!;
    return { index, text: texts[index]!, nearest: found[row]!.map((near) => near.index) };
  });
  const drawn = rows.length > 0 && await pictureOfTexts(picture, { rows, bank, config });
  const { accuracy, loss } = learned;
  print(json, { out, loss, accuracy, rows, ...(drawn && { picture }) }, [
    ...describeLearned(learned),
    ...rows.map(({ text, nearest }) =>
      `text      ${text}: finds ${
        nearest.map((index) => texts[index] || titleOf(bank, index)).join(", ")
      }`
    ),
    ...(drawn
      ? [
        "rows      the image of each of these held-out texts, and the images that it finds",
        `wrote     ${picture}`,
      ]
      : []),
    `wrote     ${out}`,
  ]);
}

/** Draws for each text its image and those that it finds; false if none of the images is there. */
async function pictureOfTexts(
  path: string,
  options: {
    readonly rows: readonly { readonly index: number; readonly nearest: readonly number[] }[];
    readonly bank: Bank;
    readonly config: Config;
  },
): Promise<boolean> {
  const { rows, bank, config } = options;
  const { train: images } = await loadImages(config.data, { seed: config.train.seed, note: say });
  const { imageSize } = images, channels = images.channels as 1 | 3;
  const length = channels * imageSize ** 2;
  let known = 0;
  const read = (indices: readonly number[]) => {
    const pixels = new Float32Array(indices.length * length).fill(1);
    for (const [i, index] of indices.entries()) {
      const at = imageOf(images, { index, bank });
      if (at < 0) continue;
      known++;
      pixels.set(images.read(Uint32Array.of(at)), i * length);
    }
    return pixels;
  };
  const parts = [
    { images: read(rows.map(({ index }) => index)), columns: 1 },
    { images: read(rows.flatMap(({ nearest }) => nearest)), columns: rows[0]!.nearest.length },
  ];
  if (known === 0) {
    say("note      without a picture: expected --config or --data that the bank was built from");
    return false;
  }
  await writePicture(path, pictureOfRows(parts, { imageSize, channels }));
  return true;
}

async function learnFeatures(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_LEARN_FEATURES_COMMAND, args);
  const { key, encoder, out, json } = options;
  const path = positionals[0]!;
  using bank = BankFile.open(options.bank);
  using features = openFeatures(path, { key });
  const { size, dim } = features;
  if (size !== bank.size) {
    throw new TypeError(
      `Cannot learn from ${path}: it has ${size} vectors, expected one for each of the ` +
        `${bank.size} snippets of ${options.bank}`,
    );
  }
  using device = await Device.open({ allowFallback: true });
  const source: EncoderDescription = {
    kind: "features",
    dim,
    fingerprint: "",
    preprocessing: {},
    settings: { encoder },
  };
  const learned = await learn(device, {
    ...options,
    pairs: {
      inputs: features.rows(0, size),
      snippets: bank.rows(0, size),
      snippetDim: bank.dim,
    },
    loss: "cosine",
    ends: { source, target: targetOf(bank, options.bank) },
  });
  const { accuracy, loss } = learned;
  print(json, { out, loss, accuracy }, [...describeLearned(learned), `wrote     ${out}`]);
}

/** What was learned, and what became of the pairs that were held out. */
interface Learned {
  /** Mean loss of the last epoch. */
  readonly loss: number;
  /** Places of the held-out pairs [h]. */
  readonly heldOut: Uint32Array;
  /** Snippets [h, d] that their vectors map to. */
  readonly mapped: Float32Array;
  /** How well these find the right images; null without any. */
  readonly accuracy: RetrievalAccuracy | null;
}

/** Trains a mapper, writes it, and measures it on the pairs that are held out. */
async function learn(
  device: Device,
  options: Pick<MapperTrainingOptions, "pairs" | "loss" | "width" | "epochs" | "seed"> & {
    readonly ends: MapperEnds;
    readonly batch: number;
    readonly "learning-rate": number;
    readonly "held-out": number;
    readonly out: string;
    readonly json: boolean;
  },
): Promise<Learned> {
  const { pairs, ends, epochs, seed, out, json } = options;
  const { snippetDim } = pairs, { dim } = ends.source;
  const size = pairs.snippets.length / snippetDim, share = options["held-out"];
  const kept = share < 1 ? Math.min(Math.round(share * size), MOST_HELD_OUT) : share;
  const { train, heldOut } = kept === 0
    ? { train: Uint32Array.from({ length: size }, (_, i) => i), heldOut: new Uint32Array() }
    : splitIndices(size, { heldOut: kept, seed });
  const part = (chosen: Uint32Array) => ({
    inputs: rowsOf(pairs.inputs, { chosen, width: dim }),
    snippets: rowsOf(pairs.snippets, { chosen, width: snippetDim }),
    snippetDim,
  });
  await Deno.mkdir(dirname(out), { recursive: true });
  using progress = progressOf(epochs, json);
  const started = performance.now();
  let last = NaN;
  using owned = await trainMapper(device, {
    ...options,
    pairs: part(train),
    batchSize: options.batch,
    learningRate: options["learning-rate"],
    onEpoch: (step, loss) => {
      last = loss;
      const seconds = (performance.now() - started) / 1000;
      progress.record({ step, loss, imagesPerSecond: step * train.length / seconds });
    },
  });
  progress.stop();
  await saveMapper(out, owned.mapper, ends);
  if (kept === 0) return { loss: last, heldOut, mapped: new Float32Array(), accuracy: null };
  const { inputs, snippets } = part(heldOut);
  const mapped = await mapVectors(owned.mapper, inputs);
  const accuracy = retrievalAccuracy(mapped, snippets, { snippetDim });
  return { loss: last, heldOut, mapped, accuracy };
}

function describeLearned({ loss, accuracy }: Learned): string[] {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  if (accuracy === null) return [`loss      ${loss.toFixed(4)}; nothing was held out`];
  const { images, top1, top5, cosine } = accuracy;
  return [
    `loss      ${loss.toFixed(4)}; cosine to the right snippet ${cosine.toFixed(3)} on ${images} ` +
    "pairs that were held out",
    `found     the right one of ${images} images first ${percent(top1)}, among five ` +
    `${percent(top5)}; by chance ${percent(1 / images)} and ${percent(Math.min(1, 5 / images))}`,
  ];
}

/** The encoder of a bank that a mapper is to serve. */
function targetOf(bank: EncoderRecords, path: string): EncoderDescription {
  if (bank.encoder !== undefined) return bank.encoder;
  throw new TypeError(
    `Cannot learn to map to ${path}: the bank does not name its encoder, expected one that does`,
  );
}

/** Places of about `count` of some things, evenly spread. */
function evenly(things: ArrayLike<unknown>, count: number): number[] {
  const shown = Math.min(count, things.length);
  return Array.from({ length: shown }, (_, i) => Math.floor((i + 0.5) * things.length / shown));
}

async function nearest(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_NEAREST_COMMAND, args);
  const { count, metric, out, json } = options;
  const config = await dataOf(options.config, options);
  using device = await Device.open({ allowFallback: true, variants: config.device.variants });
  using bank = loadBank(device, options.bank);
  using encoder = await encoderOfBank(bank, { device, onnx: options.onnx });
  const { train: images } = await loadImages(config.data, { seed: config.train.seed, note: say });
  const query = await loadFiles(positionals, config.data.imageSize);
  const queries = await encodeFiles(query, encoder);
  const found = (await nearestSnippets(device, { bank, queries, count, metric }))[0]!;
  const rows = found.map((neighbour) => {
    const name = titleOf(bank, neighbour.index);
    return { ...neighbour, name, image: imageOf(images, { index: neighbour.index, bank }) };
  });
  const shown = rows.filter(({ image }) => image >= 0).map(({ image }) => image);
  if (shown.length === 0) {
    throw new RangeError(
      `Cannot draw the neighbours: none of them is among the ${images.size} configured images, ` +
        "expected --config or --data that the bank was built from",
    );
  }
  const { imageSize } = images, channels = images.channels as 1 | 3;
  const asked = withChannels(query.read(Uint32Array.of(0)), {
    from: query.channels,
    to: channels,
    plane: imageSize ** 2,
  });
  const parts = [{ images: asked, columns: 1 }, {
    images: images.read(Uint32Array.from(shown)),
    columns: shown.length,
  }];
  await writePicture(out, pictureOfRows(parts, { imageSize, channels }));
  print(json, { neighbours: rows.map(({ image: _, ...row }) => row), picture: out }, [
    ...rows.map(({ index, cosine, distance, name }) =>
      `${String(index).padStart(9)}  cosine ${cosine.toFixed(4)}  distance ${distance.toFixed(4)}` +
      `  ${name}`
    ),
    `wrote     ${out}`,
  ]);
}

async function exportBank(args: readonly string[]): Promise<void> {
  const { options: { out, json }, positionals } = parseArguments(BANK_EXPORT_COMMAND, args);
  using file = BankFile.open(positionals[0]!);
  const { size, dim } = file;
  if (out.endsWith(".npy")) {
    await writeNpy(out, { shape: [size, dim], pieces: piecesOf(file) });
  } else if (out.endsWith(".safetensors")) {
    await mergeBanks([file], { path: out });
  } else {
    throw new UsageError(`Cannot export to ${out}: expected a name in .npy or .safetensors`);
  }
  print(json, { path: out, shape: [size, dim] }, [`wrote     ${out}, [${size}, ${dim}] f32`]);
}

async function* piecesOf(file: BankFile): AsyncGenerator<Float32Array> {
  for await (const { rows } of readRows(file)) yield rows;
}

/** The configuration whose data section names the images of a bank. */
async function dataOf(
  config: string | undefined,
  options: { readonly data: string | undefined; readonly set: readonly string[] },
): Promise<Config> {
  const overrides = [...folderOverrides(options.data), ...options.set];
  return config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(config, { overrides });
}

/** The configuration of a run, with the seed of the noises and settings above it. */
function readRun(
  checkpoint: string,
  options: { readonly seed: number | undefined; readonly set: readonly string[] },
): CheckpointConfig {
  const { seed, set } = options;
  const found = readCheckpointConfig(checkpoint, {
    overrides: [...(seed === undefined ? [] : [`sample.seed=${seed}`]), ...set],
  });
  requireImages(found);
  return found;
}

/** A device as a run has it. */
async function openFor(found: CheckpointConfig | undefined): Promise<Device> {
  if (found === undefined) return await Device.open({ allowFallback: true });
  const { allowCpuDriver: allowFallback, variants } = found.config.device;
  return await Device.open({ allowFallback, variants, ...tunedOptions(say) });
}

function bankOf(trained: TrainedModel): NonNullable<TrainedModel["bank"]> {
  if (trained.bank !== undefined) return trained.bank;
  throw new TypeError(
    `Cannot draw from snippets with ${trained.checkpoint}: the model is guided by labels, ` +
      "expected one with model.conditioning snippet",
  );
}

/** The images of the bank nearest to each of some snippets [k, d], as the last part of their rows. */
async function nearestImages(
  trained: TrainedModel,
  options: {
    readonly device: Device;
    readonly bank: Bank;
    readonly snippets: Float32Array;
    readonly data: string | undefined;
  },
): Promise<{ images: Float32Array; columns: number } | undefined> {
  const { device, bank, snippets, data } = options;
  const columns = Math.min(ROW_NEIGHBOURS, bank.size);
  const found = await nearestSnippets(device, { bank, queries: snippets, count: columns });
  const indices = found.flatMap((row) => row.map(({ index }) => index));
  const images = await imagesOfRun(trained, { device, bank, indices, data, note: say });
  return images && { images, columns };
}

/** What a snippet is called. */
function titleOf(bank: Bank, index: number): string {
  return bank.names?.[index] ?? `snippet ${index}`;
}

/** The two indices that words on the command line mean: numbers, or names of images. */
function pairOf(
  bank: ImageRecords & { readonly size: number },
  words: readonly string[],
): [number, number] {
  const indices = words.map((word) =>
    /^-?\d+$/.test(word) ? Number(word) : indexOfName(bank, word)
  );
  const [first, second] = checkIndices(indices, bank.size);
  return [first!, second!];
}

function ownSize(encoder: Encoder): number {
  return Number(encoder.description.preprocessing["size"]);
}

async function loadFiles(paths: readonly string[], imageSize: number): Promise<ImageSet> {
  // Imported here alone, so that the other commands need no native image decoder.
  const { loadImageFiles } = await import("../train/datasets/image_folder.ts");
  return await loadImageFiles(paths, { imageSize });
}

/** Snippets [n, d] of image files, grey for an encoder of grey images. */
async function encodeFiles(images: ImageSet, encoder: Encoder): Promise<Float32Array> {
  const { size, imageSize } = images;
  const channels = Number(encoder.description.preprocessing["channels"]);
  const pixels = images.read(Uint32Array.from({ length: size }, (_, i) => i));
  return await encoder.encode(
    withChannels(pixels, { from: images.channels, to: channels, plane: imageSize ** 2 }),
    { count: size, channels, height: imageSize, width: imageSize },
  );
}

function say(line: string): void {
  console.error(line);
}

function progressOf(total: number, json: boolean): Progress {
  return new Progress({ total, stream: json ? process.stdout : process.stderr, json });
}

async function writePicture(path: string, picture: RawImage): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeFile(path, encodePng(picture));
}

async function writeText(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text);
  console.error(`wrote     ${path}`);
}

function print(json: boolean, value: unknown, lines: readonly string[]): void {
  console.log(json ? JSON.stringify(value) : lines.join("\n"));
}

function show(summary: BankSummary, json: boolean): void {
  console.log(json ? JSON.stringify(summary) : describeBank(summary).join("\n"));
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
