/**
 * Images drawn many at a time: one for each condition, or one for each snippet and noise, as the rows
 * of GMem's figures 4, 7 and 8 show them.
 *
 * @module
 */

import { requireFiniteImages } from "../bank/pixels.ts";
import { counted, requireCount } from "../kernels/core/counted.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { DiffusionModel } from "../model/diffusion_model.ts";
import { resolveSample } from "./config.ts";
import { drawAdaptive, type DrawOptions, type SamplerSettings } from "./draw.ts";

/** Images that are drawn at once, at most. */
const MOST_AT_ONCE = 64;

/**
 * How many images are drawn at once: 64, or as many of which the GPU can bind the largest activation, where
 * the model tells it, each of them twice where they are guided.
 *
 * Throws a RangeError where not even one fits.
 */
export function imagesAtOnce(
  model: DiffusionModel,
  { guided }: { readonly guided: boolean },
): number {
  const each = model.largestActivationBytes?.({ training: false }) ?? 0;
  const bytes = (guided ? 2 : 1) * each, most = model.parameters.device.profile.maxBindingBytes;
  if (bytes <= most) return Math.min(MOST_AT_ONCE, Math.floor(most / bytes));
  throw new RangeError(
    `Cannot draw: a tensor of one ${guided ? "guided " : ""}image takes ${bytes} bytes, the GPU ` +
      `binds ${most} at most, expected smaller images or a narrower network`,
  );
}

/** What both ways of drawing need. */
export interface DrawManyOptions extends SamplerSettings, Pick<DrawOptions, "model" | "weights"> {
  /** Called after each batch with the number of images drawn, and of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Options of {@linkcode drawAll}. */
export interface DrawAllOptions extends DrawManyOptions {
  /** Number of images N. */
  readonly count: number;
  /**
   * Makes the condition of `count` images from the one of index `first` on: labels or snippets, a new tensor,
   * which is released once they are drawn. It runs in a scope, so that tensors on the way to it are released too.
   */
  readonly conditionOf: (first: number, count: number) => Tensor;
}

/** Options of {@linkcode drawRows}. */
export interface DrawRowsOptions extends DrawManyOptions {
  /** Snippets [k, d], each of norm 1. */
  readonly snippets: Float32Array;
  /** Number of noises n; noise i is that of image i of {@linkcode drawAll} by the same seed. */
  readonly noises: number;
}

/** Images in memory and what each cost. */
export interface DrawnImages {
  /** The images, about [−1, 1]. */
  readonly images: Float32Array;
  /**
   * Evaluations of the network for each image (NFE): the mean to a tenth where batches differ, as those of
   * `dopri5` do.
   */
  readonly evaluations: number;
}

/** Evaluations of the network for each of the images that were drawn so far. */
export class MeanEvaluations {
  #images = 0;
  #evaluations = 0;

  /** Counts images that took so many evaluations each. */
  add(images: number, evaluations: number): void {
    this.#images += images;
    this.#evaluations += images * evaluations;
  }

