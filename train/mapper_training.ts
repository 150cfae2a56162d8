/**
 * Training of what maps the vectors of another encoder to the snippets of a bank, and how well what it
 * maps finds the right image.
 *
 * @module
 */

import { selectRows } from "../bank/select_rows.ts";
import { requireCount } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { storeAt } from "../kernels/core/in_place.ts";
import { requireOneOf } from "../kernels/core/nearest_name.ts";
import { type Parameter, ParameterStore } from "../kernels/core/parameter_store.ts";
import { Tape } from "../kernels/core/tape.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import { contrastiveLoss } from "../kernels/contrastive_loss/mod.ts";
import { cosineLoss } from "../kernels/cosine_loss/mod.ts";
import { weightedSum } from "../kernels/weighted_sum/mod.ts";
import { constant } from "../model/initializers.ts";
import { SnippetMapper } from "../model/snippet_mapper.ts";
import { DataOrder } from "./data_order.ts";
import { AdamW } from "./optimizers/adamw.ts";

/** Vectors of another encoder beside the snippets of the same images. */
export interface MappingPairs {
  /** Vectors [n, e]. */
  readonly inputs: Float32Array;
  /** Snippets [n, d] of norm 1. */
  readonly snippets: Float32Array;
  /** Length d of a snippet. */
  readonly snippetDim: number;
}

/**
 * What is made small: `contrastive`, CLIP's loss, asks that the mapped vector of an image is nearer to
 * its snippet than to those of others; `cosine`, 1 − cos, that it is its snippet.
 */
export type MappingLoss = "contrastive" | "cosine";

const LOSSES: readonly MappingLoss[] = ["contrastive", "cosine"];

/** How {@linkcode trainMapper} trains. */
export interface TrainMapperOptions {
  /** What to learn from. */
  readonly pairs: MappingPairs;
  /** The loss. */
  readonly loss: MappingLoss;
  /** Width of the two hidden layers. */
  readonly width: number;
  /** Times that every pair is seen, but for the last of an epoch that fill no batch. */
  readonly epochs: number;
  /** Pairs of a step; all there are if they are fewer. For `contrastive` also what each is told from. */
  readonly batchSize: number;
  /** Learning rate of Adam. */
  readonly learningRate: number;
  /** Seed of the weights and of the order of the pairs; 0 by default. */
  readonly seed?: number | undefined;
  /** Called after each epoch, counted from 1, with the mean loss of its steps. */
  readonly onEpoch?: ((epoch: number, loss: number) => void) | undefined;
}

/** A mapper with the parameters that it owns. */
export interface OwnedMapper extends Disposable {
  /** The network. */
  readonly mapper: SnippetMapper;
}

/** The parameter that CLIP calls so, the logarithm of what cosines are multiplied by. */
export const LOGIT_SCALE = "logit_scale";

/** CLIP's first scale, 1 / 0.07, and the largest, which keeps training stable. */
const FIRST_SCALE = 1 / 0.07, LARGEST_SCALE = 100;

/** Steps between two waits for the GPU: what it has not come to yet holds memory, and nothing else is heard. */
const SYNC_EVERY = 100;

/** Rows that are mapped at once. */
const ROWS = 1024;

/**
 * Trains a mapper by Adam from the start. Equal options give equal weights on one adapter. Waits for
 * the GPU once an epoch, and each hundred steps of it.
 *
 * Throws a TypeError unless there is one snippet for each vector, and a RangeError for a loss that there is none
 * of, for epochs or a batch size that are no whole numbers from 1, and if the loss of an epoch is not finite.
 *
 * @example
 * ```ts
 * import { Device, mapVectors, trainMapper } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const inputs = Float32Array.of(1, 0, 0, 0, 1, 0), snippets = Float32Array.of(1, 0, 0, 1);
 * const losses: number[] = [];
 * using owned = await trainMapper(device, {
 *   pairs: { inputs, snippets, snippetDim: 2 },
 *   loss: "cosine", width: 8, epochs: 5, batchSize: 2, learningRate: 1e-2, seed: 0,
 *   onEpoch: (_, loss) => losses.push(loss),
 * });
 * const mapped = await mapVectors(owned.mapper, inputs);
 * console.log(losses[4]! < losses[0]!, mapped.length); // true 4
 * ```
 */
