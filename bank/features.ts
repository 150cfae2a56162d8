/**
 * Vectors that another program made, as snippets: arrays of NumPy and tensors of safetensors. Those of
 * PyTorch are read by `importTorchBank`. The only file that imports fflate, for `.npz` archives, which
 * it reads and writes for others as well.
 *
 * @module
 */

import { unzipSync, Zip, ZipPassThrough } from "fflate";
import { CheckpointError } from "../kernels/core/errors.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import type { ImageRecords } from "./bank.ts";
import type { EncoderDescription } from "./encoders/encoder.ts";
import { BankWriter } from "./file.ts";
import { normalizeSnippets } from "./normalize.ts";
import { NpyFile, npyHeader } from "./npy.ts";
import { readRows, type SnippetSource } from "./svd.ts";

/** How {@linkcode openFeatures} finds the vectors. */
export interface FeatureOptions {
  /** Name of the array in an archive or safetensors file that has several. */
  readonly key?: string | undefined;
}

/** Options of {@linkcode writeFeatureBank}. */
export interface FeatureBankOptions {
  /** The bank file to write. */
  readonly out: string;
  /** What is known of the images. */
  readonly records?: ImageRecords | undefined;
  /** Called with the number of snippets written. */
  readonly onProgress?: (done: number) => void;
}

/** Options of {@linkcode importFeatures}. */
export interface FeatureImportOptions extends FeatureOptions, Omit<FeatureBankOptions, "records"> {}

/** Vectors in a file, normalised as they are read. */
export interface FeatureFile extends SnippetSource, Disposable {
  /** Reads `count` snippets [count, d] of norm 1 from the one of index `first` on. */
  rows(first: number, count: number): Float32Array;
}

/** The largest `.npz` archive, which is unpacked in memory. */
const MOST_ARCHIVE_BYTES = 2 ** 31;

/**
 * Opens vectors [N, d] of any norm in a `.npy`, `.npz` or `.safetensors` file. An `.npz` archive is
 * unpacked in memory, the others are read in pieces.
 *
 * Throws a {@linkcode CheckpointError} if the file cannot be read, has not the one array that is
 * asked for, or it is not [N, d].
 */
