import assert from "node:assert/strict";
import { profile } from "../../bench/profile.ts";
import { fill } from "../../kernels/core/in_place.ts";
import { gpuTest } from "../_gpu.ts";

/** Runs `work` on a GPU whose ticks are so many nanoseconds, given one whose are one. */
async function withTicks<T>(nanoseconds: bigint, work: () => Promise<T>): Promise<T> {
  const { getMappedRange } = GPUBuffer.prototype;
  GPUBuffer.prototype.getMappedRange = function (this: GPUBuffer) {
    const ticks = new BigUint64Array(getMappedRange.call(this).slice(0));
    return ticks.map((tick) => tick / nanoseconds).buffer;
  };
  try {
    return await work();
  } finally {
    GPUBuffer.prototype.getMappedRange = getMappedRange;
  }
}

for (const nanoseconds of [1n, 10n]) {
  gpuTest(
    `profile() times kernels by the clock where a tick is ${nanoseconds} ns`,
    async (device) => {
      if (!device.gpu.features.has("timestamp-query") || device.profile.driver === "gpu") {
        return console.log("skipped: the adapter has no timestamps, or ticks of its own");
      }
      using x = device.empty([2 ** 22]);
      fill(x, 0);
      await device.settle();
      let wall = NaN;
      const times = await withTicks(nanoseconds, () =>
        profile(device, async () => {
          const start = performance.now();
          for (let i = 0; i < 10; i++) fill(x, i);
          await device.settle();
          wall = performance.now() - start;
        }));
      assert.deepEqual(times.map(({ name, count }) => [name, count]), [["fill", 10]]);
      // A pass takes some of the time, the wait another part; a busy machine hears late of the end of either.
      const share = times[0]!.milliseconds / wall;
      assert.ok(share > 0.2 && share < 2, `${share}`);
    },
  );
}
