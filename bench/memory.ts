/**
 * What a training step holds at once, counted by the pool, beside what `model/cost.ts` expects.
 *
 * @module
 */

import { activationBytes } from "../model/cost.ts";
import { openDryDevice } from "./dry_gpu.ts";
import { makeTrainer, type Workload } from "./workload.ts";

/** Memory of the steps of one workload. */
export interface MemoryRow {
  /** The workload. */
  readonly group: string;
  /** Images of a step. */
  readonly batch: number;
  /** Whether blocks are computed again in the backward pass. */
  readonly recompute: boolean;
  /** Most bytes that a step holds beyond what stays after it. */
  readonly activationBytes: number;
  /** The same by `activationBytes`. */
  readonly estimatedBytes: number;
  /** Most bytes in all: parameters and what is parallel to them included. */
  readonly peakBytes: number;
}

/** Counts the bytes of a step as a GPU holds them, without one. */
export async function countMemory(
  workload: Workload,
  { recompute }: { recompute: boolean },
): Promise<MemoryRow> {
  using device = openDryDevice();
  using trainer = makeTrainer(device, workload, { recompute });
  for await (const _ of trainer.run({ steps: 1 })) { /* one step */ }
  const { peakBytes, liveBytes } = device.pool;
  return {
    group: workload.name,
    batch: workload.batch,
    recompute,
    activationBytes: peakBytes - liveBytes,
    estimatedBytes: activationBytes(workload.model, { batch: workload.batch, recompute }),
    peakBytes,
  };
}
