/**
 * Verifies files of recordings of the official code.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { DeviceLostError } from "../../kernels/core/errors.ts";
import type { Device } from "../../kernels/core/device.ts";
import { verifyMemoryBank, verifyNoiseIndex } from "./bank_case.ts";
import { Golden } from "./golden.ts";
import { verifyNetwork } from "./network_case.ts";
import { verifyOptimizer } from "./optimizer_case.ts";
import { Report } from "./report.ts";
import { verifyRepaFile, verifySamplers } from "./sampler_case.ts";
import { verifyTransport } from "./transport_case.ts";

/** Verifies one file and adds what it finds to the report. */
type Verify = (device: Device, golden: Golden, report: Report) => Promise<void>;

/** What a file holds, by its base name. */
const CASES: readonly (readonly [name: RegExp, verify: Verify])[] = [
  [/^(gmem_|repa_)?sit_/, verifyNetwork],
  [/^(gmem_)?lightningdit/, verifyNetwork],
  [/^train_adamw_/, verifyOptimizer],
  [/^sampler_(sit|sit_paths|gmem)$/, verifySamplers],
  [/^sampler_repa$/, verifyRepaFile],
  [/^transport_losses$/, verifyTransport],
  [/^memory_bank_svd$/, verifyMemoryBank],
  [/^noise_index$/, verifyNoiseIndex],
];

/**
 * Runs every check that the file at `path` has data for. A name that is not known, a tensor that no
 * check looks at and a file that cannot be read are failed rows, not exceptions.
 */
export async function verifyFile(device: Device, path: string): Promise<Report> {
  const report = new Report(path);
  const known = CASES.find(([name]) => name.test(report.name));
  if (!known) {
    report.fail("file", existsSync(path) ? "not covered" : "there is no such file");
    return report;
  }
  try {
    using golden = new Golden(path);
    await known[1](device, golden, report);
    for (const key of golden.unused()) report.fail(key, "not covered");
  } catch (error) {
    if (!(error instanceof Error) || error instanceof DeviceLostError) throw error;
    report.fail("file", error.message);
  }
  return report;
}
