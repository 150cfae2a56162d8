/**
 * Image files of any common format, decoded with sharp. The only file that imports sharp, so it is
 * an entry point of its own.
 *
 * sharp is a native library and needs
 * `--allow-ffi --allow-env=npm_package_config_libvips,MALLOC_ARENA_MAX --allow-sys=cpus,networkInterfaces,hostname`.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import sharp from "sharp";
import { directoryPath } from "../../bank/directory.ts";
import { IMAGE_FOLDER, listImageFiles } from "../../bank/image_files.ts";
import { checkImageIndices, type LabelledImages } from "../../bank/image_source.ts";
import { swapAxes } from "../../bank/select_rows.ts";
import { resizePlanes, tapsOf } from "../../bank/taps.ts";
import { requireCount } from "../../kernels/core/counted.ts";
import { messageOf } from "../../kernels/core/errors.ts";
import { ImageSet, type ImageSetData } from "./image_set.ts";

export { ImageSet, type ImageSetData, type Split, type SplitOptions } from "./image_set.ts";

/** How {@linkcode loadImageFolder} and {@linkcode openImageFolder} read images. */
export interface LoadImageFolderOptions {
  /** Height and width that every image gets, in pixels. */
  readonly imageSize: number;
  /** Called after each file with the number of those that were looked at, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** How {@linkcode openImageFolder} reads images. */
export interface OpenImageFolderOptions extends LoadImageFolderOptions {
  /** Bytes of decoded images that may be held in memory: a folder of more is not. Default 0. */
  readonly memory?: number | undefined;
}

/** A file that cannot be decoded. */
export interface SkippedImage {
  /** Path of the file in the folder. */
  readonly name: string;
  /** What the decoder says. */
  readonly reason: string;
}

/** What {@linkcode loadImageFolder} or {@linkcode openImageFolder} found. */
export interface ImageFolder<Images = ImageSet> {
  /** The images, by sorted path. */
  readonly images: Images;
  /** The files that look like images and cannot be decoded, by sorted path. */
  readonly skipped: readonly SkippedImage[];
  /** Paths in the folder of images in formats that are not read, sorted. */
  readonly unread: readonly string[];
}

const CHANNELS = 3;

/** Files being decoded at once, by threads of their own: all the images of native size in memory. */
const CONCURRENCY = Math.min(Math.max(navigator.hardwareConcurrency, 4), 16);

/** Above this part of corrupt files the folder is not what its user thinks it is. */
const MAX_CORRUPT_PART = 0.05;

/** How many corrupt files an error names. */
const NAMED_FILES = 5;

/**
 * Loads the images of a folder and of its subfolders. With subfolders each of the first level is a
 * class, otherwise the folder is the one class. Names are paths in the folder, sorted by code unit;
 * files and folders whose name begins with a dot are left out.
 *
 * Each image is turned as its EXIF orientation says, laid on white where it is transparent, scaled
 * until its shorter side is imageSize, and cropped to its central square, at the pixel where ADM crops. Scaling
 * is bicubic, antialiased where an image shrinks. One that is four times as large or more is first averaged over
 * blocks of pixels, to twice imageSize or more; ADM averages what is twice as large or more, to less than twice. Of an
 * animation it is the first frame.
 *
 * A file that cannot be decoded is skipped and named in the result, as is an image in a format that is
 * not read, such as bmp or heic.
 *
 * Throws a RangeError if imageSize is not a positive integer, and an Error if the folder is missing
 * or holds no images, if images lie beside class folders, if links make a circle, or if more than
 * 5 % of the files cannot be decoded.
 *
 * @example
 * ```ts
 * import { encodePng } from "@gmem/gmem";
 * import { loadImageFolder } from "@gmem/gmem/image";
 *
 * const folder = Deno.makeTempDirSync(), red = Uint8Array.of(255, 0, 0);
 * Deno.mkdirSync(`${folder}/warm`);
 * const png = encodePng({ width: 1, height: 1, channels: 3, data: red });
 * Deno.writeFileSync(`${folder}/warm/red.png`, png);
 * const { images, skipped } = await loadImageFolder(folder, { imageSize: 8 });
 * Deno.removeSync(folder, { recursive: true });
 * console.log(images.names, images.classes, skipped.length); // [ "warm/red.png" ] [ "warm" ] 0
 * ```
 */
export async function loadImageFolder(
  directory: string | URL,
  options: LoadImageFolderOptions,
): Promise<ImageFolder> {
  const { skipped, unread, pixels, ...records } = await decodeFolder(directory, {
    ...options,
    memory: Infinity,
  });
  return { images: inMemory(pixels!, { ...options, ...records }), skipped, unread };
}

/**
 * Opens a folder as {@linkcode loadImageFolder} loads it, for more images than memory holds: the same
 * images under the same names in the same order, of which each is decoded anew when it is read. All are
 * decoded once before, to know which can be. A folder whose decoded images take at most `memory` bytes is
 * loaded nevertheless.
 *
 * Throws what that throws. `read` of the images throws a RangeError for an index that is not below their
 * number, and an Error that names the file for one that can no longer be decoded.
 *
 * @example
 * ```ts
 * import { encodePng } from "@gmem/gmem";
 * import { openImageFolder } from "@gmem/gmem/image";
 *
 * const folder = Deno.makeTempDirSync(), red = Uint8Array.of(255, 0, 0);
 * const png = encodePng({ width: 1, height: 1, channels: 3, data: red });
 * Deno.writeFileSync(`${folder}/red.png`, png);
 * const { images } = await openImageFolder(folder, { imageSize: 1 });
 * console.log(await images.read(Uint32Array.of(0))); // Float32Array(3) [ 1, -1, -1 ]
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function openImageFolder(
  directory: string | URL,
  options: OpenImageFolderOptions,
): Promise<ImageFolder<LabelledImages>> {
  const { imageSize } = options;
  const { skipped, unread, pixels, ...records } = await decodeFolder(directory, options);
  if (pixels) {
    return { images: inMemory(pixels, { imageSize, ...records }), skipped, unread };
  }
  const root = directoryPath(directory), { names } = records;
  const images = {
    ...records,
    size: names.length,
    imageSize,
    channels: CHANNELS,
    async read(indices: Uint32Array) {
      checkImageIndices(indices, names.length);
      const paths = Array.from(indices, (index) => `${root}/${names[index]}`);
      const read = await loadImageFiles(paths, { imageSize });
      return read.read(Uint32Array.from(paths, (_, i) => i));
    },
  };
  return { images, skipped, unread };
}

function inMemory(
  pixels: Uint8Array,
  records: Omit<ImageSetData, "channels" | "pixels">,
): ImageSet {
  return new ImageSet({ channels: CHANNELS, pixels, ...records });
}

/** What {@linkcode decodeFolder} found. */
interface DecodedFolder {
  /** Names of the files that can be decoded. */
  readonly names: readonly string[];
  /** Their classes. */
  readonly labels: Uint32Array;
  /** Names of the classes. */
  readonly classes: readonly string[];
  readonly skipped: readonly SkippedImage[];
  readonly unread: readonly string[];
  /** Pixels of the images [N, C, H, W]; undefined where they would take more memory than they may. */
  readonly pixels: Uint8Array | undefined;
}

/** Decodes all images of a folder, and keeps them where all files together take at most `memory` bytes. */
async function decodeFolder(
  directory: string | URL,
  options: OpenImageFolderOptions,
): Promise<DecodedFolder> {
  const { imageSize, onProgress, memory = 0 } = options;
  requireCount("Cannot load images: imageSize", imageSize, 1);
  const root = directoryPath(directory);
  const { names, unread } = await listImageFiles(root, { expected: IMAGE_FOLDER });
  const classOfImage = listClasses(names, root);
  const imageLength = CHANNELS * imageSize * imageSize;
  const kept = names.length * imageLength <= memory ? allocate(names.length, imageSize) : undefined;
  const reasons = new Map<number, string>();
  const mostSkipped = MAX_CORRUPT_PART * names.length;
  let done = 0;
  await decodeEach(names.map((name) => `${root}/${name}`), {
    imageSize,
    use: (pixels, index) => kept?.set(pixels, index * imageLength),
    fail: (reason, index) => reasons.set(index, reason),
    onDone() {
      done++;
      onProgress?.(done, names.length);
      return reasons.size <= mostSkipped;
    },
  });

  const skipped = [...reasons].sort(([a], [b]) => a - b).map(([index, reason]) => ({
    name: names[index]!,
    reason,
  }));
  if (skipped.length > mostSkipped) {
    const named = skipped.slice(0, NAMED_FILES).map(({ name, reason }) => `${name} (${reason})`);
    throw new Error(
      `Cannot load images: ${skipped.length} of ${done} files in ${root} cannot be decoded, ` +
        `expected at most ${100 * MAX_CORRUPT_PART} % of all ${names.length}; among them: ` +
        named.join(", "),
    );
  }
  const sound = names.map((_, index) => index).filter((index) => !reasons.has(index));
  for (const [position, index] of sound.entries()) {
    kept?.copyWithin(position * imageLength, index * imageLength, (index + 1) * imageLength);
  }
  const classes = [...new Set(classOfImage)];
  const labels = new Map(classes.map((name, label) => [name, label]));
  return {
    names: sound.map((index) => names[index]!),
    labels: Uint32Array.from(sound, (index) => labels.get(classOfImage[index]!)!),
    classes,
    skipped,
    unread,
    pixels: kept?.subarray(0, sound.length * imageLength),
  };
}

function allocate(count: number, imageSize: number): Uint8Array {
  const bytes = count * CHANNELS * imageSize ** 2;
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new RangeError(
      `Cannot load images: ${count} of ${imageSize} × ${imageSize} pixels take ` +
        `${(bytes / 2 ** 30).toFixed(1)} GiB, which the system does not give, expected fewer or ` +
        "smaller ones, or to read them from their files (data.memoryLimit, openImageFolder)",
      { cause },
    );
  }
}

