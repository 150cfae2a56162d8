/**
 * Samples of a run that are guided by what its whole data set has.
 *
 * @module
 */

import { spreadIndices } from "../bank/select_rows.ts";
import type { SampleConfig } from "../sample/config.ts";
import { pathOf } from "../sample/network.ts";
import { drawAll, type DrawnImages } from "../sample/rows.ts";
import type { Config } from "./config.ts";
import type { Run } from "./run.ts";

/**
 * Draws with the averaged weights for the snippets or labels of `count` images that are spread evenly over
 * the data set.
 */
export async function drawSpread(
  { model, trainer, dataset, conditionOf }: Run,
  { count, config, sample, onProgress }: {
    count: number;
    config: Config;
    sample: SampleConfig;
    /** Called with the number of images drawn so far, and of all. */
    onProgress?: ((done: number, total: number) => void) | undefined;
  },
): Promise<DrawnImages> {
  const indices = spreadIndices(count, dataset.size);
  return await drawAll({
    model,
    weights: trainer.optimizer.averages,
    count,
    conditionOf: (first, size) => conditionOf(indices.subarray(first, first + size)),
    config: sample,
    onProgress,
    ...pathOf(config),
  });
}
