/**
 * Latents that a tokenizer made of images, in safetensors shards as LightningDiT and GMem store them.
 *
 * | tensor | shape | what |
 * |---|---|---|
 * | `latents` | [n, C, H, W] | latents |
 * | `latents_flip` | [n, C, H, W] | those of the mirrored images (needed to mirror) |
 * | `labels` | [n] | class of each image (needed for labels as condition) |
 * | `representations` | [n, T, Z] | patch tokens of an encoder (needed for the alignment loss) |
 * | `representations_flip` | [n, T, Z] | those of the mirrored images (needed to mirror as well) |
 * | `cls_tokens` | [n, d] | CLS tokens of an encoder, which become the snippets (optional) |
 *
 * Labels are integers, all else is F32, F16 or BF16. All shards have the same tensors; n may differ.
 * Tensors of other names are left alone. The metadata `names`, a list of n texts as JSON, may name the
 * images, and `classes`, likewise, of the first shard all classes in the order of their labels. Shards of
 * `encodeLatents` say in `encoding` what they belong to, and in `images` of how many images all of that are.
 *
 * @module
 */

import { normalizeSnippets } from "../../bank/normalize.ts";
import type { SnippetSource } from "../../bank/snippet_source.ts";
import { counted } from "../../kernels/core/counted.ts";
import { CheckpointError } from "../../kernels/core/errors.ts";
import { parseTexts } from "../../kernels/core/json.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { elementsOf, formatShape, type Shape } from "../../kernels/core/tensor.ts";
import type { TokenData, TrainingData } from "../batch.ts";
import { directoryPath, readDirectory } from "../../bank/directory.ts";
import { type LatentScaling, scaleLatents, STATISTICS_FILE } from "./latent_scaling.ts";

/** What a tensor of a shard must look like. */
interface TensorRule {
  /** Its axes, the first of which counts images. */
  readonly axes: string;
  /** Types that its elements may have. */
  readonly types: readonly string[];
  /** The tensor whose other axes it shares. */
  readonly like?: ShardTensor;
}

const FLOATS = ["F32", "F16", "BF16"];
const INTEGERS = ["I64", "I32", "U32", "U8", "I8"];

/** A tensor that shards may hold. */
export type ShardTensor =
  | "latents"
  | "latents_flip"
  | "labels"
  | "representations"
  | "representations_flip"
  | "cls_tokens";

/** The tensors that are read. */
const TENSORS: Readonly<Record<ShardTensor, TensorRule>> = {
  latents: { axes: "[n, C, H, W]", types: FLOATS },
  latents_flip: { axes: "[n, C, H, W]", types: FLOATS, like: "latents" },
  labels: { axes: "[n]", types: INTEGERS },
  representations: { axes: "[n, T, Z]", types: FLOATS },
  representations_flip: { axes: "[n, T, Z]", types: FLOATS, like: "representations" },
  cls_tokens: { axes: "[n, d]", types: FLOATS },
};

const NAMES = Object.keys(TENSORS) as ShardTensor[];

/** Key of the shards' metadata under which they may name their images: a list of n texts as JSON. */
export const NAMES_KEY = "names";

/** Key of the first shard's metadata under which it may name the classes: a list of texts as JSON. */
export const CLASSES_KEY = "classes";

/** Key of the shards' metadata under which they may say what they were made of, as others of the same did. */
export const ENCODING_KEY = "encoding";

/** Key of the shards' metadata under which they may say how many images all shards of that encoding have. */
export const IMAGES_KEY = "images";

/** Classes at most: a label beyond is taken for a damaged file. */
const MOST_CLASSES = 65_536;

interface Shard {
  readonly file: SafetensorsFile;
  /** Index of its first image among those of all shards. */
  readonly first: number;
  /** Number of its images. */
  readonly size: number;
}

/** What the views of one folder share. */
interface Folder {
  readonly path: string;
  readonly shards: readonly Shard[];
  /** Shapes of the tensors that are there, without the first axis. */
  readonly shapes: ReadonlyMap<ShardTensor, Shape>;
  readonly labels: Uint32Array;
  readonly classes: readonly string[];
  readonly names: readonly string[] | undefined;
}

/** Which of a folder's images a view has, and on what scale. */
interface View {
  readonly indices: Uint32Array;
  readonly scaling: LatentScaling | undefined;
}

