/**
 * The workload that steps are measured on.
 *
 * @module
 */

import { FullBank } from "../bank/full_bank.ts";
import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { countFlops } from "../model/cost.ts";
import { namedModel } from "../model/named_models.ts";
import { SiT, type SiTOptions } from "../model/sit.ts";
import { Trainer } from "../train/trainer.ts";

/** A model and a batch. */
export interface Workload {
  readonly name: string;
  readonly batch: number;
  readonly model: SiTOptions;
  /** Images, and snippets in the bank; four batches of them by default. */
  readonly bankSize?: number;
}

/** Components of a snippet. */
export const SNIPPET_DIM = 64;

/** "small" is the one that other stacks were measured on; "emoji_tiny" is the default run's network. */
export const WORKLOADS: readonly Workload[] = [
  {
    name: "emoji_tiny",
    batch: 64,
    model: {
      inputSize: 16,
      channels: 3,
      patchSize: 4,
      width: 192,
      depth: 4,
      heads: 3,
      condition: { snippetDim: SNIPPET_DIM },
    },
  },
  {
    name: "small",
    batch: 32,
    model: {
      inputSize: 32,
      channels: 3,
      patchSize: 4,
      width: 256,
      depth: 6,
      heads: 4,
      condition: { snippetDim: SNIPPET_DIM },
    },
  },
];

/** Flops of one training step: forward and twice that backward, matrix products and attention. */
export function stepFlops({ batch, model }: Workload): number {
  return batch * countFlops(model).training;
}

/** SiT-B/2 on latents of 256 × 256 images, with as many images as the adapter takes easily. */
export function largeWorkload(driver: "cpu" | "gpu"): Workload {
  return {
    name: "SiT-B/2",
    batch: driver === "cpu" ? 4 : 32,
    model: namedModel("SiT-B/2", { condition: { snippetDim: SNIPPET_DIM } }),
  };
}

/** A trainer on made-up images of the workload's sizes. Its bank and weights live as long as the device. */
export function makeTrainer(
  device: Device,
  workload: Workload,
  options: { recompute?: boolean } = {},
): Trainer {
  const { batch, model: sizes } = workload;
  const size = workload.bankSize ?? 4 * batch;
  const length = sizes.channels * sizes.inputSize ** 2;
  const wave = Float32Array.from({ length }, (_, i) => Math.sin(i));
  const dataset = {
    size,
    labels: new Uint32Array(size),
    read(indices: Uint32Array) {
      const out = new Float32Array(indices.length * length);
      for (let i = 0; i < indices.length; i++) out.set(wave, i * length);
      return out;
    },
  };
  const bank = FullBank.from(device, {
    snippets: oneHotSnippets(size),
    dim: SNIPPET_DIM,
  });
  const model = new SiT(new ParameterStore(device, { seed: 0 }), sizes);
  return new Trainer({ ...options, model, dataset, bank, batchSize: batch });
}

/** Snippets [count, 64] with one component of 1 each. */
export function oneHotSnippets(count: number): Float32Array {
  const snippets = new Float32Array(count * SNIPPET_DIM);
  for (let i = 0; i < count; i++) snippets[i * SNIPPET_DIM + i % SNIPPET_DIM] = 1;
  return snippets;
}
