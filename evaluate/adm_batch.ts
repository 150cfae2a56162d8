/**
 * The `.npz` files of ADM's evaluator (openai/guided-diffusion, `evaluations`): samples and reference
 * batches.
 *
 * | array | type | shape | what |
 * |---|---|---|---|
 * | `arr_0` | u8 | [N, H, W, 3], or one channel | images |
 * | `mu`, `sigma` | float | [d], [d, d] | mean and unbiased covariance of the pooled features |
 * | `mu_s`, `sigma_s` | float | likewise | of the spatial features |
 *
 * @module
 */

import { NpyFile } from "../bank/npy.ts";
import { swapAxes } from "../bank/select_rows.ts";
import { type ByteSource, openByteSource } from "../kernels/core/byte_source.ts";
import { CheckpointError, messageOf } from "../kernels/core/errors.ts";
import { ZipDirectory, type ZipEntry } from "../kernels/core/zip_directory.ts";
import { ByteArchiveWriter } from "./byte_archive.ts";
import { type Gaussian, knownGaussian } from "./frechet.ts";
import type { ByteBatch, ImageStream } from "./image_stream.ts";

/** What a reference batch holds. */
export interface AdmBatch extends Disposable {
  /** The images in `arr_0`, read from the file as they are asked for; undefined if it has none. */
  readonly images: ImageStream | undefined;
  /** Statistics of the pooled features, `mu` and `sigma`. */
  readonly pool: Gaussian | undefined;
  /** Statistics of the spatial features, `mu_s` and `sigma_s`. */
  readonly spatial: Gaussian | undefined;
}

/** Images that are read at once. */
const BATCH = 64;

/**
 * Opens a `.npz` file of ADM's evaluator. Arrays that are stored, as `numpy.savez` does, are read from
 * their place in the file; compressed ones are unpacked in memory. Each is checked by its checksum.
 *
 * Throws a CheckpointError that names the array if the file or one of the arrays cannot be used.
 *
 * @example
 * ```ts
 * import { AdmBatchWriter, openAdmBatch } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/samples.npz`;
 * {
 *   using writer = new AdmBatchWriter(path, { size: 1, imageSize: 1, channels: 3 });
 *   writer.append({ first: 0, count: 1, pixels: Uint8Array.of(255, 128, 0) });
 *   writer.commit();
 * }
 * {
 *   using batch = openAdmBatch(path);
 *   for await (const { pixels } of batch.images!.batches()) console.log(pixels, batch.pool);
 *   // Uint8Array(3) [ 255, 128, 0 ] undefined
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function openAdmBatch(path: string): AdmBatch {
  using opened = new DisposableStack();
  const source = opened.use(openByteSource(path));
  const directory = new ZipDirectory(source, path);
  const names = new Set(directory.names().map((name) => name.replace(/\.npy$/, "")));
  const open = (key: string) => opened.use(openArray(key, { path, source, directory }));
  const batch = {
    images: names.has("arr_0") ? imagesOf(open("arr_0"), path) : undefined,
    pool: readStatistics(["mu", "sigma"], { names, open, path }),
    spatial: readStatistics(["mu_s", "sigma_s"], { names, open, path }),
  };
  if (Object.values(batch).every((part) => part === undefined)) {
    const listed = [...names].slice(0, 10).join(", ") || "none";
    throw batchError(path, `it has the arrays ${listed}, expected arr_0, or mu and sigma`);
  }
  const kept = opened.move();
  return { ...batch, [Symbol.dispose]: () => kept.dispose() };
}

/**
 * Writes images as `arr_0` [N, H, H, C] of a `.npz` file that ADM's evaluator reads, batch by batch. The
 * file takes its name when it is complete.
 *
 * Throws what the disk throws.
 *
 * @example
 * ```ts
 * import { AdmBatchWriter } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/samples.npz`;
 * {
 *   using writer = new AdmBatchWriter(path, { size: 2, imageSize: 8, channels: 3 });
 *   writer.append({ first: 0, count: 1, pixels: new Uint8Array(3 * 8 * 8) });
 *   writer.append({ first: 1, count: 1, pixels: new Uint8Array(3 * 8 * 8).fill(255) });
 *   writer.commit();
 * }
 * console.log(Deno.statSync(path).size > 2 * 3 * 8 * 8); // true
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class AdmBatchWriter implements Disposable {
  readonly #writer: ByteArchiveWriter;
  readonly #channels: number;
  #written = 0;

  /** Begins a file for `size` images of C × H × H. */
  constructor(
    path: string,
    options: { readonly size: number; readonly imageSize: number; readonly channels: number },
  ) {
    const { size, imageSize, channels } = options;
    this.#channels = channels;
    this.#writer = new ByteArchiveWriter(path, {
      key: "arr_0",
      shape: [size, imageSize, imageSize, channels],
    });
  }

  /**
   * Writes the next images [n, C, H, H] of bytes; `RangeError` where their `first` is not the number of
   * those before.
   */
  append(batch: ByteBatch): void {
    const { pixels, first, count } = batch;
    if (first !== this.#written) {
      throw new RangeError(
        `Cannot append images from ${first} on: ${this.#written} are written, expected the next ones`,
      );
    }
    const rows = this.#channels, columns = pixels.length / (count * rows);
    this.#writer.append(swapAxes(pixels, { rows, columns }));
    this.#written += count;
  }

  /** Completes the file; `TypeError` where more or fewer images were appended than it was begun for. */
  commit(): void {
    this.#writer.commit();
  }

  /** Removes a file that was not completed. */
  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]();
  }
}