export async function trainMapper(
  device: Device,
  options: TrainMapperOptions,
): Promise<OwnedMapper> {
  const { pairs, loss, width, epochs, learningRate, seed = 0, onEpoch } = options;
  const { snippetDim } = pairs;
  requireOneOf("Cannot train a mapper: loss", loss, LOSSES);
  requireCount("Cannot train a mapper: epochs", epochs, 1);
  requireCount("Cannot train a mapper: batchSize", options.batchSize, 1);
  const size = pairs.snippets.length / snippetDim, inputs = pairs.inputs.length / size;
  if (size === 0 || !Number.isInteger(size) || !Number.isInteger(inputs) || inputs === 0) {
    throw new TypeError(
      `Cannot train a mapper of ${pairs.inputs.length} values to ${pairs.snippets.length}: ` +
        `expected vectors [n, e] and snippets [n, ${snippetDim}]`,
    );
  }
  const batchSize = Math.min(options.batchSize, size), steps = Math.floor(size / batchSize);
  using opened = new DisposableStack();
  const store = opened.use(new ParameterStore(device, { seed }));
  const mapper = new SnippetMapper(store, { inputs, width, snippetDim });
  const logScale = loss === "contrastive"
    ? store.parameter(LOGIT_SCALE, [1], constant([Math.log(FIRST_SCALE)]))
    : undefined;
  using optimizer = new AdamW(store);
  const order = new DataOrder({ size, seed });
  using history = device.unscoped(() => device.empty([steps]));
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let step = 0; step < steps; step++) {
      // No pair stands twice in a batch: an epoch starts with a batch of its own.
      const chosen = order.take(epoch * size + step * batchSize, batchSize);
      device.scope(() => {
        const batchOf = (table: Float32Array, width: number) =>
          device.tensor(selectRows(table, { indices: chosen, width }), [batchSize, width]);
        const x = batchOf(pairs.inputs, inputs), target = batchOf(pairs.snippets, snippetDim);
        using tape = new Tape(device);
        const value = tape.record(() => lossOf(mapper.forward(x), target, logScale));
        tape.backward(value);
        storeAt(history, value, { first: step });
        optimizer.step({ learningRate });
      });
      if ((step + 1) % SYNC_EVERY === 0) await device.settle();
    }
    const losses = await history.read();
    const mean = losses.reduce((sum, value) => sum + value / steps, 0);
    if (!Number.isFinite(mean)) {
      throw new RangeError(
        `Cannot go on training a mapper: the loss of epoch ${epoch + 1} is ${mean}, expected a ` +
          "finite number, such as a lower learning rate gives",
      );
    }
    if (logScale) await limitScale(logScale);
    onEpoch?.(epoch + 1, mean);
  }
  const kept = opened.move();
  return { mapper, [Symbol.dispose]: () => kept.dispose() };
}

function lossOf(mapped: Tensor, target: Tensor, logScale: Parameter | undefined): Tensor {
  if (logScale) return contrastiveLoss(mapped, target, logScale);
  // The channels of images of one pixel.
  const shape = [...mapped.shape, 1];
  return weightedSum([cosineLoss(mapped.reshape(shape), target.reshape(shape))], [1]);
}

async function limitScale(logScale: Parameter): Promise<void> {
  const [value] = await logScale.read();
  if (value! > Math.log(LARGEST_SCALE)) logScale.write(Float32Array.of(Math.log(LARGEST_SCALE)));
}

/**
 * Snippets [n, d] of norm 1 of vectors [n, e], 1,024 at a time. Waits for the GPU.
 *
 * Throws a TypeError if the vectors are not whole rows of the mapper's length.
 *
 * @example
 * ```ts
 * import { Device, mapVectors, ParameterStore, SnippetMapper } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mapper = new SnippetMapper(store, { inputs: 3, width: 8, snippetDim: 2 });
 * const snippets = await mapVectors(mapper, Float32Array.of(1, 2, 3, 4, 5, 6)); // two vectors
 * console.log(snippets.length, Math.hypot(snippets[0]!, snippets[1]!).toFixed(3)); // 4 1.000
 * ```
 */
