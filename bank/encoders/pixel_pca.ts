/**
 * An encoder that needs no download: the principal components of shrunken images.
 *
 * @module
 */

import { counted } from "../../kernels/core/counted.ts";
import type { Device } from "../../kernels/core/device.ts";
import { sha256Hex } from "../../kernels/core/sha256.ts";
import type { EncoderRecords } from "../bank.ts";
import { symmetricEigen } from "../eigen.ts";
import { type ImageSource, readInOrder } from "../image_source.ts";
import { Moments } from "../moments.ts";
import { normalizeSnippets } from "../normalize.ts";
import { type Projection, projectRows } from "../projection.ts";
import type { Encoder, EncoderDescription, EncoderWeight, ImageBatchShape } from "./encoder.ts";
import { resizeImages } from "./resize.ts";

/** How {@linkcode PixelPca.fit} makes an encoder. */
export interface PixelPcaOptions {
  /** The images to fit to. */
  readonly images: ImageSource;
  /** Length d of a snippet: the number of principal components, of which N images have N − 1. */
  readonly dim: number;
  /** Height and width r in pixels to which images are shrunk first. */
  readonly resolution: number;
  /** Scale every component to the same variance. Default `true`. */
  readonly whiten?: boolean | undefined;
  /** Called after each batch with the number of images seen, and N. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Name of the method in descriptions. */
const KIND = "pixel_pca";

/**
 * Variance that rounding to 256 levels leaves in a pixel with values in [−1, 1], and so in every
 * direction: a component with less holds nothing that can be told from rounding.
 */
const ROUNDING_VARIANCE = (2 / 255) ** 2 / 12;

/** What a fitted encoder is made of. */
interface FittedState {
  readonly description: EncoderDescription;
  readonly weights: ReadonlyMap<string, EncoderWeight>;
}

/**
 * Principal components of images shrunk to r × r: f(x) = W (shrink(x) − μ), and the snippet is
 * f(x) / ‖f(x)‖.
 *
 * μ [C·r·r] is the mean of the images it was fitted to, and the rows of W [d, C·r·r] are the unit
 * eigenvectors of their covariance with the largest eigenvalues λ. With whitening, each row is
 * scaled by √λ / (λ + ρ), where ρ is the variance that rounding to 8 bits leaves in every direction
 * (5e-6): this is 1/√λ for all that can be seen in an image, and goes to 0 instead of to infinity
 * for directions that the images do not vary in, which a new image may.
 *
 * @example
 * ```ts
 * import { Device, ImageSet, PixelPca } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const images = new ImageSet({
 *   imageSize: 2, channels: 1, names: ["black", "top", "white"],
 *   pixels: Uint8Array.of(0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 255, 255),
 * });
 * using encoder = await PixelPca.fit(device, { images, dim: 1, resolution: 2 });
 * const shape = { count: 1, channels: 1, height: 2, width: 2 };
 * const snippet = await encoder.encode(Float32Array.of(1, 1, 1, 1), shape);
 * console.log(snippet, encoder.description.settings.varianceKept); // Float32Array(1) [ 1 ] 0.75
 * ```
 */
export class PixelPca implements Encoder {
  /** Length d of a snippet. */
  readonly dim: number;
  /** Method, sizes and fingerprint; `settings.varianceKept` is the components' share. */
  readonly description: EncoderDescription;
  /** `mean` [C·r·r] and `components` [d, C·r·r]. */
  readonly weights: ReadonlyMap<string, EncoderWeight>;
  readonly #device: Device;
  readonly #resolution: number;
  readonly #channels: number;
  readonly #projection: Projection;

  private constructor(device: Device, state: FittedState) {
    const { description, weights } = state;
    this.#device = device;
    this.description = description;
    this.weights = weights;
    this.dim = description.dim;
    this.#resolution = positiveInteger(description, "size");
    this.#channels = positiveInteger(description, "channels");
    const pixels = this.#channels * this.#resolution ** 2;
    this.#projection = {
      mean: weightOf(weights, { name: "mean", shape: [pixels] }),
      directions: weightOf(weights, { name: "components", shape: [this.dim, pixels] }),
    };
  }

  /**
   * Fits an encoder to images: their covariance in float64 on the CPU, one pass over the images and
   * N·(C·r·r)² operations (0.7 s for 1,700 images at r = 16), then its eigenvectors (1.3 s). The device
   * resizes the images.
   *
   * Throws a RangeError if there are fewer than two images, if they are all alike, if the resolution
   * is not a positive integer, or if `dim` is not from 1 to C·r·r or not below the number of images.
   */
  static async fit(device: Device, options: PixelPcaOptions): Promise<PixelPca> {
    const { images: source, dim, resolution, whiten = true, onProgress } = options;
    const { channels, imageSize } = source;
    const pixels = channels * resolution ** 2;
    requireFit(options);
    const moments = new Moments(pixels);
    for await (const { first, count, images } of readInOrder(source)) {
      const shape = { count, channels, height: imageSize, width: imageSize };
      moments.add(await resizeImages(device, images, { shape, size: resolution }));
      onProgress?.(first + count, source.size);
    }
    const { values, vectors } = symmetricEigen(moments.covariance(), pixels);
    const total = values.reduce((sum, value) => sum + value, 0);
    if (!(total > pixels * Number.EPSILON)) {
      throw new RangeError(
        `Cannot fit ${KIND} to ${counted(source.size, "image")}: ` +
          "they are all alike, expected different ones",
      );
    }
    const components = new Float32Array(dim * pixels);
    for (let row = 0; row < dim; row++) {
      // A variance of zero may come out of the decomposition as a tiny negative number.
      const variance = Math.max(0, values[row]!);
      const scale = whiten ? Math.sqrt(variance) / (variance + ROUNDING_VARIANCE) : 1;
      for (let i = row * pixels; i < (row + 1) * pixels; i++) components[i] = scale * vectors[i]!;
    }
    const kept = values.subarray(0, dim).reduce((sum, value) => sum + value, 0) / total;
    const mean = new Float32Array(moments.mean());
    return new PixelPca(device, {
      description: {
        kind: KIND,
        dim,
        fingerprint: sha256Hex(mean, components),
        preprocessing: { size: resolution, channels, interpolation: "bicubic" },
        settings: { whiten, varianceKept: Number(kept.toFixed(6)) },
      },
      weights: new Map([
        ["mean", { shape: [pixels], values: mean }],
        ["components", { shape: [dim, pixels], values: components }],
      ]),
    });
  }

