/**
 * How the latents of a tokenizer are brought to the scale of the noise, and back.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { spreadIndices } from "../../bank/select_rows.ts";
import { CheckpointError } from "../../kernels/core/errors.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import {
  type SafetensorsWriteOptions,
  writeSafetensors,
} from "../../kernels/core/safetensors_writer.ts";
import { TorchFile, TorchTensor } from "../../model/torch_file.ts";

/** Name of the file of statistics beside shards, and in the folder of a run. */
export const STATISTICS_FILE = "latents_stats.safetensors";

/** What LightningDiT and GMem call the same. */
export const OFFICIAL_STATISTICS_FILE = "latents_stats.pt";

/** Key of the metadata of statistics that were measured of the latents beside them. */
const MEASURED_KEY = "measured";

/** Latents that statistics are taken of, at most, as in LightningDiT. */
const MOST_MEASURED = 10_000;

/** Latents that are read at once for it: 8 MiB of those of VA-VAE. */
const BATCH = 256;

/** Mean and deviation of each channel. */
export interface ChannelStatistics {
  /** Means [C]. */
  readonly mean: Float32Array;
  /** Standard deviations [C], each positive. */
  readonly std: Float32Array;
}

/** The scale on which latents are trained: (x − mean) / std · multiplier for each channel. */
export interface LatentScaling {
  /** Mean and deviation; undefined leaves the multiplier alone (SD-VAE). */
  readonly statistics: ChannelStatistics | undefined;
  /** Factor after them. */
  readonly multiplier: number;
}

/** Latents as they are stored, as far as statistics need them. */
export interface StoredLatents {
  /** Number of latents N. */
  readonly size: number;
  /** Channels C. */
  readonly channels: number;
  /** Height and width. */
  readonly imageSize: number;
  /** Reads latents [n, C, H, W]. */
  read(indices: Uint32Array): Float32Array;
}

/**
 * Brings stored latents [n, C, H, W] to the scale of training, in place: (x − mean) / std · multiplier;
 * `plane` is H · W. Without statistics x · multiplier.
 *
 * @example
 * ```ts
 * import { scaleLatents } from "@gmem/gmem";
 *
 * const statistics = { mean: Float32Array.of(1, 10), std: Float32Array.of(2, 5) };
 * const latents = Float32Array.of(3, 0); // [1, 2, 1, 1]
 * scaleLatents(latents, { statistics, multiplier: 0.5 }, 1);
 * console.log(latents); // Float32Array(2) [ 0.5, -1 ]
 * ```
 */
export function scaleLatents(
  latents: Float32Array,
  { statistics, multiplier }: LatentScaling,
  plane: number,
): void {
  eachChannel(latents, { channels: statistics?.mean.length ?? 1, plane }, (values, channel) => {
    const mean = statistics?.mean[channel] ?? 0, std = statistics?.std[channel] ?? 1;
    for (let i = 0; i < values.length; i++) values[i] = (values[i]! - mean) / std * multiplier;
  });
}

/**
 * Brings samples [n, C, H, W] back to the scale of the tokenizer, in place: x · std / multiplier + mean;
 * `plane` is H · W. Without statistics x / multiplier.
 *
 * @example
 * ```ts
 * import { unscaleLatents } from "@gmem/gmem";
 *
 * const statistics = { mean: Float32Array.of(1, 10), std: Float32Array.of(2, 5) };
 * const latents = Float32Array.of(0.5, -1); // [1, 2, 1, 1]
 * unscaleLatents(latents, { statistics, multiplier: 0.5 }, 1);
 * console.log(latents); // Float32Array(2) [ 3, 0 ]
 * ```
 */
export function unscaleLatents(
  latents: Float32Array,
  { statistics, multiplier }: LatentScaling,
  plane: number,
): void {
  eachChannel(latents, { channels: statistics?.mean.length ?? 1, plane }, (values, channel) => {
    const mean = statistics?.mean[channel] ?? 0, std = statistics?.std[channel] ?? 1;
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * std / multiplier + mean;
  });
}

