/**
 * Latent shards from images: the layout that {@linkcode LatentShards} reads, as LightningDiT and GMem
 * extract it.
 *
 * @module
 */

import { join } from "node:path";
import { directoryPath } from "../../bank/directory.ts";
import type { ImageSource } from "../../bank/image_source.ts";
import { hashImages, PartFile, requireUnchanged } from "../../bank/part_file.ts";
import { CheckpointError } from "../../kernels/core/errors.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { SafetensorsFile, SafetensorsWriter } from "../../kernels/core/safetensors.ts";
import { requireDiskSpace } from "../disk_space.ts";
import { STATISTICS_FILE } from "./latent_scaling.ts";
import { NAMES_KEY } from "./latent_shards.ts";

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

/** What {@linkcode encodeLatents} encodes, by what, and where to. */
export interface EncodeLatentsOptions {
  /** The images, in colour; labels and names are kept where there are some. */
  readonly images: ImageSource;
  /** What makes latents of them. */
  readonly encoder: LatentEncoder;
  /** The folder of the shards, which is made where there is none. */
  readonly directory: string | URL;
  /** Encode the mirrored images as well, as `latents_flip`. Default false. */
  readonly flip?: boolean;
  /** Take a sample of the distribution, as the official code does, or its mean. Default sample. */
  readonly posterior?: "sample" | "mean";
  /** Seed of the samples. Default 0. */
  readonly seed?: number;
  /** Type of the latents in the shards. Default F32, as the official code has it. */
  readonly dtype?: "F32" | "F16";
  /** Images in each shard but the last. Default 10,000, as the official code has it. */
  readonly shardSize?: number;
  /** Called after each batch with the number of images that are done, of N. */
  readonly onProgress?: (done: number) => void;
}

/** Raised when the same options come to mean other shards, so that those of another are refused. */
const FORMAT = 1;

/** Key of the shards' metadata under which they say what they were made of. */
const ENCODING_KEY = "encoding";

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
 * Throws a TypeError if the images are not those that the encoder takes, a RangeError if the shard size is
 * not a positive integer or a latent has a number that the type cannot hold, a {@linkcode CheckpointError}
 * if the folder holds safetensors files of another origin, if an image has changed since the call that was
 * killed, or if the disk has too little room or refuses, and what encoder and images throw.
 *
 * @example
 * ```ts ignore
 * using encoder = await OnnxLatentEncoder.open("vae_encoder.onnx", { channels: 32, imageSize: 16 });
 * const { images } = await openImageFolder("photos", { imageSize: encoder.imageSize });
 * await encodeLatents({ images, encoder, directory: "data/photos_latents", flip: true });
 * using latents = await LatentShards.open("data/photos_latents");
 * ```
 */
export async function encodeLatents(options: EncodeLatentsOptions): Promise<void> {
  const { images, encoder, shardSize = 10_000 } = options;
  if (images.imageSize !== encoder.imageSize || images.channels !== 3) {
    throw new TypeError(
      `Cannot encode images: they are ${images.channels} × ${images.imageSize} × ` +
        `${images.imageSize}, expected 3 × ${encoder.imageSize} × ${encoder.imageSize}`,
    );
  }
  if (!Number.isInteger(shardSize) || shardSize < 1) {
    throw new RangeError(
      `Cannot encode images: shardSize is ${shardSize}, expected a positive integer`,
    );
  }
  const directory = directoryPath(options.directory);
  await Deno.mkdir(directory, { recursive: true });
  const encoding = await describeEncoding(options);
  const names = shardNames(Math.ceil(images.size / shardSize));
  const finished = finishedShards(directory, { names, encoding });
  const shards = names.map((name, index) => ({
    path: join(directory, name),
    first: index * shardSize,
    size: Math.min(shardSize, images.size - index * shardSize),
    finished: finished.has(name),
  }));
  requireRoom(directory, { ...options, shards });
  for (const shard of shards) {
    if (!shard.finished) await encodeShard(shard, { ...options, encoding });
  }
}

/** A part of the images and its file. */
interface Shard {
  readonly path: string;
  /** Index of its first image. */
  readonly first: number;
  /** Number of its images. */
  readonly size: number;
  readonly finished: boolean;
}

