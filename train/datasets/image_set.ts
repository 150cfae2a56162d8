/**
 * Pixel images in memory, with the names, classes and texts that go with them.
 *
 * @module
 */

import { checkImageIndices } from "../../bank/image_source.ts";
import { toValues } from "../../bank/pixels.ts";
import { selectRows } from "../../bank/select_rows.ts";
import { requireCount } from "../../kernels/core/counted.ts";
import { permutation } from "../../kernels/core/random.ts";

/** What an {@linkcode ImageSet} is made of. The arrays are kept, not copied. */
export interface ImageSetData {
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image: 3 for RGB, 1 for grey. */
  readonly channels: number;
  /** Pixels [N, C, H, W], 0 to 255. */
  readonly pixels: Uint8Array;
  /** Names [N]: file names, or what the source calls its images. */
  readonly names: readonly string[];
  /** Class of each image [N]; all 0 if left out. */
  readonly labels?: Uint32Array | undefined;
  /** Names of the classes; empty if left out. */
  readonly classes?: readonly string[] | undefined;
  /** A text for each image [N], where the source has one. */
  readonly texts?: readonly string[] | undefined;
}

/** How {@linkcode ImageSet.split} chooses. */
export interface SplitOptions {
  /** Number of images to hold out, from 1 to size − 1. */
  readonly heldOut: number;
  /** Seed of the choice; 0 by default. */
  readonly seed?: number | undefined;
}

/** The two parts that {@linkcode ImageSet.split} returns; together they are the whole set. */
export interface Split {
  /** The images to train on, in the order of the whole set. */
  readonly train: ImageSet;
  /** The images kept apart, in the order of the whole set. */
  readonly heldOut: ImageSet;
}

/**
 * Epoch number of the permutation that chooses held-out images: the last one there is, so that no
 * epoch of a training run that has the same seed draws the same order.
 */
const SPLIT_EPOCH = 2 ** 32 - 1;

/**
 * Chooses the images of a set of `size` to hold out, at random but always the same for the same size,
 * seed and number: indices of both parts, in rising order.
 *
 * Throws a RangeError unless both parts have at least one image, and what
 * {@linkcode permutation} throws for the seed.
 *
 * @example
 * ```ts
 * import { splitIndices } from "@gmem/gmem";
 *
 * const { train, heldOut } = splitIndices(6, { heldOut: 2, seed: 0 });
 * console.log(train, heldOut); // Uint32Array(4) [ 1, 3, 4, 5 ] Uint32Array(2) [ 0, 2 ]
 * ```
 */
export function splitIndices(
  size: number,
  options: SplitOptions,
): { train: Uint32Array; heldOut: Uint32Array } {
  const { heldOut, seed = 0 } = options;
  if (!Number.isInteger(heldOut) || heldOut < 1 || heldOut >= size) {
    throw new RangeError(
      `Cannot split an image set of ${size}: heldOut is ${heldOut}, ` +
        `expected an integer from 1 to ${size - 1}`,
    );
  }
  const order = permutation(size, seed, SPLIT_EPOCH);
  return { train: order.slice(heldOut).sort(), heldOut: order.slice(0, heldOut).sort() };
}

/**
 * N square images of one size held as bytes [N, C, H, W], read in batches of floats.
 *
 * @example
 * ```ts
 * import { ImageSet } from "@gmem/gmem";
 *
 * const images = new ImageSet({
 *   imageSize: 1,
 *   channels: 1,
 *   pixels: Uint8Array.of(0, 255),
 *   names: ["black", "white"],
 * });
 * console.log(images.read(Uint32Array.of(1, 0))); // Float32Array(2) [ 1, -1 ]
 * ```
 */