/**
 * Measures mean and unbiased standard deviation of each channel over samples, rows and columns of up to
 * 10,000 latents, spread evenly.
 *
 * Throws a RangeError if a channel has no finite positive deviation.
 *
 * @example
 * ```ts
 * import { measureStatistics } from "@gmem/gmem";
 *
 * const latents = {
 *   size: 3, channels: 1, imageSize: 1, // the latents 1, 2 and 3
 *   read: (indices: Uint32Array) => Float32Array.from(indices, (index) => index + 1),
 * };
 * const { mean, std } = measureStatistics(latents);
 * console.log(mean, std); // Float32Array(1) [ 2 ] Float32Array(1) [ 1 ]
 * ```
 */
export function measureStatistics(latents: StoredLatents): ChannelStatistics {
  const { size, channels, imageSize } = latents;
  const plane = imageSize ** 2, count = Math.min(size, MOST_MEASURED);
  const indices = spreadIndices(count, size);
  // Sums of differences from the first value of a channel keep their digits where its mean is large.
  const first = latents.read(indices.subarray(0, 1));
  const shifts = Float64Array.from({ length: channels }, (_, channel) => first[channel * plane]!);
  const sums = new Float64Array(channels), squares = new Float64Array(channels);
  for (let start = 0; start < count; start += BATCH) {
    const batch = latents.read(indices.subarray(start, start + BATCH));
    eachChannel(batch, { channels, plane }, (values, channel) => {
      const shift = shifts[channel]!;
      for (const value of values) {
        const difference = value - shift;
        sums[channel]! += difference;
        squares[channel]! += difference ** 2;
      }
    });
  }
  const values = count * plane;
  const statistics = {
    mean: Float32Array.from(sums, (sum, channel) => shifts[channel]! + sum / values),
    std: Float32Array.from(
      squares,
      (square, channel) => Math.sqrt((square - sums[channel]! ** 2 / values) / (values - 1)),
    ),
  };
  const problem = findProblem(statistics, channels);
  if (problem) throw new RangeError(`Cannot normalise latents: ${problem}`);
  return statistics;
}

/**
 * Finds the statistics beside shards: `latents_stats.safetensors`, else `latents_stats.pt`. Undefined
 * where there is neither.
 *
 * Throws what {@linkcode readStatistics} throws.
 *
 * @example
 * ```ts
 * import { findStatistics, writeStatistics } from "@gmem/gmem";
 *
 * const directory = Deno.makeTempDirSync();
 * const statistics = { mean: Float32Array.of(0.5), std: Float32Array.of(2) };
 * writeStatistics(`${directory}/latents_stats.safetensors`, statistics);
 * const found = findStatistics(directory, 1);
 * console.log(found?.path.slice(directory.length + 1), found?.statistics.std);
 * // latents_stats.safetensors Float32Array(1) [ 2 ]
 * Deno.removeSync(directory, { recursive: true });
 * ```
 */
export function findStatistics(
  directory: string,
  channels: number,
): { readonly path: string; readonly statistics: ChannelStatistics } | undefined {
  for (const name of [STATISTICS_FILE, OFFICIAL_STATISTICS_FILE]) {
    const path = join(directory, name);
    if (existsSync(path)) return { path, statistics: readStatistics(path, channels) };
  }
  return undefined;
}

/**
 * Reads tensors `mean` and `std` of C elements each, such as [1, C, 1, 1], from a `.safetensors` or
 * `.pt` file.
 *
 * Throws a {@linkcode CheckpointError} that names the file if it cannot be read, if it lacks one, or if
 * they do not hold C finite numbers each, those of `std` positive.
 *
 * @example
 * ```ts
 * import { readStatistics, writeSafetensors } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/vae.safetensors`;
 * writeSafetensors(path, [
 *   ["mean", { dtype: "F32", shape: [1, 2, 1, 1], data: Float32Array.of(0, 1) }],
 *   ["std", { dtype: "F32", shape: [1, 2, 1, 1], data: Float32Array.of(2, 3) }],
 * ]);
 * console.log(readStatistics(path, 2).std); // Float32Array(2) [ 2, 3 ]
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function readStatistics(path: string, channels: number): ChannelStatistics {
  const statistics = path.endsWith(".safetensors") ? readSafetensors(path) : readTorch(path);
  const problem = findProblem(statistics, channels);
  if (problem) throw statisticsError(path, problem);
  return statistics;
}

/**
 * Measures the statistics of latents and writes them to the file beside their shards, unless somebody put one
 * there: what was measured before is measured again, since the latents may be others. Says where they are.
 *
 * Throws what reading the latents throws, and a {@linkcode CheckpointError} if the disk refuses or if the file that
 * is there cannot be read.
 */