function openArray(
  key: string,
  file: { path: string; source: ByteSource; directory: ZipDirectory },
): NpyFile {
  const { path, source, directory } = file, name = `${key}.npy`;
  let place: ZipEntry | undefined;
  try {
    place = directory.find(name);
  } catch {
    // Compressed; what else is wrong with it, unpacking tells.
  }
  if (place === undefined) return NpyFile.from(directory.unpack(name), `${path}, ${key}`);
  const { offset, bytes } = place;
  const content: ByteSource = {
    size: bytes,
    read: (target, position) =>
      source.read(target.subarray(0, Math.max(0, bytes - position)), offset + position),
    [Symbol.dispose]: () => {},
  };
  directory.requireSound(name, content);
  return NpyFile.over(content, `${path}, ${key}`);
}

function imagesOf(file: NpyFile, path: string): ImageStream {
  const { shape } = file;
  const [size = 0, height = 0, width = 0, channels = 1] = shape;
  const right = (shape.length === 3 || shape.length === 4) && height === width &&
    (channels === 1 || channels === 3) && size > 0 && height > 0;
  if (!right) {
    throw batchError(
      path,
      `arr_0 has shape [${shape.join(", ")}], expected square images [N, H, H, 3], or of one ` +
        "channel",
    );
  }
  return {
    size,
    imageSize: height,
    channels,
    async *batches() {
      for (let first = 0; first < size; first += BATCH) {
        const count = Math.min(BATCH, size - first);
        const pixels = toPlanes(file.rows(first, count), { count, channels, path });
        yield { first, count, pixels };
      }
    },
  };
}

/** Bytes [n, C, H, W] of numbers [n, H, W, C]. */
function toPlanes(
  values: Float32Array,
  options: { count: number; channels: number; path: string },
): Uint8Array {
  const { count, channels, path } = options;
  const bytes = Uint8Array.from(values), wrong = values.findIndex((value, i) => value !== bytes[i]);
  if (wrong >= 0) {
    throw batchError(path, `arr_0 holds ${values[wrong]}, expected whole numbers from 0 to 255`);
  }
  return swapAxes(bytes, { rows: values.length / (count * channels), columns: channels });
}

function readStatistics(
  keys: readonly [mean: string, covariance: string],
  archive: { names: ReadonlySet<string>; open: (key: string) => NpyFile; path: string },
): Gaussian | undefined {
  const { names, open, path } = archive;
  const there = keys.filter((key) => names.has(key));
  if (there.length === 0) return undefined;
  if (there.length === 1) {
    throw batchError(path, `it has ${there[0]} alone, expected ${keys.join(" and ")}`);
  }
  const [mean, covariance] = keys.map((key) => {
    const file = open(key);
    return file.doubles(0, file.shape[0] ?? 0);
  }) as [Float64Array, Float64Array];
  try {
    return knownGaussian({ mean, covariance });
  } catch (cause) {
    throw batchError(path, `${keys.join(" and ")}: ${messageOf(cause)}`, cause);
  }
}

function batchError(path: string, state: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`Cannot read batch ${JSON.stringify(path)}: ${state}`, {
    path,
    cause,
  });
}
