/**
 * Loading a bank of either kind.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import type { ExtensibleBank } from "./bank.ts";
import { BankFile } from "./file.ts";
import { FullBank } from "./full_bank.ts";
import { LowRankBank } from "./low_rank_bank.ts";

/**
 * Loads the bank of a safetensors file, full or low-rank: of one at a path, or of an open one, which stays open.
 *
 * Throws a CheckpointError that says what is wrong with the file.
 *
 * @example
 * ```ts
 * import { Device, FullBank, loadBank } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using made = FullBank.from(device, { dim: 2, snippets: Float32Array.of(1, 0, 0, 1) });
 * const folder = Deno.makeTempDirSync(), path = `${folder}/bank.safetensors`;
 * await made.save(path);
 * using bank = loadBank(device, path);
 * Deno.removeSync(folder, { recursive: true }); // the snippets are on the GPU
 * console.log(bank.size, bank.rank, await bank.snippet(1)); // 2 undefined Float32Array(2) [ 0, 1 ]
 * ```
 */
export function loadBank(device: Device, file: string | BankFile): ExtensibleBank {
  if (typeof file === "string") {
    using opened = BankFile.open(file);
    return loadBank(device, opened);
  }
  return file.rank === undefined ? FullBank.load(device, file) : LowRankBank.load(device, file);
}
