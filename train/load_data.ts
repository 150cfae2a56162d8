/**
 * The images or latents that a `data` section means. Only programs import this: it reaches the decoder
 * of image files, which the library must not.
 *
 * @module
 */

import type { ImageRecords } from "../bank/bank.ts";
import { directoryPath } from "../bank/directory.ts";
import { describeUnread, IMAGE_FOLDER, listImageFiles } from "../bank/image_files.ts";
import { type ImageSource, type LabelledImages, subsetOf } from "../bank/image_source.ts";
import type { Places } from "../bank/make.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Config, DataConfig } from "./config.ts";
import { loadCifar10 } from "./datasets/cifar10.ts";
import { EMOJI_SIZES, loadEmoji } from "./datasets/emoji.ts";
import type { ImageFolder, OpenImageFolderOptions } from "./datasets/image_folder.ts";
import { ImageSet, splitIndices } from "./datasets/image_set.ts";
import { LatentShards } from "./datasets/latent_shards.ts";
import { loadMnist } from "./datasets/mnist.ts";
import { loadFiles } from "./encode_files.ts";
import { SettingError } from "./setting_error.ts";

const GIBIBYTE = 2 ** 30;

/** Data to train on and data kept apart. */
export interface LoadedData<Data = LabelledImages | LatentShards> extends Disposable {
  /** The data to train on. */
  readonly train: Data;
  /** Data that training never sees; undefined when none are held out. */
  readonly heldOut: Data | undefined;
  /** Where those to train on stand among all: a file of vectors may have one for each of all. */
  readonly places: Places;
}

