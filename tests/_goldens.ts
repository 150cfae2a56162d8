import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";

/** A test on one file of recorded outputs of the official code. */
export interface GoldenTest {
  /** Name of the file in the folder of goldens, without its extension. */
  readonly golden: string;
  /** Skip it all the same. Default `false`. */
  readonly ignore?: boolean;
  /** The test; the file is closed after it. */
  fn(golden: SafetensorsFile): void | Promise<void>;
}

/** Registers a test on a golden file, skipped with a printed reason when the file is absent. */
export function goldenTest(name: string, { golden, ignore = false, fn }: GoldenTest): void {
  const url = new URL(`../../shared/goldens/${golden}.safetensors`, import.meta.url);
  const absent = !existsSync(url);
  if (absent) console.log(`Skipping "${name}": ${golden}.safetensors is not in shared/goldens`);
  Deno.test({
    name,
    ignore: absent || ignore,
    async fn() {
      using file = SafetensorsFile.open(fileURLToPath(url));
      await fn(file);
    },
  });
}
