/** What not every system can do; tests that need it are skipped there with a printed reason. */

import { join } from "node:path";

/** Whether links can be made; Windows makes them in developer mode alone, and otherwise says so. */
export function canLink(): boolean {
  const directory = Deno.makeTempDirSync();
  try {
    Deno.symlinkSync(directory, join(directory, "link"));
    return true;
  } catch (error) {
    if (Deno.build.os !== "windows") throw error;
    console.log(`skipped: ${(error as Error).message}`);
    return false;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Whether a process hears the signals of another one. */
export function canSignal(): boolean {
  if (Deno.build.os !== "windows") return true;
  console.log("skipped: Windows ends a process by any signal of another one");
  return false;
}
