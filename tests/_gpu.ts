/** Tests of a device: those of one file share it. */

import { Device, type DeviceOptions } from "../kernels/core/device.ts";
import { hasCpuSubgroups, type Profile } from "../kernels/core/profile.ts";
import type { ForcedVariants, OpWithVariants } from "../kernels/core/tuning.ts";

/** Without an adapter every test that needs a device is skipped. */
export const NO_ADAPTER = await navigator.gpu.requestAdapter() === null;
if (NO_ADAPTER) {
  console.log(
    "skipped: what needs WebGPU, since there is no adapter (README.md names a CPU driver)",
  );
}

let shared: Promise<Device> | undefined;

/** The device that the tests of one file share. */
export function sharedDevice(): Promise<Device> {
  return shared ??= openDevice();
}

// A file that imports this has one device at most; the driver must not find it open at exit.
Deno.test.afterAll(async () => {
  const device = await shared;
  await device?.settle().catch(() => {});
  device?.dispose();
});

/** Opens a device on a GPU or a CPU driver. */
export function openDevice(options: DeviceOptions = {}): Promise<Device> {
  return Device.open({ allowCpuDriver: true, ...options });
}

/** The profile of a CPU driver with subgroups of 8, but for `changes`. */
export function testProfile(changes: Partial<Profile> = {}): Profile {
  return {
    driver: "cpu",
    subgroups: true,
    subgroupSize: 8,
    subgroupEnable: "",
    f16: false,
    maxBindingBytes: 2 ** 27,
    workgroupBytes: 32768,
    workgroupInvocations: 1024,
    label: "test",
    ...changes,
  };
}

/** The names of the kernels that `record` dispatches, in order. */
export function dispatchesOf(device: Device, record: () => void): string[] {
  const names: string[] = [], dispatch = device.dispatch;
  device.dispatch = (kernel, options) => {
    names.push(kernel.name);
    dispatch.call(device, kernel, options);
  };
  try {
    record();
  } finally {
    device.dispatch = dispatch;
  }
  return names;
}

/**
 * Runs `record` with workgroups in rows of two, as if an axis had no more, where a kernel asks how long its
 * rows are: one that loses its place there is wrong beyond 65,535 workgroups.
 */
export function inRowsOfTwo<Result>(device: Device, record: () => Result): Result {
  const dispatch = device.dispatch;
  device.dispatch = (kernel, options) => {
    const [x, y = 1, z = 1] = options.workgroups;
    // Group sums and gradients of gates count chunks along y, products tiles.
    const spreads = y === 1 && !/^group_sums|^gate_backward|^matmul_subgroup$/.test(kernel.name) &&
      kernel.code(device.profile).includes("num_workgroups");
    dispatch.call(device, kernel, {
      ...options,
      // More rows than a row is long, so that neither length does for the other.
      workgroups: spreads && x > 2 ? [2, Math.max(3, Math.ceil(x / 2)), z] : [x, y, z],
    });
  };
  try {
    return record();
  } finally {
    device.dispatch = dispatch;
  }
}

/** A test on the shared device that also fails on any GPU error and on leaked tensors. */
export function gpuTest(name: string, run: (device: Device) => void | Promise<void>): void {
  Deno.test({
    name,
    ignore: NO_ADAPTER,
    // The shared device outlives the test.
    sanitizeResources: false,
    sanitizeOps: false,
    async fn() {
      await runChecked(await sharedDevice(), run);
    },
  });
}

/** As {@linkcode gpuTest}, for what needs f16: skipped where the adapter has none. */
export function halvesTest(name: string, run: (device: Device) => void | Promise<void>): void {
  gpuTest(name, (device) => lacksHalves(device) ? undefined : run(device));
}

/** Whether an adapter has no f16, which is told as the reason to skip. */
export function lacksHalves({ profile }: Device): boolean {
  if (!profile.f16) console.log("skipped: the adapter has no f16");
  return !profile.f16;
}

/** As {@linkcode gpuTest}, with variants of ops forced or a profile changed on the shared GPU. */
export function forcedTest(
  name: string,
  options: {
    variants: ForcedVariants;
    profile?: Partial<Profile>;
    run: (device: Device) => void | Promise<void>;
  },
): void {
  const { variants, profile, run } = options;
  gpuTest(name, async (shared) => {
    const device = new Device(shared.gpu, {
      profile: { ...shared.profile, ...profile },
      variants,
    });
    await runChecked(device, run);
    device.trim();
  });
}

/**
 * A {@linkcode forcedTest} for each variant in the op's own table, whose name it bears. With subgroups of 8 or 16,
 * for which every variant has sizes, it fails where another one stood in for all of them; a test that skips
 * itself asks for none.
 */
export function variantTest<V extends string>(
  name: string,
  options: {
    op: OpWithVariants;
    among: Readonly<Record<V, unknown>>;
    profile?: Partial<Profile>;
    run: (device: Device, variant: V) => void | Promise<void>;
  },
): void {
  const { op, among, profile = {}, run } = options;
  for (const variant of Object.keys(among) as V[]) {
    forcedTest(`${name} (${variant})`, {
      variants: { [op]: variant },
      profile,
      async run(device) {
        const used = usedVariants(device, op);
        await run(device, variant);
        const { profile } = await sharedDevice();
        if (!hasCpuSubgroups(profile) || used.size === 0 || used.has(variant)) return;
        throw new Error(`${variant} never ran, but ${[...used].join(", ")}`);
      },
    });
  }
}

/** The names of an op's variants that a device takes from here on. */
function usedVariants(device: Device, op: OpWithVariants): ReadonlySet<string> {
  const used = new Set<string>(), choose: Device["variant"] = device.variant.bind(device);
  device.variant = (name, picked, question) => {
    const variant = choose(name, picked, question);
    if (name === op) used.add(variant);
    return variant;
  };
  return used;
}

async function runChecked(
  device: Device,
  run: (device: Device) => void | Promise<void>,
): Promise<void> {
  const before = device.pool.liveBytes;
  await run(device);
  await device.settle();
  const leaked = device.pool.liveBytes - before;
  if (leaked !== 0) throw new Error(`${leaked} bytes of tensors were not released`);
}
