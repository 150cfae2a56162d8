/**
 * The workload that steps are measured on.
 *
 * @module
 */

import { FullBank } from "../bank/full_bank.ts";
import type { Device } from "../kernels/core/device.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { countFlops } from "../model/cost.ts";
import { SiT, type SiTOptions } from "../model/sit.ts";
import { Trainer } from "../train/trainer.ts";

/** A model and a batch. */
export interface Workload {
  readonly name: string;
  readonly batch: number;
  readonly model: SiTOptions;
}

const SNIPPET_DIM = 64;

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

/** A trainer on random images of the workload's sizes; the caller disposes it. */
export function makeTrainer(device: Device, workload: Workload): Trainer & Disposable {
  const { batch, model: options } = workload;
  const size = 4 * batch;
  const length = options.channels * options.inputSize ** 2;
  const images = Float32Array.from({ length: size * length }, (_, i) => Math.sin(i));
  const snippets = new Float32Array(size * SNIPPET_DIM);
  for (let i = 0; i < size; i++) snippets[i * SNIPPET_DIM + i % SNIPPET_DIM] = 1;
  const dataset = {
    size,
    labels: new Uint32Array(size),
    read(indices: Uint32Array) {
      const out = new Float32Array(indices.length * length);
      indices.forEach((index, i) =>
        out.set(images.subarray(index * length, (index + 1) * length), i * length)
      );
      return out;
    },
  };
  const bank = FullBank.from(device, { snippets, dim: SNIPPET_DIM });
  const model = new SiT(new ParameterStore(device, { seed: 0 }), options);
  return new Trainer({ model, dataset, bank, batchSize: batch });
}
