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
 * Loads the bank of a safetensors file, full or low-rank.
 *
 * Throws a CheckpointError that says what is wrong with the file.
 */
export function loadBank(device: Device, path: string): ExtensibleBank {
  return isLowRank(path) ? LowRankBank.load(device, path) : FullBank.load(device, path);
}

function isLowRank(path: string): boolean {
  using file = BankFile.open(path);
  return file.rank !== undefined;
}