/**
 * Reads and decodes files, some at once, and begins with them in their order, until `onDone`, called
 * after each, is false.
 */
async function decodeEach(
  paths: readonly string[],
  options: {
    readonly imageSize: number;
    readonly use: (pixels: Uint8Array, index: number) => void;
    readonly fail: (reason: string, index: number) => void;
    readonly onDone: () => boolean;
  },
): Promise<void> {
  const { imageSize, use, fail, onDone } = options;
  const decode = async (index: number) => {
    return await decodeImage(await Deno.readFile(paths[index]!), imageSize);
  };
  const failed: number[] = [];
  let next = 0, goOn = true;
  async function work(): Promise<void> {
    while (goOn && next < paths.length) {
      const index = next++;
      try {
        use(await decode(index), index);
      } catch (error) {
        failed.push(index);
        fail(firstLine(error), index);
      }
      goOn = onDone() && goOn;
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  // The decoder has one place for the errors of all that it decodes at once, and mixes them up.
  for (const index of failed) await decode(index).catch((error) => fail(firstLine(error), index));
}

function firstLine(error: unknown): string {
  // What ends in a colon there would be explained by lines of the decoder's own library.
  return messageOf(error).split("\n", 1)[0]!.replace(/:\s*$/, "");
}

/**
 * Loads image files by their paths, in the order given, prepared as {@linkcode loadImageFolder}
 * prepares them. Names are the paths.
 *
 * Throws a RangeError if imageSize is not a positive integer or there are no paths, and an Error that
 * names the first file that cannot be read or decoded.
 *
 * @example
 * ```ts
 * import { encodePng } from "@gmem/gmem";
 * import { loadImageFiles } from "@gmem/gmem/image";
 *
 * const folder = Deno.makeTempDirSync(), path = `${folder}/grey.png`;
 * const png = encodePng({ width: 1, height: 1, channels: 1, data: Uint8Array.of(51) });
 * Deno.writeFileSync(path, png);
 * const images = await loadImageFiles([path], { imageSize: 1 });
 * Deno.removeSync(folder, { recursive: true });
 * console.log(images.channels, images.pixels); // 3 Uint8Array(3) [ 51, 51, 51 ]
 * ```
 */
export async function loadImageFiles(
  paths: readonly string[],
  options: { readonly imageSize: number },
): Promise<ImageSet> {
  const { imageSize } = options;
  requireCount("Cannot load images: imageSize", imageSize, 1);
  const imageLength = CHANNELS * imageSize * imageSize;
  const pixels = allocate(paths.length, imageSize), reasons = new Map<number, string>();
  await decodeEach(paths, {
    imageSize,
    use: (image, index) => pixels.set(image, index * imageLength),
    fail: (reason, index) => reasons.set(index, reason),
    onDone: () => reasons.size === 0,
  });
  if (reasons.size > 0) {
    const first = Math.min(...reasons.keys());
    throw new Error(
      `Cannot load image ${paths[first]}: ${reasons.get(first)}, expected an image file`,
    );
  }
  return new ImageSet({ imageSize, channels: CHANNELS, pixels, names: paths });
}

/** Returns the class of each name: its first-level folder, or the root's own name if none has one. */
function listClasses(names: readonly string[], root: string): string[] {
  const loose = names.filter((name) => !name.includes("/"));
  if (loose.length === names.length) return names.map(() => basename(resolve(root)));
  if (loose.length > 0) {
    throw new Error(
      `Cannot load images: ${loose.length} lie in ${root} beside its class folders, ` +
        `${loose[0]} first, expected all images in class folders or none`,
    );
  }
  return names.map((name) => name.slice(0, name.indexOf("/")));
}

/**
 * Decodes a file of any format to the bytes [C, H, W] of a square image: RGB in sRGB, which is what
 * sharp makes of grey, CMYK and 16 bits unless told otherwise.
 */
async function decodeImage(file: Uint8Array, imageSize: number): Promise<Uint8Array> {
  const image = sharp(file, { failOn: "error" });
  const { width, height } = (await image.metadata()).autoOrient;
  const turned = image.autoOrient().flatten({ background: "white" });
  if (Math.min(width, height) < imageSize) {
    // What the library enlarges it moves to the right and down, by half a pixel of the smaller image at most.
    const { data, info } = await turned.raw({ depth: "uchar" }).toBuffer({
      resolveWithObject: true,
    });
    return enlargedSquare(new Uint8Array(data), { ...info, imageSize });
  }
  const scaled = scaledSize({ width, height }, imageSize);
  const data = await turned
    // The decoder's own fast reduction of JPEG leaves moiré patterns.
    .resize({ ...scaled, fit: "fill", kernel: "cubic", fastShrinkOnLoad: false })
    .extract({
      left: Math.floor((scaled.width - imageSize) / 2),
      top: Math.floor((scaled.height - imageSize) / 2),
      width: imageSize,
      height: imageSize,
    })
    .raw({ depth: "uchar" })
    .toBuffer();
  return swapAxes(new Uint8Array(data), { rows: imageSize ** 2, columns: CHANNELS });
}

/** What ADM scales an image to before it crops: halved, and rounded down, while it is twice as large or more. */
function scaledSize(size: { width: number; height: number }, imageSize: number) {
  let { width, height } = size;
  while (Math.min(width, height) >= 2 * imageSize) {
    [width, height] = [Math.floor(width / 2), Math.floor(height / 2)];
  }
  const scale = imageSize / Math.min(width, height);
  return { width: roundHalfToEven(width * scale), height: roundHalfToEven(height * scale) };
}

/** As Python rounds. */
function roundHalfToEven(x: number): number {
  const rounded = Math.round(x);
  return x % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

/**
 * The central square of bytes [H, W, C], enlarged to bytes [C, imageSize, imageSize] as Pillow's `BICUBIC` does it,
 * by which ADM enlarges.
 */
function enlargedSquare(
  pixels: Uint8Array,
  size: { width: number; height: number; channels: number; imageSize: number },
): Uint8Array {
  const { width, height, channels, imageSize } = size, shorter = Math.min(width, height);
  const [across, down] = [width, height].map((length) => {
    const scaled = roundHalfToEven(length * imageSize / shorter), scale = length / scaled;
    const start = Math.floor((scaled - imageSize) / 2) * scale;
    return tapsOf("bicubic", { length, size: imageSize, start, scale });
  });
  const planes = swapAxes(pixels, { rows: width * height, columns: channels });
  const enlarged = resizePlanes(planes, { width, height, across: across!, down: down! });
  // A clamped array rounds.
  return new Uint8Array(new Uint8ClampedArray(enlarged).buffer);
}
