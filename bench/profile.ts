/**
 * Where the GPU's time goes, kernel by kernel.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";

const CAPACITY = 2048;

/** Time of all dispatches of one kernel. */
export interface KernelTime {
  /** The kernel. */
  readonly name: string;
  /** Dispatches. */
  readonly count: number;
  /** Sum of their times. */
  readonly milliseconds: number;
}

/**
 * Runs `record`, which records at most 2,048 dispatches, with each in a timed pass of its own, and
 * returns the time of each kernel, longest first. Needs the adapter's timestamp queries.
 */
export async function profile(device: Device, record: () => unknown): Promise<KernelTime[]> {
  const { gpu, recorder } = device;
  const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * CAPACITY });
  const names: string[] = [];
  recorder.timeDispatch = (name) => {
    const first = 2 * names.push(name) - 2;
    return { querySet, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
  };
  try {
    await record();
    await device.settle();
  } finally {
    recorder.timeDispatch = undefined;
  }
  const bytes = 16 * names.length;
  const resolved = gpu.createBuffer({
    size: bytes,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const staging = gpu.createBuffer({
    size: bytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = gpu.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, 2 * names.length, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
  gpu.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const times = new BigUint64Array(staging.getMappedRange().slice(0));
  for (const resource of [resolved, staging, querySet]) resource.destroy();
  const totals = new Map<string, { count: number; milliseconds: number }>();
  for (const [i, name] of names.entries()) {
    const total = totals.get(name) ?? { count: 0, milliseconds: 0 };
    total.count++;
    total.milliseconds += Number(times[2 * i + 1]! - times[2 * i]!) / 1e6;
    totals.set(name, total);
  }
  return [...totals].map(([name, total]) => ({ name, ...total }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}
