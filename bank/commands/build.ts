/**
 * `deno task bank build` and `import`: banks from images and from vectors.
 *
 * @module
 */

import { rmSync } from "node:fs";
import {
  lookUp,
  parseArguments,
  type ParsedArguments,
  refuseGiven,
  UsageError,
} from "../../cli/arguments.ts";
import { BANK_BUILD_COMMAND, BANK_IMPORT_COMMAND } from "../../cli/commands/bank.ts";
import { requireFiles } from "../../cli/input_files.ts";
import { openDevice } from "../../cli/open_device.ts";
import { prepareOutput } from "../../cli/output_file.ts";
import { openProgress, openProgressLater } from "../../cli/progress.ts";
import { say } from "../../cli/say.ts";
import { shellWord } from "../../cli/shell_word.ts";
import { watchWork } from "../../cli/watch_work.ts";
import type { Device } from "../../kernels/core/device.ts";
import type { Config } from "../../train/config.ts";
import { configHelp } from "../../train/config_help.ts";
import { loadImages } from "../../train/load_data.ts";
import { loadMapper, readMapperEnds } from "../../train/mapper_file.ts";
import { mapVectors } from "../../train/mapper_training.ts";
import { folderOverrides } from "../../train/overrides.ts";
import { BankWriter } from "../bank_writer.ts";
import { compressBank, describeCompression } from "../compress.ts";
import { bankFiles } from "../config.ts";
import type { Encoder } from "../encoders/encoder.ts";
import { encoderOfBank } from "../encoders/open.ts";
import { requireFit } from "../encoders/pixel_pca.ts";
import {
  CLIP_STATISTICS,
  type ColourStatistics,
  IMAGENET_STATISTICS,
} from "../encoders/preprocessing.ts";
import { importFeatures, openFeatures } from "../features.ts";
import { BankFile } from "../file.ts";
import { type ImageSource, parseShard, type Shard, shardOf } from "../image_source.ts";
import { inspectBank } from "../inspect.ts";
import { makeBank, type MakeBankOptions, type Places, requireFree } from "../make.ts";
import { readRows } from "../snippet_source.ts";
import { requireKept } from "../svd.ts";
import { importTorchBank } from "../torch.ts";
import { configOf, show } from "./console.ts";

/** Mean and deviation by the names that `bank build --statistics` knows. */
const STATISTICS: Readonly<Record<"imagenet" | "clip" | "half" | "none", ColourStatistics>> = {
  imagenet: IMAGENET_STATISTICS,
  clip: CLIP_STATISTICS,
  half: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  none: { mean: [0, 0, 0], std: [1, 1, 1] },
};

/** `bank build`: a bank of images, whole or of low rank. */
export async function build(args: readonly string[]): Promise<void> {
  const { options, given } = parseArguments(BANK_BUILD_COMMAND, args, { details: configHelp });
  const { out, rank, json } = options;
  const shard = options.shard === undefined ? undefined : readShard(options.shard);
  const overrides = buildOverrides({ options, given });
  await prepareOutput(out, { inputs: [options.config, options.like, options.onnx] });
  const whole = `${out}.whole`;
  if (rank !== undefined) {
    requireFree(whole, {
      use: "the snippets would be kept there before they are compressed",
      advice: "move it away, or, if an earlier build left it, compress it by " +
        `${compressCommand(whole, out)}, or remove it`,
    });
  }
  const config = await configOf(options.config, { overrides, like: options.like });
  if (options.like === undefined) {
    requireFiles(bankFiles(config.bank));
  }
  using device = await openDevice(config.device, say);
  say(`device    ${device.profile.label}`);
  const decoding = watchWork({ what: "images    decoding", json });
  const { train: images, places } = await loadImages(config.data, {
    seed: config.train.seed,
    note: say,
    onProgress: decoding.advance,
  }).finally(decoding.stop);
  say(`images    ${images.size} of ${images.imageSize} × ${images.imageSize} pixels`);
  if (shard !== undefined) lookUp(() => shardOf(images, shard));
  if (options.like === undefined && config.bank.encoder === "pixel_pca") {
    lookUp(() => requireFit({ ...config.bank, images }));
  }
  const encoding = {
    device,
    images,
    places,
    shard,
    config: config.bank,
    providers: config.device.onnxProviders,
    like: options.like,
    onnx: options.onnx,
    json,
  };
  if (rank === undefined) {
    await encode(encoding, out);
  } else {
    await encode(encoding, whole, (snippets) => lookUp(() => requireKept({ rank }, snippets)));
    await compressWhole(whole, { rank, device, out });
  }
  using file = BankFile.open(out);
  show(inspectBank(file), json);
}