  /**
   * The encoder that made a bank's snippets, from what the bank has stored of it.
   *
   * Throws a TypeError if the bank was made by another kind of encoder, or if the stored arrays are
   * not those of its description.
   */
  static fromBank(device: Device, bank: EncoderRecords): PixelPca {
    const { encoder: description, encoderWeights: weights } = bank;
    if (description?.kind !== KIND) {
      throw new TypeError(
        `Cannot take the encoder ${KIND} from the bank: its encoder is ` +
          `${description?.kind ?? "not known"}, expected ${KIND}`,
      );
    }
    const encoder = new PixelPca(device, { description, weights: weights ?? new Map() });
    const valuesOf = (name: string) => encoder.weights.get(name)!.values;
    const stored = sha256Hex(valuesOf("mean"), valuesOf("components"));
    if (stored === description.fingerprint) return encoder;
    throw new TypeError(
      `Cannot make the encoder ${KIND}: mean and components have the fingerprint ${stored}, ` +
        `expected ${description.fingerprint}, as the bank was built with`,
    );
  }

  /**
   * Encodes `images` [n, C, H, W] in [−1, 1] to snippets [n, d] of norm 1. Images of another size
   * than r × r are stretched to it on the GPU; the products are taken in float64 on the CPU.
   *
   * Throws a TypeError if the images do not have the given shape or not the encoder's channels, and
   * a RangeError that names the image if one is equal to the mean.
   */
  async encode(images: Float32Array, shape: ImageBatchShape): Promise<Float32Array> {
    if (shape.channels !== this.#channels) {
      throw new TypeError(
        `Cannot encode images of ${shape.channels} channels with ${KIND}: ` +
          `expected ${this.#channels}`,
      );
    }
    const rows = await resizeImages(this.#device, images, { shape, size: this.#resolution });
    const features = projectRows(rows, this.#projection);
    return normalizeSnippets(features, { dim: this.dim, firstIndex: shape.firstIndex ?? 0 });
  }

  /** Nothing to release: the arrays are on the CPU. */
  [Symbol.dispose](): void {}
}

/**
 * The longest snippets that N images allow without all of them becoming about equally far from each
 * other: one component for ten images.
 */
export function comfortableDim(size: number): number {
  return Math.max(1, Math.floor(size / 10));
}

/**
 * As {@linkcode PixelPca.fit}, with fewer components where N images at a resolution r allow no more: N − 1, and
 * at most C·r·r.
 */
export async function fitAtMost(device: Device, options: PixelPcaOptions): Promise<PixelPca> {
  const { images: { size, channels }, dim, resolution } = options;
  return await PixelPca.fit(device, {
    ...options,
    dim: Math.min(dim, size - 1, channels * resolution ** 2),
  });
}

/**
 * Checks that {@linkcode PixelPca.fit} can fit an encoder to N images of C channels.
 *
 * Throws a RangeError that says what else can be.
 */
export function requireFit(
  options: Pick<PixelPcaOptions, "dim" | "resolution"> & {
    readonly images: Pick<ImageSource, "size" | "channels">;
  },
): void {
  const { images: { size, channels }, dim, resolution } = options;
  const pixels = channels * resolution ** 2;
  if (!Number.isInteger(resolution) || resolution < 1) {
    throw new RangeError(
      `Cannot fit ${KIND}: resolution is ${resolution}, expected a positive integer`,
    );
  }
  if (size < 2) {
    throw new RangeError(`Cannot fit ${KIND} to ${counted(size, "image")}: expected at least 2`);
  }
  if (!Number.isInteger(dim) || dim < 1 || dim > pixels) {
    throw new RangeError(
      `Cannot fit ${KIND}: dim is ${dim}, expected an integer from 1 to the ${pixels} values of ` +
        `${channels} channels of ${resolution} by ${resolution} pixels`,
    );
  }
  if (dim >= size) {
    throw new RangeError(
      `Cannot fit ${KIND} to ${counted(size, "image")}: dim is ${dim}, ` +
        `expected at most ${size - 1}, such as bank.dim=${comfortableDim(size)}`,
    );
  }
}

function positiveInteger(description: EncoderDescription, key: "size" | "channels"): number {
  const value = description.preprocessing[key];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
    throw new TypeError(
      `Cannot make the encoder ${KIND}: preprocessing.${key} is ${JSON.stringify(value)}, ` +
        "expected a positive integer",
    );
  }
  return value;
}

function weightOf(
  weights: ReadonlyMap<string, EncoderWeight>,
  expected: { name: string; shape: readonly number[] },
): Float64Array {
  const { name, shape } = expected;
  const weight = weights.get(name);
  if (weight === undefined || weight.shape.join() !== shape.join()) {
    throw new TypeError(
      `Cannot make the encoder ${KIND}: ${name} is ` +
        `${weight === undefined ? "missing" : `[${weight.shape.join(", ")}]`}, ` +
        `expected [${shape.join(", ")}]`,
    );
  }
  return new Float64Array(weight.values);
}
