/**
 * Where the GPU's time goes, kernel by kernel.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import { fill } from "../kernels/core/in_place.ts";

const CAPACITY = 2048;
/** Milliseconds between the two timestamps that tell how long a tick is: a wait is off by one or two. */
const TICKING_MILLISECONDS = 500;
/** A tick that comes out so near to a nanosecond is one. */
const NANOSECOND_TOLERANCE = 0.05;

/** Time of all dispatches of one kernel. */
export interface KernelTime {
  /** The kernel. */
  readonly name: string;
  /** Dispatches. */
  readonly count: number;
  /** Sum of their times. */
  readonly milliseconds: number;
}

/** Timestamps of dispatches. */
interface Stamps {
  /** The kernel of each. */
  readonly names: readonly string[];
  /** Begin and end of each, in ticks of the GPU. */
  readonly ticks: BigUint64Array;
  /** When all were known to be done, as `performance.now()` tells it. */
  readonly doneAt: number;
}

/**
 * Runs `record`, which records at most 2,048 dispatches, with each in a timed pass of its own, and
 * returns the time of each kernel, longest first. Needs the adapter's timestamp queries.
 */
export async function profile(device: Device, record: () => unknown): Promise<KernelTime[]> {
  const { names, ticks } = await stamped(device, record);
  const nanoseconds = await tickNanoseconds(device);
  const totals = new Map<string, { count: number; milliseconds: number }>();
  for (const [i, name] of names.entries()) {
    const total = totals.get(name) ?? { count: 0, milliseconds: 0 };
    total.count++;
    total.milliseconds += Number(ticks[2 * i + 1]! - ticks[2 * i]!) * nanoseconds / 1e6;
    totals.set(name, total);
  }
  return [...totals].map(([name, total]) => ({ name, ...total }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/**
 * The length of a tick by the clock: WebGPU's timestamps count nanoseconds, but Deno hands on those of the GPU,
 * which are 1 ns on some and up to 100 ns on others.
 */
async function tickNanoseconds(device: Device): Promise<number> {
  using x = device.unscoped(() => device.empty([1]));
  const first = await stamped(device, () => fill(x, 0));
  await new Promise((resolve) => setTimeout(resolve, TICKING_MILLISECONDS));
  const second = await stamped(device, () => fill(x, 0));
  const ticks = Number(second.ticks[1]! - first.ticks[1]!);
  const nanoseconds = (second.doneAt - first.doneAt) * 1e6 / ticks;
  return Math.abs(nanoseconds - 1) < NANOSECOND_TOLERANCE ? 1 : nanoseconds;
}

async function stamped(device: Device, record: () => unknown): Promise<Stamps> {
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
  const doneAt = performance.now();
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
  const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
  for (const resource of [resolved, staging, querySet]) resource.destroy();
  return { names, ticks, doneAt };
}
