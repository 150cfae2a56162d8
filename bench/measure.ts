/**
 * Timing of recorded GPU work by the wall clock.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Repetitions of a round at most. */
const MOST = 4096;
/** A repetition this long is measured well by itself. */
const SURE_MILLISECONDS = 30;

/** A measurement of repeated work. */
export interface Timing {
  /** Median time of one repetition. */
  readonly milliseconds: number;
  /** Slowest over fastest round. */
  readonly spread: number;
}

/** Waits for the GPU cost a fixed time whatever the work; this measures it once, to be subtracted. */
export async function waitMilliseconds(device: Device): Promise<number> {
  const waits: number[] = [];
  await device.settle();
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    await device.settle();
    waits.push(performance.now() - start);
  }
  return median(waits);
}

/**
 * Times `record`, which records some work without waiting. It is repeated until a round lasts at
 * least `minimumMilliseconds`, and the median of `rounds` rounds counts.
 */
export async function measure(
  device: Device,
  record: () => void,
  options: {
    wait: number;
    rounds?: number;
    minimumMilliseconds?: number;
    /** One repetition that takes longer than this is enough to know. */
    giveUpAfter?: number;
  },
): Promise<Timing> {
  const { wait, rounds = 5, minimumMilliseconds = 150, giveUpAfter = Infinity } = options;
  async function round(repetitions: number): Promise<number> {
    const start = performance.now();
    for (let i = 0; i < repetitions; i++) record();
    await device.settle();
    return Math.max(performance.now() - start - wait, 1e-3) / repetitions;
  }
  await round(1);
  const once = await round(1);
  // A single short repetition says little: the wait varies by a millisecond or two.
  if (once > giveUpAfter && once > SURE_MILLISECONDS) return { milliseconds: once, spread: 1 };
  let repetitions = 1, each = once;
  while (each * repetitions < minimumMilliseconds && repetitions < MOST) {
    // Not too many more at a time: what a short round says is rough.
    repetitions = Math.min(MOST, 8 * repetitions, Math.ceil(minimumMilliseconds / each));
    each = await round(repetitions);
  }
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) times.push(await round(repetitions));
  return { milliseconds: median(times), spread: Math.max(...times) / Math.min(...times) };
}
