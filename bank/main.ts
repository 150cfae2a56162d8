/**
 * `deno task bank`: see `BANK_PROGRAM`.
 *
 * @module
 */

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
  BANK_MERGE_COMMAND,
  BANK_NEAREST_COMMAND,
  BANK_PROGRAM,
} from "../cli/commands.ts";
import { plotEnergy, plotMap } from "../cli/plot.ts";
import { Progress } from "../cli/progress.ts";
import { runCommand } from "../cli/run_command.ts";
import { Device } from "../kernels/core/device.ts";
import { type Config, configReference, parseConfig } from "../train/config.ts";
import { loadConfig } from "../train/load_config.ts";
import type { ImageSet } from "../train/datasets/image_set.ts";
import { tileImages } from "../train/datasets/picture.ts";
import { encodePng } from "../train/datasets/png.ts";
import { loadData } from "../train/load_data.ts";
import { type Bank, checkIndices } from "./bank.ts";
import { buildBank, encodeImages } from "./build.ts";
import { compressBank, compressionReads } from "./compress.ts";
import type { Encoder } from "./encoders/encoder.ts";
import type { OnnxPreprocessing } from "./encoders/onnx.ts";
import { PixelPca } from "./encoders/pixel_pca.ts";
import { storedEncoder } from "./encoders/stored.ts";
import { importFeatures } from "./features.ts";
import { BankFile, writeBank, writeLowRankBank } from "./file.ts";
import { type ImageSource, type Shard, shardOf } from "./image_source.ts";
import { type BankSummary, describeBank, inspectBank } from "./inspect.ts";
import { interpolateSnippets } from "./interpolate.ts";
import { loadBank } from "./load.ts";
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
  export: exportBank,
};

await runCommand(main, { debug: Deno.args.includes("--debug") });

async function main(): Promise<void> {
  const { command, args } = selectCommand(BANK_PROGRAM, Deno.args);
  await COMMANDS[command](args);
}