export class ImageSet {
  /** Number of images N. */
  readonly size: number;
  /** Height and width of an image in pixels. */
  readonly imageSize: number;
  /** Channels of an image: 3 for RGB, 1 for grey. */
  readonly channels: number;
  /** Pixels [N, C, H, W], 0 to 255. */
  readonly pixels: Uint8Array;
  /** Class of each image [N], an index into {@linkcode classes}; all 0 without classes. */
  readonly labels: Uint32Array;
  /** Names of the classes; empty where the source has none. */
  readonly classes: readonly string[];
  /** Names of the images [N]. */
  readonly names: readonly string[];
  /** A text for each image [N], or undefined where the source has none. */
  readonly texts: readonly string[] | undefined;

  /**
   * Makes a set from its arrays, which it keeps.
   *
   * Throws a RangeError if there is no image, if a size is not a positive integer or if a label has
   * no class, and a TypeError if the arrays are not all of N images.
   */
  constructor(data: ImageSetData) {
    const { imageSize, channels, pixels, names, classes = [], texts } = data;
    const size = names.length;
    const labels = data.labels ?? new Uint32Array(size);
    if (size === 0) {
      throw new RangeError("Cannot make an image set: it has no images, expected at least one");
    }
    for (const [name, value] of Object.entries({ imageSize, channels })) {
      requireCount(`Cannot make an image set: ${name}`, value, 1);
    }
    const expectedPixels = size * channels * imageSize * imageSize;
    if (pixels.length !== expectedPixels) {
      throw new TypeError(
        `Cannot make an image set: pixels has ${pixels.length} bytes, expected ${expectedPixels} ` +
          `for [${size}, ${channels}, ${imageSize}, ${imageSize}]`,
      );
    }
    for (const [name, values] of Object.entries({ labels, texts })) {
      if (values === undefined || values.length === size) continue;
      throw new TypeError(
        `Cannot make an image set: ${name} has ${values.length} entries, expected ${size}`,
      );
    }
    const labelEnd = Math.max(1, classes.length);
    const wrongLabel = labels.findIndex((label) => label >= labelEnd);
    if (wrongLabel >= 0) {
      throw new RangeError(
        `Cannot make an image set: image ${wrongLabel} has label ${labels[wrongLabel]}, ` +
          `expected a label below ${labelEnd}`,
      );
    }
    this.size = size;
    this.imageSize = imageSize;
    this.channels = channels;
    this.pixels = pixels;
    this.labels = labels;
    this.classes = classes;
    this.names = names;
    this.texts = texts;
  }

  /**
   * Reads a batch of images [n, C, H, W] as floats in [-1, 1]: x / 127.5 − 1.
   *
   * Throws a RangeError if an index is not below the size of the set.
   */
  read(indices: Uint32Array): Float32Array {
    checkImageIndices(indices, this.size);
    return toValues(this.#pixelsOf(indices));
  }

  /**
   * Copies the chosen images, in the given order, to a set of their own that has the same classes.
   *
   * Throws a RangeError if there is no index or if one is not below the size of the set.
   */
  subset(indices: Uint32Array): ImageSet {
    checkImageIndices(indices, this.size);
    const texts = this.texts;
    return new ImageSet({
      imageSize: this.imageSize,
      channels: this.channels,
      pixels: this.#pixelsOf(indices),
      names: Array.from(indices, (index) => this.names[index]!),
      labels: Uint32Array.from(indices, (index) => this.labels[index]!),
      classes: this.classes,
      texts: texts && Array.from(indices, (index) => texts[index]!),
    });
  }

  /**
   * Splits off a random part as {@linkcode splitIndices} chooses it.
   *
   * Throws what that throws.
   */
  split(options: SplitOptions): Split {
    const { train, heldOut } = splitIndices(this.size, options);
    return { train: this.subset(train), heldOut: this.subset(heldOut) };
  }

  /** Pixels [n, C, H, W] of the chosen images. */
  #pixelsOf(indices: Uint32Array): Uint8Array {
    return selectRows(this.pixels, { indices, width: this.channels * this.imageSize ** 2 });
  }
}