/**
 * N latents [C, H, W] in the shards of a folder, with what encoders made of the same images. Rows are
 * read from the files by their index: only labels and names are held in memory.
 *
 * Shards follow each other in the order of their names. `latents_stats.safetensors` is none of them.
 *
 * @example
 * ```ts
 * import { LatentShards, writeSafetensors } from "@gmem/gmem";
 *
 * const directory = Deno.makeTempDirSync(), data = Float32Array.of(1, 3, 5);
 * const latents = { dtype: "F32", shape: [3, 1, 1, 1], data } as const;
 * writeSafetensors(`${directory}/latents_rank00_shard000.safetensors`, [["latents", latents]]);
 * {
 *   using all = await LatentShards.open(directory);
 *   const statistics = { mean: Float32Array.of(3), std: Float32Array.of(2) };
 *   const scaled = all.scaled({ statistics, multiplier: 1 });
 *   console.log(all.size, scaled.read(Uint32Array.of(2, 0))); // 3 Float32Array(2) [ 1, -1 ]
 * }
 * Deno.removeSync(directory, { recursive: true });
 * ```
 */
export class LatentShards implements TrainingData, Disposable {
  /** Number of latents N. */
  readonly size: number;
  /** Height and width of a latent. */
  readonly imageSize: number;
  /** Channels of a latent (C). */
  readonly channels: number;
  /** Class of each image [N]; all 0 where the shards have no labels. */
  readonly labels: Uint32Array;
  /** Names of the classes, their numbers where no shard names them; empty where there are no labels. */
  readonly classes: readonly string[];
  /** Names of the images [N]; left out where a shard does not name its own. */
  readonly names?: readonly string[];
  /** The tokens `representations` [N, T, Z], or undefined. */
  readonly tokens: TokenData | undefined;
  /** The CLS tokens `cls_tokens` [N, d] as snippets of norm 1, or undefined. */
  readonly snippets: SnippetSource | undefined;
  readonly #folder: Folder;
  readonly #view: View;

