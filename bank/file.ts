/**
 * Banks as safetensors files.
 *
 * | tensor | type | shape | what |
 * |---|---|---|---|
 * | `snippets` | F32, or read as F16, BF16 | [N, d] | full bank: snippets of norm 1 |
 * | `coefficients` | F32, F16 or I8, or read as BF16 | [N, r] | low-rank bank: C = U S^½ |
 * | `coefficient_scales` | F32 | [r] | low-rank bank: factors of the columns of C (for I8) |
 * | `basis` | F32 | [d, r] | low-rank bank: B = V S^½ |
 * | `singular_values` | F32 | [r] | low-rank bank: S |
 * | `mean` | F32 | [d] | low-rank bank: μ |
 * | `labels` | I32 | [N] | class of each image, −1 for none (optional) |
 * | `frequencies` | F32 | [N] | how often retrieval by noise chooses each snippet (optional) |
 * | `names`, `texts` | U8 | [bytes] | a JSON array of N strings in UTF-8 (optional) |
 * | `encoder.*` | F32 | any | what the encoder was fitted to (optional) |
 *
 * Metadata: `format` is `gmem-bank` and `version` is `1`; `encoder` is the encoder's description,
 * `classes` an array of names and `loss` what `compressBank` measured, in JSON and optional; `image_size` is
 * the side in pixels of the images that the encoder was given, also optional; `shard` is `i/n` for the bank
 * of a shard of the images. A file without metadata is read as well, so that snippets from other programs
 * need nothing but the tensor `snippets`. Tensors of other names are left alone.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import { CheckpointError, messageOf } from "../kernels/core/errors.ts";
import { decodeTexts, parseJson, parseTexts } from "../kernels/core/json.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import type { BankRecords } from "./bank.ts";
import type { CoefficientStorage } from "./coefficient_format.ts";
import {
  type EncoderDescription,
  type EncoderWeight,
  parseEncoderDescription,
} from "./encoders/encoder.ts";
import { parseShard, type Shard } from "./image_source.ts";
import { findSnippetProblem, normalizeSnippets } from "./normalize.ts";
import { findRecordProblem, recordsOf } from "./records.ts";
import type { SnippetSource } from "./snippet_source.ts";
import { findFactorProblem, reconstructRows, type SharedFactors } from "./svd.ts";

/** What the metadata of a bank's file say that it is. */
export const BANK_FORMAT = "gmem-bank";

/** Version of the layout above. */
export const BANK_VERSION = "1";

/** Prefix of the encoder's weights among the tensors. */
export const ENCODER_PREFIX = "encoder.";

/** Tensor of the factors of the columns of C, for coefficients stored as whole numbers. */
export const SCALES_KEY = "coefficient_scales";

/** What a low-rank bank lost, of snippets that were compared with those it was made of. */
export interface CompressionLoss {
  /** Share of the sum of squared singular values that was kept. */
  readonly energy: number;
  /** Mean cosine between a snippet and what the low-rank bank gives for it. */
  readonly meanCosine: number;
  /** Least of those cosines. */
  readonly leastCosine: number;
  /** Root of the mean square of the lengths ‖s − ŝ‖ of the differences. */
  readonly rmsError: number;
  /** Largest of those lengths. */
  readonly largestError: number;
  /** Part of it that is due to the type of the stored coefficients: the same for ŝ before and after. */
  readonly storageLoss: {
    /** Root of the mean square of the lengths of the differences. */
    readonly rmsError: number;
    /** Largest of them. */
    readonly largestError: number;
  };
  /** Number of snippets that were compared, spread over the bank. */
  readonly compared: number;
}