async function build(args: readonly string[]): Promise<void> {
  const { options } = parseArguments(BANK_BUILD_COMMAND, args, { details: configReference });
  const { out, rank, json } = options;
  const shard = options.shard === undefined ? undefined : parseShard(options.shard);
  const overrides = [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...(options.dim ? [`bank.dim=${options.dim}`] : []),
    ...(options.resolution ? [`bank.resolution=${options.resolution}`] : []),
    ...options.set,
  ];
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  const say = (line: string) => console.error(line);
  using device = await Device.open({ allowFallback: true, variants: config.device.variants });
  say(`device    ${device.profile.label}`);
  const { train: images } = await loadData(config.data, { seed: config.train.seed, note: say });
  say(`images    ${images.size} of ${images.imageSize} × ${images.imageSize} pixels`);
  const onnx = await onnxOf(options, config.bank.resolution);
  const encoding = { device, images, shard, bank: config.bank, onnx, json };
  if (rank === undefined) {
    await encode(encoding, out);
  } else {
    const whole = `${out}.whole`;
    try {
      await encode(encoding, whole);
      using file = BankFile.open(whole);
      const factors = await factorize(file, { rank });
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

/** How a build encodes. */
interface Encoding {
  readonly device: Device;
  readonly images: ImageSource;
  readonly shard: Shard | undefined;
  readonly bank: Config["bank"];
  readonly onnx: (OnnxPreprocessing & { readonly path: string }) | undefined;
  readonly json: boolean;
}

/** Fits or opens the encoder and writes the bank of the images. */
async function encode(encoding: Encoding, path: string): Promise<void> {
  const { images, shard, onnx, json } = encoding;
  const encoded = shard === undefined ? images : shardOf(images, shard);
  const fitted = onnx === undefined ? images.size : 0;
  using progress = progressOf(fitted + encoded.size, json);
  using encoder = await makeEncoder(encoding, (done) => progress.advance(done));
  await buildBank({
    images: encoded,
    encoder,
    path,
    onProgress: (done) => progress.advance(fitted + done),
  });
}

async function makeEncoder(
  encoding: Encoding,
  onProgress: (done: number) => void,
): Promise<Encoder> {
  const { device, images, bank: { dim, resolution, whiten }, onnx } = encoding;
  if (onnx === undefined) {
    // Every shard fits the same encoder, to all images.
    return await PixelPca.fit({ device, images, dim, resolution, whiten, onProgress });
  }
  const { path, ...preprocessing } = onnx;
  const { OnnxEncoder } = await import("./encoders/onnx.ts");
  return await OnnxEncoder.open({ device, path, preprocessing });
}

/** What the options of `bank build` say of a network; undefined without one. */
async function onnxOf(
  options: {
    readonly onnx: string | undefined;
    readonly statistics: "imagenet" | "clip" | "none";
    readonly pooling: NonNullable<OnnxPreprocessing["pooling"]>;
    readonly output: string | undefined;
    readonly dim: number | undefined;
  },
  size: number,
): Promise<Encoding["onnx"]> {
  const { onnx: path, statistics, pooling, output, dim } = options;
  if (path === undefined) return undefined;
  if (dim !== undefined) {
    throw new UsageError("Cannot take --dim with --onnx: the network says how long a snippet is");
  }
  const { CLIP_STATISTICS, IMAGENET_STATISTICS } = await import("./encoders/onnx.ts");
  const known = { imagenet: IMAGENET_STATISTICS, clip: CLIP_STATISTICS, none: {} };
  return {
    path,
    size,
    pooling,
    ...known[statistics],
    ...(output === undefined ? {} : { output }),
  };
}

async function importBank(args: readonly string[]): Promise<void> {
  const { options: { out, key, json }, positionals } = parseArguments(BANK_IMPORT_COMMAND, args);
  const path = positionals[0]!;
  if (/\.(npy|npz|safetensors)$/.test(path)) await importFeatures(path, { out, key });
  else importTorchBank(path, { out });
  using file = BankFile.open(out);
  show(inspectBank(file), json);
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
  using progress = progressOf(compressionReads(file.size, storage), json);
  const made = await compressBank(file, {
    ...(rank === undefined ? { energy: energy! } : { rank }),
    path,
    storage,
    onProgress: (done) => progress.advance(done),
  });
  progress.stop();
  const { bytes, compared } = made;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  print(json, made, [
    `rank      ${made.rank} keeps ${percent(made.energy)} of the energy`,
    `storage   ${storage}, ${percent(bytes.after / bytes.before)} of ${bytes.before} bytes`,
    `cosine    ${made.meanCosine.toFixed(6)} to the snippets before in the mean, ` +
    `${made.leastCosine.toFixed(6)} at least, of ${compared}`,
  ]);
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
  const { bank: path, out = path, class: className, size, json } = options;
  using device = await Device.open({ allowFallback: true });
  using bank = loadBank(device, path);
  using encoder = await encoderOf(bank, { device, onnx: options.onnx });
  const label = className === undefined ? -1 : bank.classes.indexOf(className);
  if (className !== undefined && label < 0) {
    throw new RangeError(
      `Cannot add to class ${className}: the bank has the classes ` +
        `${bank.classes.join(", ") || "of no name"}`,
    );
  }
  const images = await loadFiles(positionals, size ?? ownSize(encoder));
  const { snippets } = await encodeImages({ images, encoder });
  const added = positionals.map((name, i) => {
    const snippet = snippets.slice(i * bank.dim, (i + 1) * bank.dim);
    return { index: bank.addExternal(snippet, { name, label }), name };
  });
  await bank.save(out);
  print(json, { added, path: out, size: bank.size }, [
    ...added.map(({ index, name }) => `snippet   ${index} is ${name}`),
    `bank      ${out}, ${bank.size} snippets`,
  ]);
}

function interpolate(args: readonly string[]): void {
  const { options, positionals } = parseArguments(BANK_INTERPOLATE_COMMAND, args);
  const { bank, mode, steps, seed, out, json } = options;
  using file = BankFile.open(bank);
  const indices = positionals.map((word) => placeOf(file, word));
  checkIndices(indices, file.size);
  const [first, second] = indices.map((index) => file.rows(index, 1));
  const between = interpolateSnippets(first!, second!, { mode, steps, seed });
  const { encoder, encoderWeights } = file;
  const names = between.map(({ name }) => `${indices.join(" to ")}, ${name}`);
  const snippets = new Float32Array(between.flatMap(({ snippet }) => [...snippet]));
  writeBank(out, { dim: file.dim, snippets, encoder, encoderWeights, names });
  print(json, { path: out, names }, [
    `bank      ${out}, ${names.length} snippets`,
    ...names.map((name, i) => `snippet   ${i} is ${name}`),
  ]);
}

async function nearest(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_NEAREST_COMMAND, args);
  const { count, metric, out, json } = options;
  const overrides = [
    ...(options.data ? ["data.kind=folder", `data.path=${JSON.stringify(options.data)}`] : []),
    ...options.set,
  ];
  const config = options.config === undefined
    ? parseConfig("", { overrides })
    : await loadConfig(options.config, { overrides });
  using device = await Device.open({ allowFallback: true, variants: config.device.variants });
  using bank = loadBank(device, options.bank);
  using encoder = await encoderOf(bank, { device, onnx: options.onnx });
  const { train: images } = await loadData(config.data, {
    seed: config.train.seed,
    note: (line) => console.error(line),
  });
  const query = await loadFiles(positionals, config.data.imageSize);
  const { snippets: queries } = await encodeImages({ images: query, encoder });
  const found = (await nearestSnippets(device, { bank, queries, count, metric }))[0]!;
  const rows = found.map((neighbour) => {
    const name = bank.names?.[neighbour.index] ?? `snippet ${neighbour.index}`;
    return { ...neighbour, name, image: imageOf(images, { index: neighbour.index, bank }) };
  });
  const shown = rows.filter(({ image }) => image >= 0).map(({ image }) => image);
  if (shown.length === 0) {
    throw new RangeError(
      `Cannot draw the neighbours: none of them is among the ${images.size} configured images, ` +
        "expected --config or --data that the bank was built from",
    );
  }
  const pixels = [query.read(Uint32Array.of(0)), images.read(Uint32Array.from(shown))];
  const picture = tileImages(new Float32Array(pixels.flatMap((each) => [...each])), {
    columns: 1 + shown.length,
    imageSize: images.imageSize,
    channels: 3,
    scale: Math.max(1, Math.floor(128 / images.imageSize)),
  });
  await Deno.writeFile(out, encodePng(picture));
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

/** The place among the images of the one behind a snippet: by its name, or its index; or -1. */
function imageOf(images: ImageSource, snippet: { index: number; bank: Bank }): number {
  const { index, bank } = snippet;
  const name = bank.names?.[index];
  if (images.names?.[index] === name && index < images.size) return index;
  return name === undefined ? -1 : images.names?.indexOf(name) ?? -1;
}

/** The index that a word on the command line means: a number, or the name of an image. */
function placeOf(file: BankFile, word: string): number {
  return /^-?\d+$/.test(word) ? Number(word) : indexOfName(file, word);
}

async function encoderOf(
  bank: Bank,
  options: { readonly device: Device; readonly onnx: string | undefined },
): Promise<Encoder> {
  const { device, onnx } = options;
  if (onnx !== undefined) {
    const { OnnxEncoder } = await import("./encoders/onnx.ts");
    return await OnnxEncoder.forBank({ device, path: onnx, bank });
  }
  const encoder = storedEncoder(device, bank);
  if (encoder !== undefined) return encoder;
  throw new TypeError(
    `Cannot encode an image for the bank: its encoder is ${bank.encoder?.kind ?? "not known"}, ` +
      "expected one that is stored in the bank, pixel_pca, or the network as --onnx",
  );
}

function ownSize(encoder: Encoder): number {
  return Number(encoder.description.preprocessing["size"]);
}

async function loadFiles(paths: readonly string[], imageSize: number): Promise<ImageSet> {
  // Imported here alone, so that the other commands need no native image decoder.
  const { loadImageFiles } = await import("../train/datasets/image_folder.ts");
  return await loadImageFiles(paths, { imageSize });
}

function progressOf(total: number, json: boolean): Progress {
  return new Progress({ total, stream: json ? process.stdout : process.stderr, json });
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
