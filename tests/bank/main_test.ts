import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { BankFile } from "../../bank/file.ts";
import type { BankSummary } from "../../bank/inspect.ts";
import { sharedDevice } from "../_gpu.ts";
import { inDirectory } from "./_images.ts";

const MAIN = fileURLToPath(new URL("../../bank/main.ts", import.meta.url));

/** Runs the program with the permissions that its task has. */
async function runBank(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", "--allow-env", MAIN, ...args],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("bank build writes a bank of the configured images, and bank inspect sums it up", async () => {
  if (!await sharedDevice()) return;
  await inDirectory(async (directory) => {
    const path = `${directory}/bank.safetensors`;
    const built = await runBank(
      "build",
      ...["--out", path, "--dim", "12", "--resolution", "8", "--rank", "6"],
      ...["-s", "data.imageSize=8", "-s", "data.heldOut=906", "-s", "model.patchSize=2"],
    );
    assert.equal(built.code, 0, built.stderr);
    assert.match(built.stdout, /snippets {2}1000 of length 12, 6 coefficients each/);
    assert.match(built.stderr, /rank {6}6 keeps \d+\.\d+ % of the energy/);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(directory))).length, 1);
    {
      using file = BankFile.open(path);
      assert.deepEqual([file.size, file.dim, file.rank], [1000, 12, 6]);
      assert.deepEqual([file.encoder?.kind, file.classes.length], ["pixel_pca", 9]);
    }
    const inspected = await runBank("inspect", path, "--json");
    assert.equal(inspected.code, 0, inspected.stderr);
    const summary: BankSummary = JSON.parse(inspected.stdout);
    assert.deepEqual([summary.size, summary.rank, summary.bytes], [1000, 6, 4 * (6000 + 72 + 12)]);
    assert.equal(Object.values(summary.classes).reduce((sum, count) => sum + count), 1000);

    Deno.truncateSync(path, 1000);
    const refused = await runBank("inspect", path);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^error: Cannot read .*bank.safetensors/m);
  });
});
