import assert from "node:assert/strict";
import { openDevice } from "../../cli/open_device.ts";
import { runCommand } from "../../cli/run_command.ts";
import { tuningPath, writeTuning } from "../../cli/tuning_file.ts";
import type { Device } from "../../kernels/core/device.ts";
import { addTo } from "../../kernels/core/in_place.ts";
import { matmulInto } from "../../kernels/matmul/mod.ts";
import { NO_ADAPTER, sharedDevice } from "../_gpu.ts";

/** A test with a cache folder of its own, where no tuning is but what the test puts there. */
function cacheTest(name: string, run: (shared: Device) => Promise<void>): void {
  Deno.test({
    name,
    sanitizeResources: false,
    sanitizeOps: false,
    ignore: NO_ADAPTER,
    async fn() {
      const shared = await sharedDevice();
      const folder = Deno.makeTempDirSync({ prefix: "gmem_cache_" });
      const names = ["XDG_CACHE_HOME", "LOCALAPPDATA"];
      const before = names.map((name) => Deno.env.get(name));
      for (const name of names) Deno.env.set(name, folder);
      try {
        await run(shared);
      } finally {
        names.forEach((name, i) =>
          before[i] === undefined ? Deno.env.delete(name) : Deno.env.set(name, before[i])
        );
        Deno.removeSync(folder, { recursive: true });
      }
    },
  });
}

cacheTest(
  "openDevice() takes what was tuned and forced, with a configuration or without",
  async (shared) => {
    const { label } = shared.profile, table = { matmul: { "M=1": "naive" } };
    const among = { naive: true, forced: true }, shape = { M: 1 };
    const pick = (device: Device) => device.variant("matmul", "forced", { among, shape });
    writeTuning(table, { path: tuningPath()!, label, note: assert.fail });
    {
      using device = await openDevice(undefined, assert.fail);
      assert.deepEqual(device.tuning, table);
      assert.equal(pick(device), "naive");
    }
    const settings = { allowCpuDriver: true, variants: { matmul: "forced" }, debug: true };
    using device = await openDevice(settings, assert.fail);
    assert.equal(pick(device), "forced");
    using x = device.tensor(Float32Array.of(NaN), [1]), out = device.empty([1]);
    addTo(out, x);
    await assert.rejects(device.settle(), { name: "NonFiniteResultError" });

    Deno.writeTextFileSync(tuningPath()!, "{");
    const notes: string[] = [];
    using untuned = await openDevice(undefined, (line) => notes.push(line));
    assert.deepEqual([untuned.tuning, notes.length], [{}, 1]);
  },
);

cacheTest(
  "openDevice() refuses a CPU driver that is not allowed, and names the key",
  async ({ profile }) => {
    const opening = openDevice({ allowCpuDriver: false, variants: {}, debug: false }, assert.fail);
    if (profile.driver === "gpu") return (await opening).dispose();
    await assert.rejects(opening, {
      name: "UnsupportedDeviceError",
      message: /computes on the CPU, expected a GPU or allowCpuDriver: true/,
    });
  },
);

cacheTest("runCommand() exits when the GPUs that were opened have done their work", async () => {
  let atRest = false;
  const codes: number[] = [];
  await runCommand(async () => {
    using device = await openDevice(undefined, assert.fail);
    using a = device.empty([512, 512]), out = device.empty([512, 512]);
    for (let i = 0; i < 20; i++) matmulInto(out, a, a);
    device.flush();
    device.gpu.queue.onSubmittedWorkDone().then(() => atRest = true);
    throw new TypeError("Cannot go on");
  }, {
    printError: () => {},
    exit: (code) => {
      assert.ok(atRest);
      codes.push(code);
    },
  });
  assert.deepEqual(codes, [1]);
});