  private constructor(folder: Folder, view: View) {
    this.#folder = folder;
    this.#view = view;
    const { shapes } = folder, { indices } = view;
    const [channels = 0, imageSize = 0] = shapes.get("latents")!;
    this.size = indices.length;
    this.channels = channels;
    this.imageSize = imageSize;
    this.labels = Uint32Array.from(indices, (index) => folder.labels[index]!);
    this.classes = folder.classes;
    const { names } = folder;
    if (names) this.names = Array.from(indices, (index) => names[index]!);
    const [count, width] = shapes.get("representations") ?? [];
    this.tokens = count && width
      ? { count, width, read: (rows, mirrored) => this.#read("representations", rows, mirrored) }
      : undefined;
    const [dim] = shapes.get("cls_tokens") ?? [];
    this.snippets = dim
      ? { size: this.size, dim, rows: (...range) => this.#snippets(...range) }
      : undefined;
  }

  /**
   * Opens all shards of a folder and checks their headers.
   *
   * Throws an Error if there is no such folder or no shard in it, or if some of `encodeLatents` are missing, and a
   * {@linkcode CheckpointError} that names the file, and the tensor if it is one, if a shard is damaged, has other
   * tensors or other shapes than the first one, a tensor of a shape or type that it must not have, or not a name for
   * each image or class.
   */
  static async open(directory: string | URL): Promise<LatentShards> {
    const path = directoryPath(directory);
    const expected = 'a folder of .safetensors shards with the tensor "latents"';
    const entries = await readDirectory(path, { problem: "Cannot load latents", expected });
    const names = entries.map(({ name }) => name)
      .filter((name) => name.endsWith(".safetensors") && name !== STATISTICS_FILE).sort();
    if (names.length === 0) {
      throw new Error(`Cannot load latents: ${path} holds no shards, expected ${expected}`);
    }
    using opened = new DisposableStack();
    const files = names.map((name) => opened.use(SafetensorsFile.open(`${path}/${name}`)));
    const shapes = new Map(
      NAMES.filter((name) => files[0]!.has(name))
        .map((name) => [name, files[0]!.entry(name).shape.slice(1)]),
    );
    const shards: Shard[] = [];
    let size = 0;
    for (const file of files) {
      const count = checkShard(file, { first: files[0]!.path, shapes });
      shards.push({ file, first: size, size: count });
      size += count;
    }
    if (size === 0) {
      throw new Error(
        `Cannot load latents: the shards of ${path} are empty, expected latents in one`,
      );
    }
    requireAll(path, shards);
    const labels = readLabels(files, size);
    const folder = {
      path,
      shards,
      shapes,
      labels,
      classes: shapes.has("labels") ? readClasses(files[0]!, labels) : [],
      names: readNames(shards),
    };
    opened.move();
    return new LatentShards(folder, {
      indices: Uint32Array.from({ length: size }, (_, i) => i),
      scaling: undefined,
    });
  }

  /** The folder. */
  get directory(): string {
    return this.#folder.path;
  }

  /**
   * Checks that the shards have a tensor; `purpose` says in the error what it is for.
   *
   * Throws a {@linkcode CheckpointError} that names the first shard and the tensor.
   */
  require(key: ShardTensor, purpose: string): void {
    const { shapes, shards } = this.#folder;
    if (shapes.has(key)) return;
    throw shardError(shards[0]!.file.path, key, `there is none, expected it for ${purpose}`);
  }

  /**
   * The same latents on another scale: with it {@linkcode LatentShards.read} gives
   * (x − mean) / std · multiplier, without it what is stored. The files are shared.
   */
  scaled(scaling: LatentScaling): LatentShards {
    return new LatentShards(this.#folder, { ...this.#view, scaling });
  }

  /**
   * The chosen latents, in the given order. The files are shared.
   *
   * Throws a RangeError if there is no index or if one is not below N.
   */
  subset(indices: Uint32Array): LatentShards {
    if (indices.length === 0) {
      throw new RangeError("Cannot take a part of the latents: no index, expected at least one");
    }
    return new LatentShards(this.#folder, {
      ...this.#view,
      indices: indices.map((index) => this.#place(index)),
    });
  }

  /**
   * Reads latents [n, C, H, W].
   *
   * Throws a RangeError if an index is not below N, and a {@linkcode CheckpointError} if a file cannot
   * be read.
   */
  read(indices: Uint32Array): Float32Array {
    return this.#readLatents(indices);
  }

  /**
   * Reads latents [n, C, H, W], those of the mirrored images where `mirrored` [n] holds 1.
   *
   * Throws as {@linkcode LatentShards.read} does, also if the shards have no `latents_flip`.
   */
  readMirrored(indices: Uint32Array, mirrored: Uint8Array): Float32Array {
    return this.#readLatents(indices, mirrored);
  }

  /** Closes the files of this and of all that share them. */
  [Symbol.dispose](): void {
    for (const { file } of this.#folder.shards) file[Symbol.dispose]();
  }

  #readLatents(indices: Uint32Array, mirrored?: Uint8Array): Float32Array {
    const latents = this.#read("latents", indices, mirrored), { scaling } = this.#view;
    if (scaling) scaleLatents(latents, scaling, this.imageSize ** 2);
    return latents;
  }

  #snippets(first: number, count: number): Float32Array {
    const indices = Uint32Array.from({ length: count }, (_, i) => first + i);
    const dim = this.snippets!.dim;
    return normalizeSnippets(this.#read("cls_tokens", indices), {
      dim,
      firstIndex: first,
      path: this.directory,
    });
  }

  /** Reads rows of a tensor, or of its mirror images. */
  #read(
    key: "latents" | "representations" | "cls_tokens",
    indices: Uint32Array,
    mirrored?: Uint8Array,
  ): Float32Array {
    const { shards, shapes } = this.#folder;
    const length = elementsOf(shapes.get(key)!);
    const out = new Float32Array(indices.length * length);
    for (let i = 0, count = 1; i < indices.length; i += count) {
      const place = this.#place(indices[i]!), { file, first, size } = shardOf(shards, place);
      const flipped = mirrored?.[i];
      // Rows that follow each other in a file are one read.
      for (count = 1; i + count < indices.length; count++) {
        const next = this.#place(indices[i + count]!);
        if (next !== place + count || next >= first + size || mirrored?.[i + count] !== flipped) {
          break;
        }
      }
      file.readRangeInto(
        flipped ? `${key}_flip` : key,
        (place - first) * length,
        out.subarray(i * length, (i + count) * length),
      );
    }
    return out;
  }

  /** The index among the images of all shards. */
  #place(index: number): number {
    const { indices } = this.#view;
    if (index < indices.length) return indices[index]!;
    throw new RangeError(
      `Cannot read latent ${index}: there are ${indices.length}, ` +
        `expected an index from 0 to ${indices.length - 1}`,
    );
  }
}

/** The shard that holds an image. */
function shardOf(shards: readonly Shard[], place: number): Shard {
  let low = 0, high = shards.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (shards[middle]!.first <= place) low = middle;
    else high = middle - 1;
  }
  return shards[low]!;
}

