/**
 * What guides samples that nobody chose anything for: snippets or labels at random.
 *
 * @module
 */

import type { Bank } from "../bank/bank.ts";
import type { Device } from "../kernels/core/device.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import type { Tensor } from "../kernels/core/tensor.ts";
import type { DrawAllOptions } from "./rows.ts";

/** What conditions are chosen from. */
export interface ConditionSource {
  /** The bank whose snippets guide the model; undefined for a model that labels guide. */
  readonly bank: Bank | undefined;
  /** Number of labels to choose from, where there is no bank. */
  readonly classes: number;
}

/**
 * Conditions drawn uniformly by the seed: snippets [n, d], or labels u32 [n]. That of image i is the
 * same whatever the batch. The caller owns the tensors.
 */
export function chooseConditions(
  source: ConditionSource,
  options: { readonly device: Device; readonly seed: number },
): DrawAllOptions["conditionOf"] {
  const { bank, classes } = source, { device, seed } = options;
  const size = bank?.size ?? classes;
  return (first, count): Tensor => {
    const chosen = chooseIndices({ first, count, size, seed });
    return bank ? bank.gather(chosen) : device.tensor(chosen, [count]);
  };
}

/** Indices [count] below `size`, drawn uniformly by the seed; that of image i is the same in any batch. */
export function chooseIndices(
  options: {
    readonly first?: number;
    readonly count: number;
    readonly size: number;
    readonly seed: number;
  },
): Uint32Array {
  const { first = 0, count, size, seed } = options;
  const random = new Random(seed, Stream.Label);
  return Uint32Array.from(
    { length: count },
    (_, i) => Math.floor(random.uniform(0, first + i, 0) * size),
  );
}
