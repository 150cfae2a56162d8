/**
 * Latent shards from images: the layout that {@linkcode LatentShards} reads, as LightningDiT and GMem
 * extract it.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { directoryPath } from "../../bank/directory.ts";
import {
  type EncoderDescription,
  identityOf,
  type ImageBatchShape,
} from "../../bank/encoders/encoder.ts";
import type { ImageSource } from "../../bank/image_source.ts";
import { hashImages, PartFile, requireUnchanged } from "../../bank/part_file.ts";
import type { Complete } from "../../kernels/core/complete.ts";
import { counted, requireCount } from "../../kernels/core/counted.ts";
import { CheckpointError } from "../../kernels/core/errors.ts";
import { parseTexts } from "../../kernels/core/json.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { SafetensorsWriter } from "../../kernels/core/safetensors_writer.ts";
import { sha256Hex } from "../../kernels/core/sha256.ts";
import { elementsOf } from "../../kernels/core/tensor.ts";
import { requireDiskSpace } from "../disk_space.ts";
import { mirrorRows } from "../mirror.ts";
import { STATISTICS_FILE } from "./latent_scaling.ts";
import { CLASSES_KEY, ENCODING_KEY, IMAGES_KEY, NAMES_KEY } from "./latent_shards.ts";

/** What a tokenizer makes of images: latents, or a normal distribution for each. */
export interface LatentDistribution {
  /** Means [n, C, H, W], or the latents themselves. */
  readonly mean: Float32Array;
  /** Standard deviations [n, C, H, W]; undefined where the latents are certain. */
  readonly std: Float32Array | undefined;
}

/** The encoder of a tokenizer. */
export interface LatentEncoder {
  /** Height and width in pixels of the images that it takes (S). */
  readonly imageSize: number;
  /** Channels of a latent (C), and its height and width. */
  readonly latent: { readonly channels: number; readonly imageSize: number };
  /** What tells it from others, such as the SHA-256 of its file. */
  readonly fingerprint: string;
  /** Encodes images [n, 3, S, S] with values in [−1, 1]. */
  encode(images: Float32Array): Promise<LatentDistribution>;
}

/** What makes tokens of images, such as `OnnxEncoder` of DINOv2. */
export interface TokenEncoder {
  /** Length d of a token. */
  readonly dim: number;
  /** Patch tokens of an image (T). */
  readonly patches: number;
  /** What tells it from others, but for `source`: where its file lies. */
  readonly description: Pick<EncoderDescription, "fingerprint" | "source">;
  /** The CLS tokens [n, d] and patch tokens [n, T, d] of images [n, 3, H, W] in [−1, 1]. */
  tokens(
    images: Float32Array,
    shape: ImageBatchShape,
  ): Promise<{ readonly cls: Float32Array; readonly patches: Float32Array }>;
}