/**
 * A bank file open for reading. Its records are read and checked when it is opened, its snippets
 * when they are asked for.
 *
 * @example
 * ```ts
 * import { BankFile, Device, FullBank } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1) });
 * const folder = Deno.makeTempDirSync(), path = `${folder}/bank.safetensors`;
 * await bank.save(path);
 * {
 *   using file = BankFile.open(path);
 *   console.log(file.size, file.dim, file.rank, file.rows(1, 1));
 *   // 2 2 undefined Float32Array(2) [ 0, 1 ]
 * }
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export class BankFile implements SnippetSource, Disposable {
  /** The file's path. */
  readonly path: string;
  /** Number of snippets N. */
  readonly size: number;
  /** Length d of a snippet. */
  readonly dim: number;
  /** Rank r of a low-rank bank; undefined for a full one. */
  readonly rank: number | undefined;
  /** The encoder that made the snippets, or undefined if the file does not say. */
  readonly encoder: EncoderDescription | undefined;
  /** What it was fitted to, by name. */
  readonly encoderWeights: ReadonlyMap<string, EncoderWeight>;
  /** Side in pixels of the images that it was given, or undefined if the file does not say. */
  readonly imageSize: number | undefined;
  /** Names of the images [N], or undefined. */
  readonly names: readonly string[] | undefined;
  /** Class of each image [N], −1 for none, or undefined. */
  readonly labels: Int32Array | undefined;
  /** Names of the classes; empty if there are none. */
  readonly classes: readonly string[];
  /** A text for each image [N], or undefined. */
  readonly texts: readonly string[] | undefined;
  /** How often retrieval by noise chooses each snippet [N], or undefined. */
  readonly frequencies: Float32Array | undefined;
  /** How the coefficients of a low-rank bank are stored; undefined for a full one. */
  readonly storage: CoefficientStorage | undefined;
  /** What a low-rank bank lost when it was made, or undefined if it is not known. */
  readonly loss: CompressionLoss | undefined;
  /** Which part of the images it was built from, or undefined for all, or if it is not known. */
  readonly shard: Shard | undefined;
  readonly #file: SafetensorsFile;
  #shared: SharedFactors | undefined;
  #scales: Float32Array | undefined;

  private constructor(file: SafetensorsFile) {
    this.#file = file;
    this.path = file.path;
    checkFormat(file);
    const lowRank = file.has("coefficients") && !file.has("snippets");
    const [size, width] = readTableShape(file, lowRank ? "coefficients" : "snippets");
    this.size = size;
    this.rank = lowRank ? width : undefined;
    this.dim = lowRank ? readLowRankDim(file, width) : width;
    this.encoder = readEncoder(file);
    this.encoderWeights = new Map(
      file.keys().filter((key) => key.startsWith(ENCODER_PREFIX)).map((key) => [
        key.slice(ENCODER_PREFIX.length),
        { shape: file.entry(key).shape, values: file.readFloat32(key) },
      ]),
    );
    this.imageSize = readImageSize(file);
    const { classes } = file.metadata;
    this.classes = classes === undefined ? [] : requireTexts(file, "classes", parseTexts(classes));
    this.names = readTexts(file, "names");
    this.texts = readTexts(file, "texts");
    const labels = file.has("labels") ? file.readIntegers("labels") : undefined;
    this.labels = labels && Int32Array.from(labels);
    this.frequencies = file.has("frequencies") ? file.readFloat32("frequencies") : undefined;
    this.storage = lowRank ? storageOf(file) : undefined;
    this.loss = readLoss(file);
    this.shard = readShard(file);
    // Labels as they are in the file: of 32 bits, those that need more would be others.
    const problem = findRecordProblem({ ...recordsOf(this), labels }, this);
    if (problem !== undefined) throw bankError(file.path, problem);
  }

  /**
   * Opens the bank at `path`.
   *
   * Throws a {@linkcode CheckpointError} that says what is wrong if the file is not a bank, or if its
   * parts do not fit each other.
   */
  static open(path: string): BankFile {
    using opened = new DisposableStack();
    const file = new BankFile(opened.use(SafetensorsFile.open(path)));
    opened.move();
    return file;
  }

  /**
   * Opens a bank file, or returns undefined where there is none.
   *
   * Throws what {@linkcode BankFile.open} throws for a file that is there.
   */
  static openIfThere(path: string): BankFile | undefined {
    try {
      return BankFile.open(path);
    } catch (error) {
      if (error instanceof CheckpointError && error.cause instanceof Deno.errors.NotFound) {
        return undefined;
      }
      throw error;
    }
  }

  /** Everything beside the snippets. */
  get records(): BankRecords {
    return recordsOf(this);
  }

  /**
   * Reads `count` snippets [count, d] from the one of index `first` on; those of a low-rank bank are
   * reconstructed and normalised.
   *
   * Throws a RangeError if the bank does not have them, and a {@linkcode CheckpointError} that names
   * the snippet if one is not finite or not of norm 1.
   */
  rows(first: number, count: number): Float32Array {
    const { path, dim, rank } = this;
    this.#checkRange(first, count);
    if (rank !== undefined) {
      const coefficients = this.#readCoefficients(first, count);
      const rows = reconstructRows(coefficients, this.readShared());
      try {
        return normalizeSnippets(rows, { dim, firstIndex: first });
      } catch (error) {
        throw bankError(path, { key: "coefficients", state: messageOf(error) });
      }
    }
    const rows = this.#file.readRange("snippets", first * dim, count * dim);
    const problem = findSnippetProblem(rows, { dim, firstIndex: first });
    if (problem !== undefined) throw bankError(path, { key: "snippets", state: problem });
    return rows;
  }

  /**
   * Reads the coefficients [count, r] of `count` snippets of a low-rank bank from the one of index
   * `first` on.
   *
   * Throws a TypeError for a full bank, a RangeError if the bank does not have them, and a
   * {@linkcode CheckpointError} if a value is not finite.
   */
  coefficients(first: number, count: number): Float32Array {
    this.#checkRange(first, count);
    const coefficients = this.#readCoefficients(first, count);
    const wrong = coefficients.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) {
      const at = first * this.rank! + wrong;
      throw bankError(this.path, {
        key: "coefficients",
        state: `coefficients holds ${coefficients[wrong]} at ${at}, expected finite numbers`,
      });
    }
    return coefficients;
  }

  /**
   * Reads what all snippets of a low-rank bank share.
   *
   * Throws a TypeError for a full bank, and a {@linkcode CheckpointError} if a value is not finite or
   * a singular value is not positive.
   */
  readShared(): SharedFactors {
    this.#assertLowRank();
    return this.#shared ??= this.#readShared();
  }

  /** Closes the file; what was read stays. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  #assertLowRank(): number {
    const { path, rank } = this;
    if (rank === undefined) {
      throw new TypeError(
        `Cannot read the factors of bank ${JSON.stringify(path)}: it is full, ` +
          "expected a low-rank bank",
      );
    }
    return rank;
  }

  #checkRange(first: number, count: number): void {
    const { size } = this;
    if (
      !Number.isInteger(first) || !Number.isInteger(count) || first < 0 || count < 0 ||
      first + count > size
    ) {
      throw new RangeError(
        `Cannot read ${counted(count, "snippet")} from ${first} on: the bank has ` +
          `${counted(size, "snippet")}, expected whole numbers within`,
      );
    }
  }

  #readCoefficients(first: number, count: number): Float32Array {
    const rank = this.#assertLowRank();
    const coefficients = this.#file.readRange("coefficients", first * rank, count * rank);
    if (!this.#file.has(SCALES_KEY)) return coefficients;
    const scales = this.#scales ??= this.#file.readFloat32(SCALES_KEY);
    return coefficients.map((value, i) => value * scales[i % rank]!);
  }

  #readShared(): SharedFactors {
    const factors = {
      mean: this.#file.readFloat32("mean"),
      basis: this.#file.readFloat32("basis"),
      singularValues: this.#file.readFloat32("singular_values"),
    };
    const problem = findFactorProblem({ ...factors, coefficients: new Float32Array() });
    if (problem !== undefined) throw bankError(this.path, problem);
    return factors;
  }
}

function bankError(path: string, problem: { key?: string; state: string }): CheckpointError {
  const { state, ...rest } = problem;
  return new CheckpointError(`Cannot read bank ${JSON.stringify(path)}: ${state}`, {
    path,
    ...rest,
  });
}

function checkFormat(file: SafetensorsFile): void {
  const { format = BANK_FORMAT, version = BANK_VERSION } = file.metadata;
  if (format !== BANK_FORMAT) {
    throw bankError(file.path, {
      key: "format",
      state: `its format is ${JSON.stringify(format)}, expected ${JSON.stringify(BANK_FORMAT)}`,
    });
  }
  if (version !== BANK_VERSION) {
    throw bankError(file.path, {
      key: "version",
      state: `its version is ${JSON.stringify(version)}, expected ${JSON.stringify(BANK_VERSION)}`,
    });
  }
}

function readTableShape(file: SafetensorsFile, key: string): [number, number] {
  if (!file.has(key)) {
    throw bankError(file.path, {
      key,
      state: `it has the tensors ${file.keys().slice(0, 10).join(", ") || "none"}, ` +
        "expected snippets [N, d] or coefficients [N, r]",
    });
  }
  const [size = 0, width = 0, ...rest] = file.entry(key).shape;
  if (size === 0 || width === 0 || rest.length > 0) {
    throw bankError(file.path, {
      key,
      state: `${key} has shape [${file.entry(key).shape.join(", ")}], ` +
        "expected two sizes of at least 1",
    });
  }
  return [size, width];
}

/** Returns d after a check that the other factors of a low-rank bank are of d and r. */
function readLowRankDim(file: SafetensorsFile, rank: number): number {
  const dim = file.has("mean") ? file.entry("mean").shape[0] ?? 0 : 0;
  const expected = {
    mean: [dim],
    basis: [dim, rank],
    singular_values: [rank],
    // Whole numbers mean nothing without them.
    ...(file.has(SCALES_KEY) || storageOf(file) === "int8" ? { [SCALES_KEY]: [rank] } : {}),
  };
  for (const [key, shape] of Object.entries(expected)) {
    const found = file.has(key) ? `[${file.entry(key).shape.join(", ")}]` : "missing";
    if (found !== `[${shape.join(", ")}]` || dim === 0) {
      throw bankError(file.path, {
        key,
        state: `${key} is ${found}, expected [${shape.join(", ")}] with ${rank} coefficients`,
      });
    }
  }
  return dim;
}