/** Checks the header of a shard against the first one's and returns its number of images. */
function checkShard(
  file: SafetensorsFile,
  { first, shapes }: { first: string; shapes: ReadonlyMap<ShardTensor, Shape> },
): number {
  const { path } = file;
  if (!file.has("latents")) throw shardError(path, "latents", "there is none, expected one");
  const [size = 0] = file.entry("latents").shape;
  for (const key of NAMES) {
    const known = shapes.get(key), { axes, types, like = key } = TENSORS[key];
    if (file.has(key) !== (known !== undefined)) {
      throw shardError(
        path,
        key,
        known
          ? `there is none, expected one as in ${first}`
          : `there is none in ${first}, expected the same tensors in all shards`,
      );
    }
    if (!known) continue;
    const { shape, dtype } = file.entry(key);
    const found = formatShape(shape);
    const fail = (state: string) => {
      throw shardError(path, key, state);
    };
    if (!types.includes(dtype)) fail(`its type is ${dtype}, expected one of ${types.join(", ")}`);
    if (shape.length !== axes.split(",").length || shape.slice(1).includes(0)) {
      fail(`its shape is ${found}, expected ${axes}`);
    }
    const wanted = formatShape([size, ...shapes.get(like) ?? known]);
    if (found !== wanted) {
      fail(`its shape is ${found}, expected ${wanted} as "latents" beside it and ${first} say`);
    }
    if (key === "latents" && shape[2] !== shape[3]) {
      fail(`its shape is ${found}, expected as many rows as columns`);
    }
  }
  return size;
}

/** Throws where some are missing of the shards that one encoding makes. */
function requireAll(folder: string, shards: readonly Shard[]): void {
  const found = new Map<string, number>();
  for (const { file: { metadata }, size } of shards) {
    const encoding = metadata[ENCODING_KEY];
    if (encoding !== undefined) found.set(encoding, (found.get(encoding) ?? 0) + size);
  }
  for (const { file: { metadata } } of shards) {
    const encoding = metadata[ENCODING_KEY], images = metadata[IMAGES_KEY];
    if (encoding === undefined || images === undefined) continue;
    const size = found.get(encoding)!;
    if (size === Number(images)) continue;
    throw new Error(
      `Cannot load latents: the shards of ${folder} hold those of ${size} of ${images} images, expected all: ` +
        "the same encoding, run again, goes on where it ended",
    );
  }
}

function readLabels(files: readonly SafetensorsFile[], size: number): Uint32Array {
  const labels = new Uint32Array(size);
  let first = 0;
  for (const file of files) {
    if (!file.has("labels")) break;
    const values = file.readIntegers("labels");
    const wrong = values.findIndex((label) => label < 0 || label >= MOST_CLASSES);
    if (wrong >= 0) {
      throw shardError(
        file.path,
        "labels",
        `label ${wrong} is ${values[wrong]}, expected one from 0 to ${MOST_CLASSES - 1}`,
      );
    }
    labels.set(values, first);
    first += values.length;
  }
  return labels;
}

/** The names of the classes that labels stand for, or their numbers where the first shard has none. */
function readClasses({ path, metadata }: SafetensorsFile, labels: Uint32Array): string[] {
  const count = 1 + labels.reduce((most, label) => Math.max(most, label), 0);
  const text = metadata[CLASSES_KEY];
  if (text === undefined) return Array.from({ length: count }, (_, i) => String(i));
  const names = parseTexts(text);
  if (names !== undefined && names.length >= count) return names;
  throw new CheckpointError(
    `Cannot read the classes in latent shard ${JSON.stringify(path)}: ` +
      `they are ${names ? names.length : "no list of texts"}, expected a name for each label up ` +
      `to ${count - 1}`,
    { path },
  );
}

/** The names of all images, where every shard has them in its metadata. */
function readNames(shards: readonly Shard[]): string[] | undefined {
  const names: string[] = [];
  for (const { file, size } of shards) {
    const text = file.metadata[NAMES_KEY];
    if (text === undefined) return undefined;
    const own = parseTexts(text);
    if (own?.length !== size) {
      const { path } = file;
      throw new CheckpointError(
        `Cannot read the names in latent shard ${JSON.stringify(path)}: they are ` +
          `${own ? own.length : "no list of texts"}, expected one for each of ` +
          counted(size, "image"),
        { path },
      );
    }
    for (const name of own) names.push(name);
  }
  return names;
}

function shardError(path: string, key: string, state: string): CheckpointError {
  return new CheckpointError(
    `Cannot read tensor ${JSON.stringify(key)} of latent shard ${JSON.stringify(path)}: ${state}`,
    { path, key },
  );
}