/** How {@linkcode loadData} loads. */
export interface LoadDataOptions {
  /** Seed of the choice of what is held out. */
  readonly seed: number;
  /** Gets a line for each thing that a person should know, such as files that were skipped. */
  readonly note: (line: string) => void;
  /** Called with the number of files of a folder that were decoded, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Loads the images or latents of a configuration and splits off the held-out ones. Latents stay in their
 * files, which are open until the result is disposed; images of a folder do so where they would take more
 * memory than the configuration allows.
 *
 * Throws a SettingError if they have another size than the configuration says or are too few to hold so many
 * out, and what the loaders throw.
 */
export async function loadData(config: DataConfig, options: LoadDataOptions): Promise<LoadedData> {
  if (config.kind !== "latents") return await loadImages(config, options);
  using opened = new DisposableStack();
  const all = opened.use(await LatentShards.open(config.path!));
  requireSize(config, { channels: all.channels, sides: [all.imageSize] });
  const parts = partsOf(all, { config, ...options, subset: (indices) => all.subset(indices) });
  const kept = opened.move();
  return { ...parts, [Symbol.dispose]: () => kept.dispose() };
}

/**
 * As {@linkcode loadData} for what needs images.
 *
 * Throws as it does, and a TypeError for latents.
 */
export async function loadImages(
  config: DataConfig,
  options: LoadDataOptions,
): Promise<LoadedData<LabelledImages>> {
  const images = ofImages(config);
  // Before they are read, which may take long.
  requireSize(images, KINDS[images.kind]);
  const all = await readImages(images, options);
  const subset = (indices: Uint32Array) => subsetOf(all, indices);
  return { ...partsOf(all, { config, ...options, subset }), [Symbol.dispose]: () => {} };
}

/** Images that each have a name. */
export type NamedImages = ImageSource & Pick<LabelledImages, "names">;

/**
 * Images to show beside what a bank has of them: those to train on, as {@linkcode loadImages} loads them. Where the
 * bank has names, a folder gives all of its images, none of which is decoded before it is read: for the few that are
 * shown of a million that would take hours.
 *
 * Throws what that throws. `read` of the images throws an Error that names a file which cannot be decoded.
 */
export async function loadImagesOf(
  bank: ImageRecords,
  { config: { data, train: { seed } }, note }:
    & { readonly config: Pick<Config, "data" | "train"> }
    & Pick<LoadDataOptions, "note">,
): Promise<NamedImages> {
  const images = ofImages(data), { kind, path, imageSize } = images;
  if (kind !== "folder" || bank.names === undefined) {
    return (await loadImages(data, { seed, note })).train;
  }
  requireSize(images, KINDS[kind]);
  const root = directoryPath(path!);
  const { names } = await listImageFiles(root, { expected: IMAGE_FOLDER });
  return {
    size: names.length,
    imageSize,
    channels: KINDS[kind].channels,
    names,
    async read(indices) {
      if (indices.length === 0) return new Float32Array();
      const paths = Array.from(indices, (index) => `${root}/${names[index]}`);
      const read = await loadFiles(paths, imageSize);
      return read.read(Uint32Array.from(paths, (_, i) => i));
    },
  };
}

type ImagesConfig = DataConfig & { readonly kind: Exclude<DataConfig["kind"], "latents"> };

function ofImages(config: DataConfig): ImagesConfig {
  const { kind, path } = config;
  if (kind !== "latents") return { ...config, kind };
  throw new TypeError(
    `Cannot load images: data.kind is latents, of which ${path} holds no pictures, expected a data ` +
      "set of images",
  );
}

/** The images that a kind of data set has: of any side, where none is said. */
const KINDS: Readonly<
  Record<ImagesConfig["kind"], { channels: number; sides?: readonly number[] }>
> = {
  emoji: { channels: 3, sides: EMOJI_SIZES },
  folder: { channels: 3 },
  mnist: { channels: 1, sides: [28, 32] },
  cifar10: { channels: 3, sides: [32] },
};

/** Throws where the configuration says another size than data of a kind have. */
function requireSize(
  { kind, imageSize, channels }: DataConfig,
  found: { readonly channels: number; readonly sides?: readonly number[] },
): void {
  const { sides = [imageSize] } = found;
  if (sides.includes(imageSize) && channels === found.channels) return;
  throw new SettingError(
    `Cannot use data.kind ${kind}: data.imageSize is ${imageSize} and data.channels ${channels}, ` +
      `expected ${sides.join(" or ")} and ${found.channels}, as the data have`,
  );
}

/** Splits data. */
function partsOf<Data extends { readonly size: number }>(
  all: Data,
  { config, seed, subset }: {
    config: DataConfig;
    seed: number;
    subset: (indices: Uint32Array) => Data;
  },
): Omit<LoadedData<Data>, keyof Disposable> {
  const { size } = all;
  const heldOut = config.heldOut < 1 ? Math.round(size * config.heldOut) : config.heldOut;
  if (heldOut === 0) {
    const indices = Uint32Array.from({ length: size }, (_, i) => i);
    return { train: all, heldOut: undefined, places: { indices, of: size } };
  }
  if (heldOut >= size) {
    throw new SettingError(
      `Cannot hold out data.heldOut ${config.heldOut} of ${counted(size, "image")}: ` +
        "expected some left to train on",
    );
  }
  const chosen = splitIndices(size, { heldOut, seed });
  return {
    train: subset(chosen.train),
    heldOut: subset(chosen.heldOut),
    places: { indices: chosen.train, of: size },
  };
}

async function readImages(
  { kind, path, imageSize, memoryLimit }: ImagesConfig,
  { note, onProgress }: LoadDataOptions,
): Promise<LabelledImages> {
  switch (kind) {
    case "emoji":
      return await loadEmoji({ imageSize });
    case "mnist":
      return await loadMnist(path!, imageSize === 28 || imageSize === 32 ? { imageSize } : {});
    case "cifar10":
      return await loadCifar10(path!);
    case "folder": {
      const memory = memoryLimit * GIBIBYTE;
      const images = await openFolder(path!, {
        imageSize,
        memory,
        note,
        onProgress,
      });
      if (!(images instanceof ImageSet)) {
        const gibibytes = images.size * images.channels * imageSize ** 2 / GIBIBYTE;
        note(
          `images of ${gibibytes.toFixed(1)} GiB stay in their files, for data.memoryLimit is ` +
            `${memoryLimit}: each is decoded whenever it is read`,
        );
      }
      return images;
    }
  }
}

/**
 * The images of a folder, read from their files when they are asked for, or from memory as far as that is
 * allowed: those that {@linkcode loadImages} loads of `data.kind: folder`, in their order, with as many
 * lines for a person.
 *
 * Throws what `openImageFolder` throws.
 */
export async function openFolder(
  path: string,
  options: OpenImageFolderOptions & Pick<LoadDataOptions, "note">,
): Promise<LabelledImages> {
  // Imported here alone, so that runs on other data need no native image decoder.
  const { openImageFolder } = await import("./datasets/image_folder.ts");
  const folder = await openImageFolder(path, options);
  noteSkipped(folder, options.note);
  return folder.images;
}

function noteSkipped(
  { images, skipped, unread }: ImageFolder<{ readonly size: number }>,
  note: (line: string) => void,
): void {
  for (const { name, reason } of skipped) note(`skipped ${name}: ${reason}`);
  if (skipped.length > 0) note(`skipped ${counted(skipped.length, "file")}, kept ${images.size}`);
  if (unread.length > 0) note(`skipped images in ${describeUnread(unread)}`);
}