function readEncoder(file: SafetensorsFile): EncoderDescription | undefined {
  const text = file.metadata["encoder"];
  if (text === undefined) return undefined;
  try {
    return parseEncoderDescription(text);
  } catch (error) {
    throw bankError(file.path, { key: "encoder", state: messageOf(error) });
  }
}

function readImageSize(file: SafetensorsFile): number | undefined {
  const text = file.metadata["image_size"];
  if (text === undefined) return undefined;
  const imageSize = Number(text);
  if (Number.isInteger(imageSize) && imageSize > 0) return imageSize;
  throw bankError(file.path, {
    key: "image_size",
    state: `its image_size is ${JSON.stringify(text)}, expected a whole number of pixels`,
  });
}

function storageOf(file: SafetensorsFile): CoefficientStorage {
  const { dtype } = file.entry("coefficients");
  return dtype === "I8" ? "int8" : dtype === "F16" || dtype === "BF16" ? "f16" : "f32";
}

function readLoss(file: SafetensorsFile): CompressionLoss | undefined {
  const text = file.metadata["loss"];
  if (text === undefined) return undefined;
  const loss = parseJson(text);
  if (!isLoss(loss)) {
    throw bankError(file.path, { key: "loss", state: "its loss is not a JSON object of numbers" });
  }
  return loss;
}

