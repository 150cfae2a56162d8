/**
 * Encoders that a bank holds in full.
 *
 * @module
 */

import type { Device } from "../../kernels/core/device.ts";
import type { EncoderRecords } from "../bank.ts";
import type { Encoder } from "./encoder.ts";
import { PixelPca } from "./pixel_pca.ts";

/**
 * Returns the encoder that made a bank's snippets, to encode more images with it; undefined if the
 * bank does not name it, or if it is a file of its own.
 *
 * Throws a TypeError if what the bank has stored of it does not fit its description.
 */
export function storedEncoder(device: Device, bank: EncoderRecords): Encoder | undefined {
  return bank.encoder?.kind === "pixel_pca" ? PixelPca.fromBank(device, bank) : undefined;
}