export function openFeatures(path: string, options: FeatureOptions = {}): FeatureFile {
  const file = openArray(path, options);
  const [size = 0, dim = 0] = file.shape;
  if (file.shape.length !== 2 || size === 0 || dim === 0) {
    file[Symbol.dispose]();
    throw featureError(path, `its array has shape [${file.shape.join(", ")}], expected [N, d]`);
  }
  return {
    size,
    dim,
    rows: (first, count) => normalizeSnippets(file.rows(first, count), { dim, firstIndex: first }),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/**
 * Writes a bank of vectors that another program made, 4,096 at a time. Its encoder is `features` with
 * the SHA-256 of the snippets: no image can be encoded for it, and two files are two encoders.
 *
 * Throws what {@linkcode openFeatures} throws, and a RangeError that names the vector if one is zero or
 * not finite.
 *
 * @example
 * ```ts ignore
 * await importFeatures("clip_features.npy", { out: "bank.safetensors" });
 * ```
 */
export async function importFeatures(path: string, options: FeatureImportOptions): Promise<void> {
  using features = openFeatures(path, options);
  await writeFeatureBank(features, options);
}

/**
 * As {@linkcode importFeatures} for snippets that another program made and that are not in one file,
 * with what is known of their images. They are read twice: their hash stands before them in the bank.
 *
 * Throws what reading them throws, and a {@linkcode CheckpointError} if the disk refuses.
 */
export async function writeFeatureBank(
  features: SnippetSource,
  options: FeatureBankOptions,
): Promise<void> {
  const { out, records, onProgress } = options, { size, dim } = features;
  const encoder = await describe(features);
  using writer = new BankWriter(out, { ...records, size, dim, encoder });
  for await (const { first, rows } of readRows(features)) {
    writer.append(rows);
    onProgress?.(first + rows.length / dim);
  }
  writer.commit();
}

/** Describes vectors by the hashes of their pieces, hashed again. */
async function describe(features: SnippetSource): Promise<EncoderDescription> {
  let hashes = new Uint8Array();
  for await (const { rows } of readRows(features)) {
    const digest = await crypto.subtle.digest("SHA-256", new Float32Array(rows));
    hashes = Uint8Array.of(...hashes, ...new Uint8Array(digest));
  }
  const digest = await crypto.subtle.digest("SHA-256", hashes);
  return {
    kind: "features",
    dim: features.dim,
    fingerprint: new Uint8Array(digest).toHex(),
    preprocessing: {},
    settings: {},
  };
}

/** An array of which rows can be read. */
interface OpenArray extends Disposable {
  readonly shape: readonly number[];
  rows(first: number, count: number): Float32Array;
}

function openArray(path: string, options: FeatureOptions): OpenArray {
  if (path.endsWith(".npy")) return NpyFile.open(path);
  if (path.endsWith(".npz")) return openArchive(path, options);
  if (path.endsWith(".safetensors")) return openSafetensors(path, options);
  throw featureError(path, "its name says no known format, expected .npy, .npz or .safetensors");
}

function openSafetensors(path: string, options: FeatureOptions): OpenArray {
  const file = SafetensorsFile.open(path);
  try {
    const key = chooseKey(path, { keys: file.keys(), wanted: options.key });
    const { shape } = file.entry(key);
    const width = shape.slice(1).reduce((product, size) => product * size, 1);
    return {
      shape,
      rows: (first, count) => file.readRange(key, first * width, count * width),
      [Symbol.dispose]: () => file[Symbol.dispose](),
    };
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/**
 * Unpacks one array of a `.npz` archive in memory: the one named `key`, or the only one.
 *
 * Throws a {@linkcode CheckpointError} if the archive cannot be read or has no such array.
 */
export function openArchive(path: string, options: FeatureOptions): NpyFile {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (cause) {
    throw featureError(path, (cause as Error).message, cause);
  }
  const keys: string[] = [];
  let size = 0;
  let found: Uint8Array | undefined;
  try {
    unzipSync(bytes, {
      filter: ({ name }) => {
        keys.push(name.replace(/\.npy$/, ""));
        return false;
      },
    });
    const key = chooseKey(path, { keys, wanted: options.key });
    found = unzipSync(bytes, {
      filter: ({ name, originalSize }) => {
        const wanted = name.replace(/\.npy$/, "") === key;
        if (wanted) size = originalSize;
        return wanted && originalSize <= MOST_ARCHIVE_BYTES;
      },
    })[`${key}.npy`];
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw featureError(path, `it cannot be unpacked, ${(cause as Error).message}`, cause);
  }
  if (found === undefined) {
    throw featureError(path, `its array has ${size} bytes, expected a .npy of at most 2 GiB`);
  }
  return NpyFile.from(found, path);
}

/** The largest file of a plain zip archive, whose offsets have 32 bits. */
const MOST_PLAIN_BYTES = 2 ** 32 - 2 ** 16;

/** Every archive gets this time, so that equal arrays give equal files. */
const ARCHIVE_TIME = "1980-01-02T00:00:00";

/**
 * Writes an array of bytes as the only one of a `.npz` archive, without compression, piece by piece:
 * what `numpy.savez` makes. The file takes its name when it is complete.
 *
 * Throws a RangeError for more than 4 GiB, and a TypeError if the pieces have more or fewer bytes than
 * the shape.
 */
export class ByteArchiveWriter implements Disposable {
  readonly #path: string;
  readonly #shape: readonly number[];
  readonly #archive: Zip;
  readonly #entry: ZipPassThrough;
  #file: Deno.FsFile | undefined;
  #left: number;

  /** Begins the file; `key` names the array. */
  constructor(
    path: string,
    options: { readonly key: string; readonly shape: readonly number[] },
  ) {
    const { key, shape } = options;
    this.#path = path;
    this.#shape = shape;
    this.#left = shape.reduce((product, size) => product * size, 1);
    if (!(this.#left <= MOST_PLAIN_BYTES)) {
      throw new RangeError(
        `Cannot write ${JSON.stringify(path)}: [${shape.join(", ")}] has ${this.#left} bytes, ` +
          `expected at most ${MOST_PLAIN_BYTES}`,
      );
    }
    const file = Deno.openSync(`${path}.partial`, { write: true, create: true, truncate: true });
    this.#file = file;
    this.#archive = new Zip((error, bytes) => {
      if (error) throw error;
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    });
    this.#entry = new ZipPassThrough(`${key}.npy`);
    this.#entry.mtime = ARCHIVE_TIME;
    this.#archive.add(this.#entry);
    this.#entry.push(npyHeader("|u1", shape));
  }

  /** Writes the next bytes of the array. */
  append(bytes: Uint8Array): void {
    this.#left -= bytes.length;
    // A copy: the library keeps what it is given and the caller may use its array again.
    this.#entry.push(bytes.slice());
  }

  /** Completes the file. */
  commit(): void {
    if (this.#left !== 0) {
      throw new TypeError(
        `Cannot write ${
          JSON.stringify(this.#path)
        }: the pieces differ by ${this.#left} bytes from ` +
          `[${this.#shape.join(", ")}]`,
      );
    }
    this.#entry.push(new Uint8Array(), true);
    this.#archive.end();
    this.#file?.syncDataSync();
    this.#file?.close();
    this.#file = undefined;
    Deno.renameSync(`${this.#path}.partial`, this.#path);
  }

  /** Removes a file that was not completed. */
  [Symbol.dispose](): void {
    if (this.#file === undefined) return;
    this.#file.close();
    this.#file = undefined;
    Deno.removeSync(`${this.#path}.partial`);
  }
}

function chooseKey(
  path: string,
  names: { readonly keys: readonly string[]; readonly wanted: string | undefined },
): string {
  const { keys, wanted = keys.length === 1 ? keys[0] : undefined } = names;
  if (wanted !== undefined && keys.includes(wanted)) return wanted;
  const listed = keys.slice(0, 10).join(", ") || "none";
  throw featureError(
    path,
    wanted === undefined
      ? `it has the arrays ${listed}, expected one, or the key of one`
      : `it has the arrays ${listed}, expected one named ${wanted}`,
  );
}

function featureError(path: string, state: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`Cannot read features ${JSON.stringify(path)}: ${state}`, {
    path,
    cause,
  });
}