/** What {@linkcode encodeLatents} encodes, by what, and where to. */
export interface EncodeLatentsOptions {
  /** The images, in colour; labels, classes and names are kept where there are some. */
  readonly images: ImageSource;
  /** What makes latents of them. */
  readonly encoder: LatentEncoder;
  /** The folder of the shards, which is made where there is none. */
  readonly out: string | URL;
  /** Makes `cls_tokens` of the images, which become the snippets; none by default. */
  readonly tokenEncoder?: TokenEncoder | undefined;
  /** Keep its patch tokens as well, as `representations`, for the alignment loss. Default false. */
  readonly patchTokens?: boolean | undefined;
  /** Encode the mirrored images as well, as `latents_flip` and `representations_flip`. Default false. */
  readonly flip?: boolean | undefined;
  /** Take a sample of the distribution, as the official code does, or its mean. Default sample. */
  readonly posterior?: "sample" | "mean" | undefined;
  /** Seed of the samples. Default 0. */
  readonly seed?: number | undefined;
  /** Type of the latents in the shards. Default F32, as the official code has it. */
  readonly dtype?: "F32" | "F16" | undefined;
  /** Images in each shard but the last. Default 10,000, as the official code has it. */
  readonly shardSize?: number | undefined;
  /** Called after each batch with the number of images that are done, and N. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Raised when the same options come to mean other shards, so that those of another are refused. */
const FORMAT = 1;

/** Key of the shards' metadata under which they say by what they were made, whatever the images. */
const SETTINGS_KEY = "settings";

/** Images that go through the network at once: they are large, and so are its activations. */
const BATCH = 4;

/** Rows that are copied at once from the part file. */
const COPIED_ROWS = 256;

/** The largest number of each type. */
const LARGEST = { F32: 3.4028234663852886e38, F16: 65504 };

const NUMBER_BYTES = { F32: 4, F16: 2 };

/** Digits of the number in a shard's name at least, as in the official code. */
const DIGITS = 3;

/**
 * Encodes all images of a source to latent shards, a few at a time: latent i of all shards is that of
 * image i. A shard takes its name when it is complete.
 *
 * Until then its latents are kept beside it in `SHARD.part`. A call that was killed goes on from there when
 * it is made again with the same options and images, by number and names, with the same result; finished
 * shards stay as they are. The pixels of the first and of the last image in `SHARD.part` are compared with
 * what they were, by a hash.
 *
 * A sample of the posterior is mean + std · ε, with ε of Philox, a function of the seed, the image's index,
 * and whether it is mirrored; it is drawn once, as LightningDiT and GMem do.
 *
 * Throws a TypeError if the images are not those that the encoder takes, there are no patch tokens to
 * keep or an encoder gives another count of numbers than it says, a RangeError if the shard size is not a
 * positive integer, there is no such posterior or dtype or a latent has a number that the type cannot hold, a
 * {@linkcode CheckpointError} if the folder holds safetensors files of another origin, if an image has changed
 * since the call that was killed, or if the disk has too little room or refuses, and what encoder and images
 * throw.
 *
 * @example
 * ```ts
 * import { encodeLatents, ImageSet, type LatentEncoder, LatentShards } from "@gmem/gmem";
 *
 * const encoder: LatentEncoder = { // in place of an OnnxLatentEncoder: the images themselves
 *   imageSize: 1, latent: { channels: 3, imageSize: 1 }, fingerprint: "identity",
 *   encode: (images) => Promise.resolve({ mean: images, std: undefined }),
 * };
 * const pixels = Uint8Array.of(255, 0, 0);
 * const images = new ImageSet({ imageSize: 1, channels: 3, pixels, names: ["red"] });
 * const out = Deno.makeTempDirSync();
 * await encodeLatents({ images, encoder, out });
 * {
 *   using latents = await LatentShards.open(out);
 *   console.log(latents.names, latents.read(Uint32Array.of(0)));
 *   // [ "red" ] Float32Array(3) [ 1, -1, -1 ]
 * }
 * Deno.removeSync(out, { recursive: true });
 * ```
 */
export async function encodeLatents(options: EncodeLatentsOptions): Promise<void> {
  const settled = settle(options);
  const { images, encoder, shardSize, posterior, dtype } = settled;
  requireOneOf("Cannot encode images: posterior", posterior, ["sample", "mean"]);
  requireOneOf("Cannot encode images: dtype", dtype, Object.keys(NUMBER_BYTES));
  if (images.imageSize !== encoder.imageSize || images.channels !== 3) {
    throw new TypeError(
      `Cannot encode images: they are ${images.channels} × ${images.imageSize} × ` +
        `${images.imageSize}, expected 3 × ${encoder.imageSize} × ${encoder.imageSize}`,
    );
  }
  requireCount("Cannot encode images: shardSize", shardSize, 1);
  if (options.patchTokens && !options.tokenEncoder?.patches) {
    throw new TypeError(
      "Cannot keep patch tokens: expected a token encoder that gives more than one vector an image",
    );
  }
  const directory = directoryPath(options.out);
  await Deno.mkdir(directory, { recursive: true });
  const work: Work = { ...settled, encoding: describeEncoding(settled) };
  const names = shardNames(Math.ceil(images.size / shardSize)), expected = new Set(names);
  const finished = shardsIn(directory, {
    isOwn: ({ metadata }, name) => expected.has(name) && metadata[ENCODING_KEY] === work.encoding,
  });
  const shards = names.map((name, index) => ({
    path: join(directory, name),
    first: index * shardSize,
    size: Math.min(shardSize, images.size - index * shardSize),
    finished: finished.has(name),
  }));
  requireRoom(directory, { ...work, shards });
  for (const shard of shards) {
    if (!shard.finished) await encodeShard(shard, work);
  }
}

/**
 * Checks, before images are decoded to see which can be, that a folder holds no shards of another encoder, of other
 * settings or of images that are not among `names`, which {@linkcode encodeLatents} would refuse after it.
 *
 * Throws a {@linkcode CheckpointError} as that does.
 */
export function requireOwnShards(
  options: EncodingOptions & { readonly names: readonly string[] },
): void {
  const directory = directoryPath(options.out), names = new Set(options.names);
  if (!existsSync(directory)) return;
  const { settings } = settle(options);
  shardsIn(directory, {
    isOwn: ({ metadata }) =>
      metadata[ENCODING_KEY] !== undefined &&
      (metadata[SETTINGS_KEY] ?? settings) === settings &&
      parseTexts(metadata[NAMES_KEY] ?? "[]")?.every((name) => names.has(name)) === true,
  });
}

/** How images are encoded, whichever they are. */
type EncodingOptions = Omit<EncodeLatentsOptions, "images">;

/** The options with defaults for all that has one, and what follows from them. */
type Settled<Options> = Options & Complete<Omit<EncodingOptions, "tokenEncoder" | "onProgress">> & {
  /** The tensors of the shards, in their order in a row. */
  readonly columns: readonly Column[];
  /** All that decides what the shards will be but for the images, as a SHA-256. */
  readonly settings: string;
};

function settle<Options extends EncodingOptions>(options: Options): Settled<Options> {
  const { encoder, tokenEncoder, patchTokens = false, flip = false } = options;
  const { posterior = "sample", seed = 0, dtype = "F32", shardSize = 10_000 } = options;
  const columns = columnsOf({ encoder, tokenEncoder, patchTokens, flip, dtype });
  const settings = sha256Hex(JSON.stringify([
    FORMAT,
    encoder.fingerprint,
    tokenEncoder ? identityOf(tokenEncoder.description) : null,
    columns,
    posterior === "sample" ? seed : posterior,
    shardSize,
  ]));
  return {
    ...options,
    ...{ patchTokens, flip, posterior, seed, dtype, shardSize },
    columns,
    settings,
  };
}

/** What is encoded, and what becomes of it. */
type Work = Settled<EncodeLatentsOptions> & {
  /** All that decides what the shards will be, as a SHA-256. */
  readonly encoding: string;
};

/** A part of the images and its file. */
interface Shard {
  readonly path: string;
  /** Index of its first image. */
  readonly first: number;
  /** Number of its images. */
  readonly size: number;
  readonly finished: boolean;
}

function describeEncoding({ images, settings }: Settled<EncodeLatentsOptions>): string {
  const { size, imageSize, names = [], classes = [] } = images;
  return sha256Hex(JSON.stringify([settings, size, imageSize, names, classes]));
}

/** Names in whose order the shards follow each other, as the official code gives them. */
function shardNames(count: number): string[] {
  const digits = Math.max(DIGITS, String(count - 1).length);
  return Array.from(
    { length: count },
    (_, i) => `latents_rank00_shard${String(i).padStart(digits, "0")}.safetensors`,
  );
}

/** The names of the shards that are there already. Throws if a file is there that is none of one's own. */
function shardsIn(
  directory: string,
  { isOwn }: { readonly isOwn: (file: SafetensorsFile, name: string) => boolean },
): Set<string> {
  const found = [...Deno.readDirSync(directory)].map(({ name }) => name)
    .filter((name) => name.endsWith(".safetensors") && name !== STATISTICS_FILE);
  for (const name of found.sort()) {
    const path = join(directory, name);
    using file = SafetensorsFile.open(path);
    if (isOwn(file, name)) continue;
    throw new CheckpointError(
      `Cannot write latents to ${directory}: its ${name} is of other images, another encoder or ` +
        "other settings, expected a folder without shards, or those of the same command",
      { path },
    );
  }
  return new Set(found);
}

/** A tensor of the shards, of which the row that is kept of an image has a part. */
interface Column {
  /** Its name in the shards. */
  readonly name: string;
  /** Sizes of its axes for one image. */
  readonly shape: readonly number[];
  /** Its type in the shards. */
  readonly dtype: "F32" | "F16";
  /** Place of its first number in the row, and how many there are. */
  readonly start: number;
  readonly length: number;
}

/** The tensors of the shards, in their order in a row. */
function columnsOf(
  options:
    & Pick<EncodingOptions, "encoder" | "tokenEncoder">
    & Complete<Pick<EncodingOptions, "patchTokens" | "flip" | "dtype">>,
): Column[] {
  const { encoder, tokenEncoder, patchTokens, flip, dtype } = options;
  const { channels, imageSize } = encoder.latent, columns: Column[] = [];
  let start = 0;
  const add = (column: Pick<Column, "name" | "shape" | "dtype">) => {
    const length = elementsOf(column.shape);
    columns.push({ ...column, start, length });
    start += length;
  };
  const latent = { shape: [channels, imageSize, imageSize], dtype };
  add({ name: "latents", ...latent });
  if (flip) add({ name: "latents_flip", ...latent });
  if (tokenEncoder) {
    // Tokens are compared by their directions, for which halves are exact enough.
    const { dim, patches } = tokenEncoder;
    const tokens = { shape: [patches, dim], dtype: "F16" } as const;
    add({ name: "cls_tokens", shape: [dim], dtype: "F16" });
    if (patchTokens) add({ name: "representations", ...tokens });
    if (patchTokens && flip) add({ name: "representations_flip", ...tokens });
  }
  return columns;
}

/** Numbers in the row that is kept of an image. */
function rowLength(columns: readonly Column[]): number {
  return columns.reduce((sum, { length }) => sum + length, 0);
}

/** Throws unless the disk has room for the shards to come, and for the part file of one. */
function requireRoom(
  directory: string,
  { columns, shards }: Pick<Work, "columns"> & { readonly shards: readonly Shard[] },
): void {
  const sizes = shards.filter(({ finished }) => !finished).map(({ size }) => size);
  const images = sizes.reduce((sum, size) => sum + size, 0);
  const each = columns.reduce((sum, { length, dtype }) => sum + length * NUMBER_BYTES[dtype], 0);
  // No shard is larger than the first.
  const bytes = images * each + (sizes[0] ?? 0) * rowLength(columns) * NUMBER_BYTES.F32;
  requireDiskSpace(directory, bytes, {
    problem: `Cannot write latents to ${directory}: those of ${counted(images, "image")} take`,
    expected: "room or another disk",
  });
}

async function encodeShard(
  { path, first, size }: Shard,
  work: Work,
): Promise<void> {
  const { images, encoding, onProgress } = work, dim = rowLength(work.columns);
  using part = PartFile.open(`${path}.part`, { key: `${encoding} ${first}`, dim });
  await requireUnchanged(part, { images, first, path });
  while (part.rows < size) {
    const begin = first + part.rows, count = Math.min(BATCH, size - part.rows);
    const indices = Uint32Array.from({ length: count }, (_, i) => begin + i);
    const pixels = await images.read(indices);
    part.append(await encodeBatch(pixels, indices, work), hashImages(pixels, count));
    onProgress?.(first + part.rows, images.size);
  }
  writeShard(part, { ...work, path, first, size });
  part.remove();
}

/** Rows [n, all columns] of images. */
async function encodeBatch(
  pixels: Float32Array,
  indices: Uint32Array,
  work: Work,
): Promise<Float32Array> {
  const { images, tokenEncoder, columns, patchTokens, flip } = work;
  const row = rowLength(columns), count = indices.length;
  const rows = new Float32Array(count * row);
  /** Puts what was made of the images into its column, where there is one. */
  const keep = (name: string, values: Float32Array) => {
    const column = columns.find((each) => each.name === name);
    if (!column) return;
    const { start, length } = column;
    requireLength(values, { what: name, expected: count * length });
    for (const [i, index] of indices.entries()) {
      const own = values.subarray(i * length, (i + 1) * length);
      requireStorable(own, index, { images, column });
      rows.set(own, i * row + start);
    }
  };
  const { imageSize: height, channels } = images;
  const shape = { count, channels, height, width: height };
  for (const mirrored of flip ? [0, 1] : [0]) {
    const seen = mirrored ? mirrorRows(pixels.slice(), height) : pixels;
    const ending = mirrored ? "_flip" : "";
    keep(`latents${ending}`, await encodeLatent(seen, indices, { ...work, mirrored }));
    if (!tokenEncoder || (mirrored && !patchTokens)) continue;
    const { cls, patches } = await tokenEncoder.tokens(seen, shape);
    if (!mirrored) keep("cls_tokens", cls);
    keep(`representations${ending}`, patches);
  }
  return rows;
}

/** Latents [n, C, H, W] of images or of their mirror images. */
async function encodeLatent(
  pixels: Float32Array,
  indices: Uint32Array,
  options: Work & { readonly mirrored: number },
): Promise<Float32Array> {
  const { encoder, posterior, seed, mirrored } = options;
  const { mean, std } = await encoder.encode(pixels);
  if (!std || posterior === "mean") return mean;
  const { channels, imageSize } = encoder.latent, length = channels * imageSize ** 2;
  const expected = indices.length * length, noise = new Float32Array(length);
  requireLength(mean, { what: "mean", expected });
  requireLength(std, { what: "std", expected });
  const random = new Random(seed, Stream.Posterior), latents = mean.slice();
  for (const [i, index] of indices.entries()) {
    random.fillNormal(noise, { step: mirrored, sample: index });
    for (let k = 0; k < length; k++) latents[i * length + k]! += std[i * length + k]! * noise[k]!;
  }
  return latents;
}

/** Throws where an encoder gave more or fewer numbers than its description says. */
function requireLength(
  values: Float32Array,
  { what, expected }: { what: string; expected: number },
): void {
  if (values.length === expected) return;
  throw new TypeError(
    `Cannot encode images: the encoder gave ${what} of ${values.length} numbers, ` +
      `expected ${expected}`,
  );
}

function requireStorable(
  values: Float32Array,
  index: number,
  { images, column: { name, dtype } }: { images: ImageSource; column: Column },
): void {
  const wrong = values.findIndex((value) => !(Math.abs(value) <= LARGEST[dtype]));
  if (wrong < 0) return;
  throw new RangeError(
    `Cannot encode image ${images.names?.[index] ?? index}: ${name} would hold ${values[wrong]}, ` +
      `expected numbers that ${dtype} holds`,
  );
}

/** Writes the rows of a part file as a shard. */
function writeShard(
  part: PartFile,
  work: Work & Pick<Shard, "path" | "first" | "size">,
): void {
  const { images, columns, encoding, settings, path, first, size } = work;
  const row = rowLength(columns);
  const labels = images.labels &&
    BigInt64Array.from({ length: size }, (_, i) => BigInt(images.labels![first + i]!));
  using writer = new SafetensorsWriter(path, [
    ...columns.map(({ name, dtype, shape }) => [name, { dtype, shape: [size, ...shape] }] as const),
    ...(labels ? [["labels", { dtype: "I64", shape: [size] }] as const] : []),
  ], {
    metadata: {
      [ENCODING_KEY]: encoding,
      [SETTINGS_KEY]: settings,
      [IMAGES_KEY]: String(images.size),
      ...(images.names &&
        { [NAMES_KEY]: JSON.stringify(images.names.slice(first, first + size)) }),
      ...(labels && images.classes?.length && { [CLASSES_KEY]: JSON.stringify(images.classes) }),
    },
  });
  for (let begin = 0; begin < size; begin += COPIED_ROWS) {
    const count = Math.min(COPIED_ROWS, size - begin), rows = part.read(begin, count);
    for (const { name, dtype, start, length } of columns) {
      const values = new Float32Array(count * length);
      for (let i = 0; i < count; i++) {
        const place = i * row + start;
        values.set(rows.subarray(place, place + length), i * length);
      }
      writer.append(name, dtype === "F16" ? Float16Array.from(values) : values);
    }
  }
  if (labels) writer.append("labels", labels);
  writer.commit();
}
