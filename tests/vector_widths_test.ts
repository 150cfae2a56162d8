/**
 * Kernels where subgroups have other sizes than 8: 16, for which those of CPU drivers are written, too, and 4, with
 * which others run. Mesa's CPU driver has as many lanes as its vectors have numbers, and takes their width from the
 * environment.
 */

import assert from "node:assert/strict";
import { NO_ADAPTER, sharedDevice } from "./_gpu.ts";
import { finish, start } from "./_tasks.ts";

/** Tests of the ops that have kernels with subgroups, or with workgroups as large; each names its variant. */
const OPS = ["matmul", "attention", "layer_norm", "modulate", "reconstruct", "adamw"];
const VARIANTS = /\((subgroup|rows|workgroup|register|texture)\)/;

const SUBGROUP_SIZE = `
  import { Device } from "./kernels/core/device.ts";
  using device = await Device.open({ allowCpuDriver: true });
  console.log(device.profile.subgroupSize);
`;

/** Runs the tests with so many lanes and returns how many passed; undefined where the driver has others. */
async function passedWith(lanes: number): Promise<number | undefined> {
  const env = {
    LP_NATIVE_VECTOR_WIDTH: String(32 * lanes),
    // It keeps compiled kernels, and gives them to whatever width asks.
    MESA_SHADER_CACHE_DISABLE: "true",
  };
  const size = await finish(start([Deno.execPath(), "eval", SUBGROUP_SIZE], env));
  assert.equal(size.code, 0, size.stderr);
  if (size.stdout !== `${lanes}\n`) return undefined;
  const files = OPS.map((op) => `tests/kernels/${op}_test.ts`);
  const args = ["test", "-A", "--no-check", "--filter", `${VARIANTS}`, ...files];
  const { code, stdout, stderr } = await finish(start([Deno.execPath(), ...args], env));
  assert.equal(code, 0, stdout + stderr);
  const [, passed] = /(\d+) passed \| 0 failed/.exec(stdout) ?? [];
  return Number(passed);
}

Deno.test({
  name: "kernels with subgroups match their references with 4 and with 16 lanes",
  ignore: NO_ADAPTER,
  async fn() {
    const { driver } = (await sharedDevice()).profile;
    if (driver === "gpu") return console.log("skipped: a GPU has subgroups of its own size");
    // At once, which takes about half as long as one after the other.
    const found = await Promise.all([4, 16].map(passedWith));
    for (const passed of found) {
      if (passed === undefined) console.log("skipped: not a driver of Mesa");
      else assert(passed > 24, `${passed} tests passed`);
    }
  },
});