export async function mapVectors(
  mapper: SnippetMapper,
  vectors: Float32Array,
): Promise<Float32Array> {
  const { options: { inputs, snippetDim }, parameters: { device } } = mapper;
  const size = vectors.length / inputs;
  if (!Number.isInteger(size)) {
    throw new TypeError(
      `Cannot map ${vectors.length} values: expected vectors [n, ${inputs}] as the mapper takes`,
    );
  }
  const snippets = new Float32Array(size * snippetDim);
  for (let first = 0; first < size; first += ROWS) {
    const rows = vectors.slice(first * inputs, (first + ROWS) * inputs);
    using mapped = device.scope(() =>
      mapper.forward(device.tensor(rows, [rows.length / inputs, inputs]))
    );
    snippets.set(await mapped.read(), first * snippetDim);
  }
  return snippets;
}

/** How well mapped vectors find the images that they belong to. */
export interface RetrievalAccuracy {
  /** Number of images among which each one is looked for. */
  readonly images: number;
  /**
   * Share of vectors whose mapped snippet is nearer to that of the right image than to all others. A tie
   * counts as wrong, unless with a snippet that equals the right one.
   */
  readonly top1: number;
  /** Share for which it is among the five nearest. */
  readonly top5: number;
  /** Mean cosine between what was mapped and the right snippet. */
  readonly cosine: number;
}

/**
 * Compares mapped vectors with the snippets of their images, both [n, d] of norm 1: each looks for its
 * own among all n. 2·n²·d operations on the CPU.
 *
 * Throws a TypeError unless there are as many of both, at least one, and one that names the row if a value is
 * not finite.
 *
 * @example
 * ```ts
 * import { retrievalAccuracy } from "@gmem/gmem";
 *
 * const snippets = Float32Array.of(1, 0, 0, 1), mapped = Float32Array.of(1, 0, 1, 0);
 * console.log(retrievalAccuracy(mapped, snippets, { dim: 2 }));
 * // { images: 2, top1: 0.5, top5: 1, cosine: 0.5 }
 * ```
 */
export function retrievalAccuracy(
  mapped: Float32Array,
  snippets: Float32Array,
  options: { readonly dim: number },
): RetrievalAccuracy {
  const { dim } = options;
  const images = snippets.length / dim;
  if (images === 0 || !Number.isInteger(images) || mapped.length !== snippets.length) {
    throw new TypeError(
      `Cannot look for the right images of ${mapped.length} values among ${snippets.length}: ` +
        `expected as many vectors as snippets of length ${dim}, at least one`,
    );
  }
  requireFinite(mapped, { dim, name: "mapped vector" });
  requireFinite(snippets, { dim, name: "snippet" });
  let first = 0, firstFive = 0, cosines = 0;
  for (let i = 0; i < images; i++) {
    const cosineTo = (j: number) => {
      let sum = 0;
      for (let k = 0; k < dim; k++) sum += mapped[i * dim + k]! * snippets[j * dim + k]!;
      return sum;
    };
    const equalsOwn = (j: number) => {
      for (let k = 0; k < dim; k++) {
        if (snippets[j * dim + k] !== snippets[i * dim + k]) return false;
      }
      return true;
    };
    const own = cosineTo(i);
    let before = 0;
    for (let j = 0; j < images; j++) if (cosineTo(j) >= own && !equalsOwn(j)) before++;
    if (before < 1) first++;
    if (before < 5) firstFive++;
    cosines += own;
  }
  return { images, top1: first / images, top5: firstFive / images, cosine: cosines / images };
}

function requireFinite(
  rows: Float32Array,
  options: { readonly dim: number; readonly name: string },
): void {
  const wrong = rows.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return;
  const { dim, name } = options;
  throw new TypeError(
    `Cannot look for the right images: ${name} ${Math.floor(wrong / dim)} holds ${rows[wrong]}, ` +
      "expected finite numbers",
  );
}
