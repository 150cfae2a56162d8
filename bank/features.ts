/**
 * Vectors that another program made, as snippets: arrays of NumPy and tensors of safetensors. Those of
 * PyTorch are read by `importTorchBank`.
 *
 * @module
 */

import { openByteSource } from "../kernels/core/byte_source.ts";
import { listed } from "../kernels/core/counted.ts";
import { CheckpointError } from "../kernels/core/errors.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { sha256Hex } from "../kernels/core/sha256.ts";
import { elementsOf } from "../kernels/core/tensor.ts";
import { ZipDirectory } from "../kernels/core/zip_directory.ts";
import type { ImageRecords } from "./bank.ts";
import { BankWriter } from "./bank_writer.ts";
import type { EncoderDescription } from "./encoders/encoder.ts";
import { normalizeSnippets } from "./normalize.ts";
import { NpyFile } from "./npy.ts";
import { readRows, type SnippetSource } from "./snippet_source.ts";

/** How {@linkcode importFeatures} finds the vectors. */
export interface FeatureOptions {
  /** Name of the array in an archive or safetensors file that has several. */
  readonly key?: string | undefined;
}

/** Options of {@linkcode writeFeatureBank}. */
export interface WriteFeatureBankOptions {
  /** The bank file to write. */
  readonly out: string;
  /** What is known of the images. */
  readonly records?: ImageRecords | undefined;
  /** Called with the number of snippets written, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Options of {@linkcode importFeatures}. */
export interface ImportFeaturesOptions
  extends FeatureOptions, Omit<WriteFeatureBankOptions, "records"> {}

/** Vectors in a file, normalised as they are read. */
export interface FeatureFile extends SnippetSource, Disposable {
  /** Reads `count` snippets [count, d] of norm 1 from the one of index `first` on. */
  rows(first: number, count: number): Float32Array;
}

/**
 * Opens vectors [N, d] of any norm in a `.npy`, `.npz` or `.safetensors` file. That of an `.npz` archive
 * is unpacked in memory, the others are read in pieces.
 *
 * Throws a {@linkcode CheckpointError} if the file cannot be read, has not the one array that is
 * asked for, or it is not [N, d].
 */
export function openFeatures(path: string, options: FeatureOptions): FeatureFile {
  const file = openArray(path, options);
  const [size = 0, dim = 0] = file.shape;
  if (file.shape.length !== 2 || size === 0 || dim === 0) {
    file[Symbol.dispose]();
    throw featureError(path, `its array has shape [${file.shape.join(", ")}], expected [N, d]`);
  }
  return {
    size,
    dim,
    rows: (first, count) =>
      normalizeSnippets(file.rows(first, count), { dim, firstIndex: first, path }),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/**
 * Writes a bank of vectors that another program made, 4,096 at a time. Its encoder is `features` with
 * the SHA-256 of the snippets: no image can be encoded for it, and two files are two encoders.
 *
 * Throws a {@linkcode CheckpointError} if the file cannot be read, has not the one array that is asked for,
 * or it is not [N, d], and if the disk refuses; and a RangeError that names the vector if one is zero or not
 * finite.
 *
 * @example
 * ```ts
 * import { BankFile, importFeatures, writeSafetensors } from "@gmem/gmem";
 *
 * const folder = Deno.makeTempDirSync(), features = `${folder}/clip.safetensors`;
 * writeSafetensors(features, [
 *   ["features", { dtype: "F32", shape: [2, 2], data: Float32Array.of(3, 4, 0, 5) }],
 * ]);
 * await importFeatures(features, { out: `${folder}/bank.safetensors` });
 * {
 *   using bank = BankFile.open(`${folder}/bank.safetensors`);
 *   console.log(Array.from(bank.rows(0, 2), (x) => x.toFixed(1)));
 *   // [ "0.6", "0.8", "0.0", "1.0" ]
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function importFeatures(path: string, options: ImportFeaturesOptions): Promise<void> {
  using features = openFeatures(path, options);
  await writeFeatureBank(features, options);
}

/**
 * As {@linkcode importFeatures} for snippets that another program made and that are not in one file,
 * with what is known of their images. They are read twice: their hash stands before them in the bank.
 *
 * Throws what reading them throws, and a {@linkcode CheckpointError} if the disk refuses.
 *
 * @example
 * ```ts
 * import { BankFile, writeFeatureBank } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1); // [2, 2], each of norm 1
 * const rows = (first: number, count: number) => snippets.subarray(2 * first, 2 * (first + count));
 * const folder = Deno.makeTempDirSync(), out = `${folder}/bank.safetensors`;
 * const records = { names: ["east", "north"] };
 * await writeFeatureBank({ size: 2, dim: 2, rows }, { out, records });
 * {
 *   using bank = BankFile.open(out);
 *   console.log(bank.names, bank.rows(1, 1), bank.encoder?.kind);
 *   // [ "east", "north" ] Float32Array(2) [ 0, 1 ] features
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function writeFeatureBank(
  features: SnippetSource,
  options: WriteFeatureBankOptions,
): Promise<void> {
  const { out, records, onProgress } = options, { size, dim } = features;
  const encoder = await describe(features);
  using writer = new BankWriter(out, { ...records, size, dim, encoder });
  for await (const { first, rows } of readRows(features)) {
    writer.append(rows);
    onProgress?.(first + rows.length / dim, size);
  }
  writer.commit();
}

/** Describes vectors by the hashes of their pieces, hashed again. */
async function describe(features: SnippetSource): Promise<EncoderDescription> {
  const hashes: Uint8Array[] = [];
  for await (const { rows } of readRows(features)) {
    hashes.push(Uint8Array.fromHex(sha256Hex(rows)));
  }
  return {
    kind: "features",
    dim: features.dim,
    fingerprint: sha256Hex(...hashes),
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
  using opened = new DisposableStack();
  const file = opened.use(SafetensorsFile.open(path));
  const key = chooseKey(path, { keys: file.keys(), wanted: options.key });
  const { shape } = file.entry(key), width = elementsOf(shape.slice(1));
  opened.move();
  return {
    shape,
    rows: (first, count) => file.readRange(key, first * width, count * width),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

function openArchive(path: string, options: FeatureOptions): NpyFile {
  using source = openByteSource(path);
  const directory = new ZipDirectory(source, path);
  const keys = directory.names().map((name) => name.replace(/\.npy$/, ""));
  const key = chooseKey(path, { keys, wanted: options.key });
  return NpyFile.from(directory.unpack(`${key}.npy`), path);
}

function chooseKey(
  path: string,
  names: { readonly keys: readonly string[]; readonly wanted: string | undefined },
): string {
  const { keys, wanted = keys.length === 1 ? keys[0] : undefined } = names;
  if (wanted !== undefined && keys.includes(wanted)) return wanted;
  const found = listed(keys) || "none";
  throw featureError(
    path,
    wanted === undefined
      ? `it has the arrays ${found}, expected one, or the key of one`
      : `it has the arrays ${found}, expected one named ${wanted}`,
  );
}

function featureError(path: string, state: string): CheckpointError {
  return new CheckpointError(`Cannot read features ${JSON.stringify(path)}: ${state}`, { path });
}
