/**
 * MNIST, and the data sets that use its file format and names (Fashion-MNIST, KMNIST).
 *
 * @module
 */

import { gunzipSync } from "node:zlib";
import { directoryPath, readDirectory } from "../../bank/directory.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { elementsOf } from "../../kernels/core/tensor.ts";
import { ImageSet } from "./image_set.ts";

/** Which part of MNIST {@linkcode loadMnist} reads, and how large. */
export interface LoadMnistOptions {
  /** The 60,000 training images (by default) or the 10,000 test images. */
  readonly split?: "train" | "test" | undefined;
  /**
   * Height and width in pixels: 28 as in the files, or 32 (by default) with two black pixels on
   * every side, which divides into patches of 2, 4 and 8.
   */
  readonly imageSize?: 28 | 32 | undefined;
  /** Names of the ten classes; the digits by default. */
  readonly classes?: readonly string[] | undefined;
}

/** An IDX file: unsigned bytes in an array of some dimensions. */
interface Idx {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Height and width of an image in the files. */
const FILE_IMAGE_SIZE = 28;

const DIGITS: readonly string[] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/** IDX type code of unsigned bytes. */
const UNSIGNED_BYTE = 8;

/** Twenty times the largest MNIST file; a gzip file that unpacks to more is not one. */
const MAX_UNPACKED_BYTES = 2 ** 30;

/**
 * Loads MNIST from a directory that holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`
 * (or, for the test split, `t10k-…`), each as it is or as `.gz`. The images are grey: one channel,
 * the background is 0. Names are `train/0`, `train/1`, ….
 *
 * Throws an Error if a file is missing, a SyntaxError if one is damaged or does not hold what its
 * name says, and a RangeError if imageSize is not 28 or 32, or for another split.
 *
 * @example
 * ```ts
 * import { loadMnist } from "@gmem/gmem";
 *
 * const directory = Deno.makeTempDirSync(); // of a black image that is a 7, where MNIST has 60,000
 * const header = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28];
 * const images = Uint8Array.from([...header, ...new Uint8Array(28 * 28)]);
 * Deno.writeFileSync(`${directory}/train-images-idx3-ubyte`, images);
 * const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 1, 7);
 * Deno.writeFileSync(`${directory}/train-labels-idx1-ubyte`, labels);
 * const mnist = await loadMnist(directory);
 * Deno.removeSync(directory, { recursive: true });
 * console.log(mnist.imageSize, mnist.classes[mnist.labels[0]!]); // 32 7
 * ```
 */
export async function loadMnist(
  directory: string | URL,
  options: LoadMnistOptions = {},
): Promise<ImageSet> {
  const { split = "train", imageSize = 32, classes = DIGITS } = options;
  if (imageSize !== 28 && imageSize !== 32) {
    throw new RangeError(`Cannot load MNIST: imageSize is ${imageSize}, expected 28 or 32`);
  }
  requireOneOf("Cannot load MNIST: split", split, ["train", "test"]);
  const prefix = split === "train" ? "train" : "t10k";
  const path = directoryPath(directory);
  const images = await readIdx(path, { kind: `${prefix}-images`, dimensions: 3 });
  const labels = await readIdx(path, { kind: `${prefix}-labels`, dimensions: 1 });
  const [count, height, width] = images.shape;
  if (height !== FILE_IMAGE_SIZE || width !== FILE_IMAGE_SIZE) {
    throw new SyntaxError(
      `Cannot load MNIST: the images are ${height}x${width}, ` +
        `expected ${FILE_IMAGE_SIZE}x${FILE_IMAGE_SIZE}`,
    );
  }
  if (labels.shape[0] !== count) {
    throw new SyntaxError(
      `Cannot load MNIST: there are ${count} images and ${labels.shape[0]} labels, ` +
        "expected one label for each image",
    );
  }
  return new ImageSet({
    imageSize,
    channels: 1,
    pixels: imageSize === FILE_IMAGE_SIZE ? images.data : padImages(images.data, imageSize),
    names: Array.from({ length: count! }, (_, index) => `${split}/${index}`),
    labels: Uint32Array.from(labels.data),
    classes,
  });
}

/** Sets images [N, 28, 28] into the middle of black ones [N, H, W]. */
function padImages(data: Uint8Array, imageSize: number): Uint8Array {
  const margin = (imageSize - FILE_IMAGE_SIZE) / 2;
  const rows = data.length / FILE_IMAGE_SIZE;
  const padded = new Uint8Array(rows / FILE_IMAGE_SIZE * imageSize * imageSize);
  for (let row = 0; row < rows; row++) {
    const image = Math.floor(row / FILE_IMAGE_SIZE);
    const y = row % FILE_IMAGE_SIZE + margin;
    padded.set(
      data.subarray(row * FILE_IMAGE_SIZE, (row + 1) * FILE_IMAGE_SIZE),
      (image * imageSize + y) * imageSize + margin,
    );
  }
  return padded;
}

async function readIdx(
  path: string,
  options: { kind: string; dimensions: number },
): Promise<Idx> {
  const { kind, dimensions } = options;
  const expected = `${kind}-idx${dimensions}-ubyte, as it is or as .gz`;
  const entries = await readDirectory(path, {
    problem: "Cannot load MNIST",
    expected: `a directory that holds ${expected}`,
  });
  const names = new Set(entries.map((entry) => entry.name));
  // Some archives hold the files with a dot where the official name has a dash.
  const stems = [`${kind}-idx${dimensions}-ubyte`, `${kind}.idx${dimensions}-ubyte`];
  const name = stems.flatMap((stem) => [stem, `${stem}.gz`]).find((name) => names.has(name));
  if (name === undefined) {
    throw new Error(`Cannot load MNIST: ${path} lacks ${kind}, expected ${expected}`);
  }
  const bytes = await Deno.readFile(`${path}/${name}`);
  return parseIdx(unpack(bytes, name), { name, dimensions });
}

/** Unpacks gzip, which a browser may have done already whatever the file is called. */
function unpack(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return new Uint8Array(gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES }));
  } catch (cause) {
    throw new SyntaxError(
      `Cannot load MNIST: ${name} is damaged or unpacks to more than ${MAX_UNPACKED_BYTES} bytes, ` +
        "expected a gzip file of MNIST",
      { cause },
    );
  }
}

/** Reads two zero bytes, the type, the number of dimensions, a big-endian u32 for each, the bytes. */
function parseIdx(bytes: Uint8Array, options: { name: string; dimensions: number }): Idx {
  const { name, dimensions } = options;
  const start = 4 + 4 * dimensions;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < start || view.getUint32(0) !== (UNSIGNED_BYTE << 8 | dimensions)) {
    throw new SyntaxError(
      `Cannot load MNIST: ${name} has another header, ` +
        `expected an IDX file of unsigned bytes in ${dimensions} dimensions`,
    );
  }
  const shape = Array.from({ length: dimensions }, (_, axis) => view.getUint32(4 + 4 * axis));
  const length = elementsOf(shape);
  if (bytes.length - start !== length) {
    throw new SyntaxError(
      `Cannot load MNIST: ${name} has ${bytes.length - start} bytes of data, ` +
        `expected ${length} for [${shape.join(", ")}]`,
    );
  }
  return { shape, data: bytes.subarray(start) };
}
