/**
 * What guides each of many samples: which snippets of a bank, or which labels.
 *
 * @module
 */

import type { Bank } from "../bank/bank.ts";
import { indexByNoise, noiseFrequencies } from "../bank/noise_index.ts";
import { type ChoiceOptions, chooseUniform } from "../bank/retrieve.ts";
import { listed, requireCount } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import { didYouMean } from "../kernels/core/nearest_name.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { DiffusionModel } from "../model/diffusion_model.ts";
import { startingNoise } from "./draw.ts";
import { type DrawAllOptions, imagesAtOnce } from "./rows.ts";

/**
 * Indices [N] of k groups in turn: that of image i is drawn uniformly by the seed from group i mod k, as
 * `sample` draws from several classes. One group of all indices gives what `chooseUniform` does. Throws
 * `RangeError` for an empty group, such as a class without images, where there is none, and for a count that is no
 * whole number.
 *
 * @example
 * ```ts
 * import { chooseAmong } from "@gmem/gmem";
 *
 * console.log(chooseAmong([[3], [17, 18]], { count: 4, seed: 0 }));
 * // Uint32Array(4) [ 3, 17, 3, 18 ]
 * ```
 */
export function chooseAmong(
  groups: readonly ArrayLike<number>[],
  { count, seed = 0 }: ChoiceOptions,
): Uint32Array {
  const empty = groups.findIndex(({ length }) => length === 0);
  if (groups.length === 0 || empty >= 0) {
    const problem = groups.length === 0 ? "there are no groups" : `group ${empty} is empty`;
    throw new RangeError(`Cannot choose: ${problem}, expected indices in each`);
  }
  requireCount("Cannot choose: count", count);
  const random = new Random(seed, Stream.Label);
  return Uint32Array.from({ length: count }, (_, i) => {
    const group = groups[i % groups.length]!;
    return group[Math.floor(random.uniform(0, i, 0) * group.length)]!;
  });
}

/**
 * Indices [N] of snippets that noise chooses (GMem, figure 3): the noise that each image of `drawAll` by the
 * same seed starts from. Snippet i is chosen with the probability of its frequency, all with the same one if
 * the bank has none. Waits for the GPU.
 *
 * Throws a RangeError for a count that is no whole number, and where the GPU cannot bind the tensors of one image.
 *
 * @example
 * ```ts
 * import { chooseByNoise, Device, FullBank, ParameterStore, SiT } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using bank = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1) });
 * using store = new ParameterStore(device, { seed: 0 });
 * const model = new SiT(store, {
 *   inputSize: 8, channels: 3, patchSize: 4, width: 32, depth: 1, heads: 2,
 *   condition: { snippetDim: 2 },
 * });
 * const indices = await chooseByNoise(model, { bank, count: 6, seed: 1 });
 * console.log(indices); // Uint32Array(6) [ 1, 1, 1, 0, 0, 1 ]
 * ```
 */
export async function chooseByNoise(
  model: DiffusionModel,
  options: ChoiceOptions & { readonly bank: Bank },
): Promise<Uint32Array> {
  const { bank, count, seed = 0 } = options;
  requireCount("Cannot choose: count", count);
  const indices = new Uint32Array(count), frequencies = noiseFrequencies(bank);
  // Noise is no larger than the activations of a network without guidance.
  const most = imagesAtOnce(model, { guided: false });
  for (let first = 0; first < count; first += most) {
    const batch = Math.min(most, count - first);
    using noise = startingNoise(model, { count: batch, seed, firstSample: first });
    indices.set(indexByNoise(await noise.read(), { count: batch, frequencies }), first);
  }
  return indices;
}

/**
 * The label of a class by its name, or by its number where no class has that name: of `classCount` in all, with
 * names in the order of labels, or none where they are not known.
 *
 * Throws a RangeError that lists classes there are.
 */
export function labelOfClass(
  word: string,
  { classes, classCount }: { readonly classes: readonly string[]; readonly classCount: number },
): number {
  const named = classes.indexOf(word);
  if (named >= 0) return named;
  if (/^\d+$/.test(word) && Number(word) < classCount) return Number(word);
  const names = classes.length === 0 ? "" : `${listed(classes)}, or `, last = classCount - 1;
  throw new RangeError(
    `Cannot draw class ${JSON.stringify(word)}: the model knows no such class, expected ` +
      `${names}a number from 0 to ${last}${/^\d+$/.test(word) ? "" : didYouMean(word, classes)}`,
  );
}

/**
 * Draws a label for each of N images by the seed, as often as the data have it: that of class k with the
 * probability of its share of the images, `imagesPerClass`, and none that has no image. All with the same
 * probability where that is empty.
 */
export function drawLabels(
  { classCount, imagesPerClass }: {
    readonly classCount: number;
    readonly imagesPerClass: readonly number[];
  },
  choice: ChoiceOptions,
): Uint32Array {
  if (imagesPerClass.length === 0) return chooseUniform(classCount, choice);
  let images = 0;
  const ends = imagesPerClass.map((count) => images += count);
  return chooseUniform(images, choice).map((image) => ends.findIndex((end) => image < end));
}

/**
 * The conditions of images by the indices [N] of their snippets or labels: snippets [n, d] of the bank, or
 * without one labels u32 [n], of the n images from index `first` on. The caller owns the tensors.
 */
export function conditionsAt(
  indices: Uint32Array,
  options: { readonly device: Device; readonly bank: Bank | undefined },
): DrawAllOptions["conditionOf"] {
  const { device, bank } = options;
  return (first, count): Tensor => {
    const chosen = indices.slice(first, first + count);
    return bank ? bank.gather(chosen) : device.tensor(chosen, [count]);
  };
}
