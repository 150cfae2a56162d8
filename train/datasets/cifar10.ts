/**
 * CIFAR-10, from its binary version.
 *
 * @module
 */

import { directoryPath, readDirectory } from "../../bank/directory.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { ImageSet } from "./image_set.ts";

/** Which part of CIFAR-10 {@linkcode loadCifar10} reads. */
export interface LoadCifar10Options {
  /** The 50,000 training images (by default) or the 10,000 test images. */
  readonly split?: "train" | "test" | undefined;
}

/** Names of the classes, in the order of the labels. */
const CLASSES: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

const IMAGE_SIZE = 32;
const CHANNELS = 3;
const IMAGE_BYTES = CHANNELS * IMAGE_SIZE * IMAGE_SIZE;

/** A label byte, then the red, green and blue planes. */
const RECORD_BYTES = 1 + IMAGE_BYTES;

/**
 * Loads CIFAR-10 from a directory that holds `data_batch_1.bin` … `data_batch_5.bin` (as many of
 * them as there are) or, for the test split, `test_batch.bin`: RGB images of 32x32. Names are
 * `data_batch_1/0`, `data_batch_1/1`, ….
 *
 * Throws an Error if there is no such file, and a SyntaxError if a file is not a whole number of
 * records of 3073 bytes or has a label above 9, and a RangeError for another split.
 *
 * @example
 * ```ts
 * import { loadCifar10 } from "@gmem/gmem";
 *
 * const directory = Deno.makeTempDirSync();
 * const record = new Uint8Array(3073); // a label and a black image, where the file has 10,000
 * record[0] = 3;
 * Deno.writeFileSync(`${directory}/data_batch_1.bin`, record);
 * const images = await loadCifar10(directory);
 * Deno.removeSync(directory, { recursive: true });
 * console.log(images.names[0], images.classes[images.labels[0]!]); // data_batch_1/0 cat
 * ```
 */
export async function loadCifar10(
  directory: string | URL,
  options: LoadCifar10Options = {},
): Promise<ImageSet> {
  const { split = "train" } = options;
  requireOneOf("Cannot load CIFAR-10: split", split, ["train", "test"]);
  const pattern = split === "train" ? /^data_batch_\d+\.bin$/ : /^test_batch\.bin$/;
  const expected = split === "train" ? "data_batch_1.bin to data_batch_5.bin" : "test_batch.bin";
  const path = directoryPath(directory);
  const entries = await readDirectory(path, {
    problem: "Cannot load CIFAR-10",
    expected: `a directory that holds ${expected}`,
  });
  const files = entries.map((entry) => entry.name).filter((name) => pattern.test(name)).sort();
  if (files.length === 0) {
    throw new Error(`Cannot load CIFAR-10: ${path} lacks its binary files, expected ${expected}`);
  }
  const batches = await Promise.all(files.map((file) => Deno.readFile(`${path}/${file}`)));
  const counts = batches.map((batch, index) => countRecords(batch, files[index]!));
  const size = counts.reduce((sum, count) => sum + count, 0);
  const pixels = new Uint8Array(size * IMAGE_BYTES);
  const labels = new Uint32Array(size);
  const names: string[] = [];
  for (const [index, batch] of batches.entries()) {
    const file = files[index]!;
    for (let record = 0; record < counts[index]!; record++) {
      const start = record * RECORD_BYTES;
      const label = batch[start]!;
      if (label >= CLASSES.length) {
        throw new SyntaxError(
          `Cannot load CIFAR-10: record ${record} of ${file} has label ${label}, ` +
            `expected a label below ${CLASSES.length}`,
        );
      }
      labels[names.length] = label;
      pixels.set(batch.subarray(start + 1, start + RECORD_BYTES), names.length * IMAGE_BYTES);
      names.push(`${file.replace(".bin", "")}/${record}`);
    }
  }
  return new ImageSet({
    imageSize: IMAGE_SIZE,
    channels: CHANNELS,
    pixels,
    names,
    labels,
    classes: CLASSES,
  });
}

function countRecords(batch: Uint8Array, file: string): number {
  if (batch.length === 0 || batch.length % RECORD_BYTES !== 0) {
    throw new SyntaxError(
      `Cannot load CIFAR-10: ${file} has ${batch.length} bytes, ` +
        `expected a multiple of ${RECORD_BYTES}, one or more`,
    );
  }
  return batch.length / RECORD_BYTES;
}