/** All that decides what the shards will be, as a SHA-256. */
async function describeEncoding(options: EncodeLatentsOptions): Promise<string> {
  const { images, encoder, flip = false, posterior = "sample", seed = 0 } = options;
  const { dtype = "F32", shardSize = 10_000 } = options;
  const text = JSON.stringify([
    FORMAT,
    encoder.fingerprint,
    encoder.latent,
    images.size,
    images.imageSize,
    images.names ?? [],
    images.classes ?? [],
    flip,
    posterior === "sample" ? seed : posterior,
    dtype,
    shardSize,
  ]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex();
}

/** Names in whose order the shards follow each other, as the official code gives them. */
function shardNames(count: number): string[] {
  const digits = Math.max(DIGITS, String(count - 1).length);
  return Array.from(
    { length: count },
    (_, i) => `latents_rank00_shard${String(i).padStart(digits, "0")}.safetensors`,
  );
}

/** The shards that are there already. Throws if a file is there that is none of them. */
function finishedShards(
  directory: string,
  { names, encoding }: { names: readonly string[]; encoding: string },
): Set<string> {
  const found = [...Deno.readDirSync(directory)].map(({ name }) => name)
    .filter((name) => name.endsWith(".safetensors") && name !== STATISTICS_FILE);
  for (const name of found.sort()) {
    const path = join(directory, name);
    using file = SafetensorsFile.open(path);
    if (names.includes(name) && file.metadata[ENCODING_KEY] === encoding) continue;
    throw new CheckpointError(
      `Cannot write latents to ${directory}: its ${name} is of other images, another encoder or ` +
        "other settings, expected a folder without shards, or those of the same command",
      { path },
    );
  }
  return new Set(found);
}

/** Numbers of a latent, and of the row that is kept of an image. */
function lengthsOf(
  { encoder, flip = false }: EncodeLatentsOptions,
): { latent: number; row: number } {
  const { channels, imageSize } = encoder.latent;
  const latent = channels * imageSize ** 2;
  return { latent, row: flip ? 2 * latent : latent };
}

/** Throws unless the disk has room for the shards to come, and for the part file of one. */
function requireRoom(
  directory: string,
  options: EncodeLatentsOptions & { readonly shards: readonly Shard[] },
): void {
  const { dtype = "F32", shards } = options, { row } = lengthsOf(options);
  const sizes = shards.filter(({ finished }) => !finished).map(({ size }) => size);
  const images = sizes.reduce((sum, size) => sum + size, 0);
  const bytes = row * (images * NUMBER_BYTES[dtype] + Math.max(0, ...sizes) * NUMBER_BYTES.F32);
  requireDiskSpace(directory, bytes, {
    problem: `Cannot write latents to ${directory}: those of ${images} images take`,
    expected: "room or another disk",
  });
}

async function encodeShard(
  { path, first, size }: Shard,
  options: EncodeLatentsOptions & { readonly encoding: string },
): Promise<void> {
  const { images, encoding, onProgress } = options, { row } = lengthsOf(options);
  using part = await PartFile.open(`${path}.part`, { key: `${encoding} ${first}`, dim: row });
  await requireUnchanged(part, { images, first, path });
  while (part.rows < size) {
    const begin = first + part.rows, count = Math.min(BATCH, size - part.rows);
    const indices = Uint32Array.from({ length: count }, (_, i) => begin + i);
    const pixels = await images.read(indices);
    part.append(await encodeBatch(pixels, indices, options), hashImages(pixels, count));
    onProgress?.(first + part.rows);
  }
  writeShard(part, { ...options, path, first, size });
  part.remove();
}

/** Rows [n, latent] of images, or [n, latent and its mirror image]. */
async function encodeBatch(
  pixels: Float32Array,
  indices: Uint32Array,
  options: EncodeLatentsOptions,
): Promise<Float32Array> {
  const { images, encoder, flip = false, posterior = "sample", seed = 0 } = options;
  const { latent, row } = lengthsOf(options), random = new Random(seed, Stream.Posterior);
  const rows = new Float32Array(indices.length * row), noise = new Float32Array(latent);
  for (const mirrored of flip ? [0, 1] : [0]) {
    const { mean, std } = await encoder.encode(
      mirrored ? mirror(pixels, images.imageSize) : pixels,
    );
    for (const [i, index] of indices.entries()) {
      const own = rows.subarray(i * row + mirrored * latent, i * row + (mirrored + 1) * latent);
      own.set(mean.subarray(i * latent, (i + 1) * latent));
      if (std && posterior === "sample") {
        random.fillNormal(noise, { step: mirrored, sample: index });
        for (let k = 0; k < latent; k++) own[k]! += std[i * latent + k]! * noise[k]!;
      }
      requireStorable(own, index, options);
    }
  }
  return rows;
}

/** Images [n, C, H, W] with their columns in reverse. */
function mirror(pixels: Float32Array, side: number): Float32Array {
  const mirrored = pixels.slice();
  for (let start = 0; start < mirrored.length; start += side) {
    mirrored.subarray(start, start + side).reverse();
  }
  return mirrored;
}

function requireStorable(
  latent: Float32Array,
  index: number,
  { images, dtype = "F32" }: EncodeLatentsOptions,
): void {
  const wrong = latent.findIndex((value) => !(Math.abs(value) <= LARGEST[dtype]));
  if (wrong < 0) return;
  throw new RangeError(
    `Cannot encode image ${images.names?.[index] ?? index}: its latent has ${latent[wrong]}, ` +
      `expected numbers that ${dtype} holds`,
  );
}

/** Writes the rows of a part file as a shard. */
function writeShard(
  part: PartFile,
  options: EncodeLatentsOptions & Pick<Shard, "path" | "first" | "size"> & {
    readonly encoding: string;
  },
): void {
  const { images, encoder, flip = false, dtype = "F32", encoding, path, first, size } = options;
  const { latent, row } = lengthsOf(options), { channels, imageSize } = encoder.latent;
  const names = flip ? ["latents", "latents_flip"] : ["latents"];
  const labels = images.labels &&
    BigInt64Array.from({ length: size }, (_, i) => BigInt(images.labels![first + i]!));
  using writer = new SafetensorsWriter(path, [
    ...names.map((name) =>
      [name, { dtype, shape: [size, channels, imageSize, imageSize] }] as const
    ),
    ...(labels ? [["labels", { dtype: "I64", shape: [size] }] as const] : []),
  ], {
    metadata: {
      [ENCODING_KEY]: encoding,
      ...(images.names &&
        { [NAMES_KEY]: JSON.stringify(images.names.slice(first, first + size)) }),
    },
  });
  for (let begin = 0; begin < size; begin += COPIED_ROWS) {
    const count = Math.min(COPIED_ROWS, size - begin), rows = part.read(begin, count);
    for (const [half, name] of names.entries()) {
      const values = new Float32Array(count * latent);
      for (let i = 0; i < count; i++) {
        const start = i * row + half * latent;
        values.set(rows.subarray(start, start + latent), i * latent);
      }
      writer.append(name, dtype === "F16" ? Float16Array.from(values) : values);
    }
  }
  if (labels) writer.append("labels", labels);
  writer.commit();
}