function isLoss(value: unknown): value is CompressionLoss {
  const loss = value as Partial<CompressionLoss> | null | undefined, byStorage = loss?.storageLoss;
  return [
    loss?.energy,
    loss?.meanCosine,
    loss?.leastCosine,
    loss?.rmsError,
    loss?.largestError,
    loss?.compared,
    byStorage?.rmsError,
    byStorage?.largestError,
  ].every(Number.isFinite);
}

function readShard(file: SafetensorsFile): Shard | undefined {
  const text = file.metadata["shard"];
  if (text === undefined) return undefined;
  const shard = parseShard(text);
  if (shard !== undefined) return shard;
  throw bankError(file.path, {
    key: "shard",
    state: `its shard is ${JSON.stringify(text)}, expected a part and their number, as "3/8"`,
  });
}

function readTexts(file: SafetensorsFile, key: string): string[] | undefined {
  if (!file.has(key)) return undefined;
  try {
    return requireTexts(file, key, decodeTexts(file.readBytes(key)));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw bankError(file.path, { key, state: `${key} is not in UTF-8, expected text that is` });
  }
}

function requireTexts(file: SafetensorsFile, key: string, texts: string[] | undefined): string[] {
  if (texts !== undefined) return texts;
  throw bankError(file.path, { key, state: `${key} is not a JSON array of strings` });
}
