/**
 * How the commands open the device: with the kernels that were measured for it.
 *
 * @module
 */

import { Device } from "../kernels/core/device.ts";
import type { ForcedVariants } from "../kernels/core/tuning.ts";
import { readTuning } from "./tuning_file.ts";

/** What the `device` section of a configuration says of opening one. */
export interface DeviceSettings {
  /** Take a CPU driver where there is no GPU. */
  readonly allowCpuDriver: boolean;
  /** Kernel variants to use whatever was measured, by op name. */
  readonly variants: ForcedVariants;
  /** Name the kernel that first went wrong. */
  readonly debug: boolean;
}

/** The GPUs that were opened, and were not lost: Deno panics where it waits for a lost one. */
const opened = new Set<GPUDevice>();

/**
 * Waits until the GPUs that were opened, and may be closed, have done what was submitted, for ten seconds at most: a
 * driver that still compiles or computes while its process ends may crash it, as Mesa's CPU driver does.
 */
export async function gpusAtRest(): Promise<void> {
  const patience = Promise.withResolvers<void>(), timer = setTimeout(patience.resolve, 10_000);
  const atRest = Promise.all(Array.from(opened, (gpu) => gpu.queue.onSubmittedWorkDone()));
  await Promise.race([atRest, patience.promise]).catch(() => {});
  clearTimeout(timer);
}

/**
 * Opens the device as a configuration says, with the kernels that `deno task tune` found to be the
 * fastest on it; without a configuration any driver will do. `note` is told of tuning that cannot be
 * used.
 *
 * Throws an `UnsupportedDeviceError` when there is no driver, or a CPU driver alone and that is not
 * allowed.
 *
 * @example
 * ```ts ignore
 * using device = await openDevice(config.device, (line) => console.error(line));
 * ```
 */
export async function openDevice(
  settings: DeviceSettings | undefined,
  note: (line: string) => void,
): Promise<Device> {
  const { allowCpuDriver = true, variants = {}, debug = false } = settings ?? {};
  const tuning = readTuning({ note });
  const device = await Device.open({ allowCpuDriver, variants, debug, tuning, note });
  const { gpu } = device;
  opened.add(gpu);
  gpu.lost.then(({ reason }) => reason === "destroyed" || opened.delete(gpu));
  return device;
}