/** Makes a bank of low rank of the whole one, which then goes; where it cannot be made that stays. */
async function compressWhole(
  whole: string,
  { rank, device, out }: { rank: number; device: Device; out: string },
): Promise<void> {
  try {
    using file = BankFile.open(whole);
    const made = await compressBank(file, { rank, device, out });
    for (const line of describeCompression(made)) say(line);
  } catch (error) {
    say(`note      the snippets are kept: ${compressCommand(whole, out)}`);
    throw error;
  }
  rmSync(whole);
}

/** What makes a bank of low rank of the whole one that was kept. */
function compressCommand(whole: string, out: string): string {
  return `deno task bank compress ${shellWord(whole)} --rank N --out ${shellWord(out)}`;
}

function readShard(text: string): Shard {
  const shard = parseShard(text);
  if (shard !== undefined) return shard;
  throw new UsageError(`Cannot read --shard ${text}: expected a part and their number, as 3/8`);
}

/** What the options of `bank build` say of the configuration. */
function buildOverrides(
  { options, given }: Omit<ParsedArguments<typeof BANK_BUILD_COMMAND>, "positionals">,
): string[] {
  const { data, dim, resolution, onnx, statistics, pooling, output, like, set } = options;
  if (like !== undefined) {
    refuseGiven(
      given,
      ["dim", "resolution", "statistics", "pooling", "output"],
      "with --like: that bank says how it was encoded, expected it left out",
    );
    return [...folderOverrides(data), ...set];
  }
  if (onnx === undefined) {
    refuseGiven(
      given,
      ["statistics", "pooling", "output"],
      "without a network: expected --onnx FILE",
    );
  } else {
    refuseGiven(
      given,
      ["dim"],
      "with --onnx: the network says how long a snippet is, expected it left out",
    );
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
  readonly images: ImageSource;
  readonly places: Places;
  readonly shard: Shard | undefined;
  readonly config: Config["bank"];
  readonly providers: readonly string[];
  readonly like: string | undefined;
  /** Where the network of that bank is; where it says by default. */
  readonly onnx: string | undefined;
  readonly json: boolean;
}

/** Writes the bank of the images by the encoder that the configuration or another bank names. */
async function encode(
  encoding: Encoding,
  path: string,
  accept?: MakeBankOptions["accept"],
): Promise<void> {
  const { device, like, onnx, json, ...making } = encoding;
  using opened = new DisposableStack();
  let encoder: Encoder | undefined;
  if (like !== undefined) {
    using bank = BankFile.open(like);
    const { providers } = making;
    encoder = opened.use(await encoderOfBank(bank, { device, onnx, providers }));
  }
  const progress = openProgressLater((_, total) => openProgress(total, { json }));
  const made = await makeBank({
    ...making,
    device,
    encoder,
    out: path,
    accept,
    note: (line) => say(`note      ${line}`),
    onProgress: progress.advance,
  }).finally(progress.stop);
  if (made !== encoder) made?.[Symbol.dispose]();
}

/** `bank import`: a bank of vectors that others made. */
export async function importBank(args: readonly string[]): Promise<void> {
  const { options, positionals, given } = parseArguments(BANK_IMPORT_COMMAND, args);
  const { out, key, mapper, json } = options;
  const path = positionals[0]!;
  if (!/\.(npz|safetensors)$/.test(path)) {
    refuseGiven(
      given,
      ["key"],
      `of ${path}: expected a .npz or .safetensors file, whose arrays have names`,
    );
  }
  await prepareOutput(out, { inputs: [path, mapper] });
  if (mapper !== undefined) await importMapped(path, { out, key, mapper });
  else if (/\.(npy|npz|safetensors)$/.test(path)) await importFeatures(path, { out, key });
  else if (/\.pth?$/.test(path)) importTorchBank(path, { out });
  else {
    throw new UsageError(
      `Cannot import ${path}: expected a name in .npy, .npz, .safetensors, .pt or .pth`,
    );
  }
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
  using device = await openDevice(undefined, say);
  using owned = loadMapper(device, mapperPath);
  using writer = new BankWriter(out, { size: features.size, dim: target.dim, encoder: target });
  for await (const { rows } of readRows(features)) {
    writer.append(await mapVectors(owned.mapper, rows));
  }
  writer.commit();
}