  /** The mean of all, to a tenth; 0 of none. */
  get mean(): number {
    return Number((this.#evaluations / Math.max(1, this.#images)).toFixed(1));
  }
}

/** Some of the images that {@linkcode drawBatches} draws. */
export interface DrawnBatch extends DrawnImages {
  /** Index of the first image. */
  readonly first: number;
  /** Number of images n. */
  readonly count: number;
}

/**
 * Draws N images [N, C, H, W], image i from noise i of the seed, 64 at a time or as many as the GPU can
 * bind. What image i is depends on that number by rounding alone, but with `dopri5`, whose steps follow
 * from the error of all of them, by its tolerance. Waits for the GPU.
 *
 * Throws what the samplers throw, a TypeError where `conditionOf` gives another number of conditions, and a
 * RangeError for a count that is no whole number, where the GPU cannot bind the tensors of one image, and for an
 * image with a value that is not finite, which it names.
 *
 * @example
 * ```ts
 * import { Device, drawAll, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 4, channels: 1, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * const conditionOf = (first: number, count: number) =>
 *   device.tensor(Uint32Array.from({ length: count }, (_, i) => (first + i) % 10), [count]);
 * const config = { sampler: "euler", steps: 2 } as const;
 * const { images, evaluations } = await drawAll({ model, config, count: 3, conditionOf });
 * console.log(images.length, evaluations); // 48 2
 * ```
 */
export async function drawAll(options: DrawAllOptions): Promise<DrawnImages> {
  const { onProgress, ...drawing } = options;
  const { count, model: { options: { channels, inputSize } } } = options;
  const length = channels * inputSize ** 2;
  requireCount("Cannot draw: count", count);
  const images = new Float32Array(count * length), evaluations = new MeanEvaluations();
  for await (const batch of drawBatches(drawing)) {
    images.set(batch.images, batch.first * length);
    evaluations.add(batch.count, batch.evaluations);
    onProgress?.(batch.first + batch.count, count);
  }
  return { images, evaluations: evaluations.mean };
}

/**
 * Draws what {@linkcode drawAll} draws, with one batch in memory at a time.
 *
 * Throws what {@linkcode drawAll} throws.
 *
 * @example
 * ```ts
 * import { Device, drawBatches, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 4, channels: 1, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { classes: 10 },
 * });
 * const conditionOf = (_: number, count: number) => device.tensor(new Uint32Array(count), [count]);
 * const batches = drawBatches({ model, config: { sampler: "euler", steps: 1 }, count: 65, conditionOf });
 * for await (const { first, count } of batches) console.log(first + count); // 64 and then 65
 * ```
 */
export async function* drawBatches(
  options: Omit<DrawAllOptions, "onProgress">,
): AsyncGenerator<DrawnBatch> {
  requireCount("Cannot draw: count", options.count);
  const guided = resolveSample(options.config).guidance.scale !== 1;
  const batch = imagesAtOnce(options.model, { guided });
  for (let first = 0; first < options.count; first += batch) {
    yield await drawBatch(options, { first, count: Math.min(batch, options.count - first) });
  }
}

async function drawBatch(
  options: Omit<DrawAllOptions, "onProgress">,
  batch: { readonly first: number; readonly count: number },
): Promise<DrawnBatch> {
  const { conditionOf, ...drawing } = options;
  const { first, count } = batch;
  using condition = drawing.model.parameters.device.scope(() => conditionOf(first, count));
  if (condition.shape[0] !== count) {
    throw new TypeError(
      `Cannot draw ${counted(count, "image")} under ` +
        `${counted(condition.shape[0]!, "condition")}: expected one each`,
    );
  }
  const drawn = await drawAdaptive({ ...drawing, condition, firstSample: first });
  using drawnImages = drawn.images;
  const images = await drawnImages.read();
  // As bytes they would be black, and a decoder might make something finite of them.
  requireFiniteImages(images, { first, count, what: "sample" });
  return { first, count, images, evaluations: drawn.evaluations };
}

/**
 * Draws images [k, n, C, H, W], one for each of k snippets and n noises: image (i, j) has snippet i and
 * noise j, the same for all snippets, so that only the snippet makes the difference along a row of
 * one noise. Waits for the GPU.
 *
 * Throws a TypeError if the snippets are not whole rows of the model's length, a RangeError for a number of noises
 * that is no whole number, and what {@linkcode drawAll} throws.
 *
 * @example
 * ```ts
 * import { Device, drawRows, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 4, channels: 1, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { snippetDim: 2 },
 * });
 * const snippets = Float32Array.of(1, 0, 0, 1);
 * const { images } = await drawRows({ model, config: { sampler: "euler", steps: 2 }, snippets, noises: 3 });
 * console.log(images.length); // 96 of [2, 3, 1, 4, 4]
 * ```
 */
export async function drawRows(options: DrawRowsOptions): Promise<DrawnImages> {
  const { snippets, noises, onProgress, ...drawing } = options;
  const { model } = options;
  const { condition, channels, inputSize } = model.options;
  const dim = condition.snippetDim ?? 0;
  if (dim === 0 || snippets.length === 0 || snippets.length % dim !== 0) {
    throw new TypeError(
      `Cannot draw from ${snippets.length} values: expected ` +
        (dim === 0 ? "a model that takes snippets" : `snippets of length ${dim}`),
    );
  }
  requireCount("Cannot draw: noises", noises);
  const length = channels * inputSize ** 2, rows = snippets.length / dim;
  const images = new Float32Array(rows * noises * length), evaluations = new MeanEvaluations();
  for (let row = 0; row < rows; row++) {
    const snippet = snippets.subarray(row * dim, (row + 1) * dim);
    const drawn = await drawAll({
      ...drawing,
      count: noises,
      conditionOf: (_, count) =>
        model.parameters.device.tensor(repeatRow(snippet, count), [count, dim]),
      onProgress: (done) => onProgress?.(row * noises + done, rows * noises),
    });
    images.set(drawn.images, row * noises * length);
    evaluations.add(noises, drawn.evaluations);
  }
  return { images, evaluations: evaluations.mean };
}

/** `count` times the same row [length], one after the other. */
export function repeatRow(row: Float32Array, count: number): Float32Array {
  const rows = new Float32Array(count * row.length);
  for (let i = 0; i < count; i++) rows.set(row, i * row.length);
  return rows;
}