export function ensureStatistics(
  latents: StoredLatents & { readonly directory: string },
): { readonly path: string; readonly measured: boolean } {
  const { directory, channels } = latents;
  const found = findStatistics(directory, channels)?.path;
  if (found !== undefined && !wereMeasured(found)) return { path: found, measured: false };
  const path = join(directory, STATISTICS_FILE);
  writeStatistics(path, measureStatistics(latents), { metadata: { [MEASURED_KEY]: "true" } });
  return { path, measured: true };
}

function wereMeasured(path: string): boolean {
  if (!path.endsWith(".safetensors")) return false;
  using file = SafetensorsFile.open(path);
  return file.metadata[MEASURED_KEY] === "true";
}

/**
 * Writes statistics as tensors `mean` and `std` [1, C, 1, 1], which {@linkcode readStatistics} reads; `options` may
 * name metadata of the file.
 *
 * Throws a {@linkcode CheckpointError} if the disk refuses.
 *
 * @example
 * ```ts
 * import { SafetensorsFile, writeStatistics } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/latents_stats.safetensors`;
 * writeStatistics(path, { mean: Float32Array.of(0.5), std: Float32Array.of(2) });
 * {
 *   using file = SafetensorsFile.open(path);
 *   console.log(file.entry("mean").shape, file.readFloat32("std"));
 *   // [ 1, 1, 1, 1 ] Float32Array(1) [ 2 ]
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function writeStatistics(
  path: string,
  statistics: ChannelStatistics,
  options: SafetensorsWriteOptions = {},
): void {
  const shape = [1, statistics.mean.length, 1, 1];
  writeSafetensors(path, [
    ["mean", { dtype: "F32", shape, data: statistics.mean }],
    ["std", { dtype: "F32", shape, data: statistics.std }],
  ], options);
}

function readSafetensors(path: string): ChannelStatistics {
  using file = SafetensorsFile.open(path);
  return { mean: file.readFloat32("mean"), std: file.readFloat32("std") };
}

function readTorch(path: string): ChannelStatistics {
  using file = TorchFile.open(path);
  const read = (key: string) => {
    const value = file.root instanceof Map ? file.root.get(key) : undefined;
    if (value instanceof TorchTensor) return value.readFloat32();
    throw statisticsError(path, `it has no tensor ${key}, expected a dict of mean and std`);
  };
  return { mean: read("mean"), std: read("std") };
}

/** What is wrong with statistics of C channels, and what was expected. */
function findProblem({ mean, std }: ChannelStatistics, channels: number): string | undefined {
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values.length !== channels) {
      return `${name} has ${values.length} numbers, expected one for each of ${channels} channels`;
    }
  }
  for (let channel = 0; channel < channels; channel++) {
    if (Number.isFinite(mean[channel]) && Number.isFinite(std[channel]) && std[channel]! > 0) {
      continue;
    }
    return `channel ${channel} has mean ${mean[channel]} and deviation ${std[channel]}, ` +
      "expected finite numbers and a positive deviation";
  }
  return undefined;
}

function statisticsError(path: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot read statistics ${JSON.stringify(path)}: ${state}`, { path });
}

/** Hands out the planes of latents [n, C, H, W] with their channels. */
function eachChannel(
  latents: Float32Array,
  { channels, plane }: { channels: number; plane: number },
  use: (values: Float32Array, channel: number) => void,
): void {
  for (let i = 0; i < latents.length / plane; i++) {
    use(latents.subarray(i * plane, (i + 1) * plane), i % channels);
  }
}
