/**
 * Encoders by what a configuration or a bank says of them. Only programs import this: it reaches the
 * library that runs ONNX networks, which the library's entry points must not.
 *
 * @module
 */

import { existsSync } from "node:fs";
import type { Device } from "../../kernels/core/device.ts";
import type { EncoderRecords } from "../bank.ts";
import type { BankConfig } from "../config.ts";
import type { Encoder } from "./encoder.ts";
import type { OnnxEncoder } from "./onnx.ts";
import { storedEncoder } from "./stored.ts";

/** What runs an ONNX network. */
interface NetworkOptions {
  /** What resizes images. */
  readonly device: Device;
  /** What runs the network; see `ProviderOptions`. */
  readonly providers?: readonly string[] | undefined;
}

/**
 * Opens the network of a `bank` section.
 *
 * Throws a TypeError where the section has none, and what `OnnxEncoder.open` throws.
 */
export async function openOnnx(
  config: BankConfig["onnx"],
  { device, providers }: NetworkOptions,
): Promise<OnnxEncoder> {
  if (!config?.path) {
    throw new TypeError("Cannot open the encoder onnx: bank.onnx has no path, expected one");
  }
  const { path, output, ...preprocessing } = config;
  // Imported here alone, so that other encoders need no native library.
  const { OnnxEncoder } = await import("./onnx.ts");
  return await OnnxEncoder.open(device, path, {
    providers,
    preprocessing: { ...preprocessing, ...(output !== null && { output }) },
  });
}

/** How {@linkcode encoderOfBank} finds the encoder. */
export interface BankEncoderOptions extends NetworkOptions {
  /** Where the bank's network is; where the bank says by default. */
  readonly onnx?: string | undefined;
}

/**
 * Opens the encoder that made a bank, to encode more images for it: from what the bank has stored, or
 * from the ONNX file that it names, which must be the very same.
 *
 * Throws a TypeError if the bank names no encoder, or another one than the file, and a NotFound error
 * if the file is not there.
 */
export async function encoderOfBank(
  bank: EncoderRecords,
  options: BankEncoderOptions,
): Promise<Encoder> {
  const { device, onnx, providers } = options;
  const { kind, source } = bank.encoder ?? {};
  if (onnx === undefined) {
    const stored = storedEncoder(device, bank);
    if (stored !== undefined) return stored;
    if (kind !== "onnx" || source === undefined) {
      throw new TypeError(
        `Cannot encode an image for the bank: its encoder is ${kind ?? "not known"}, ` +
          "expected pixel_pca, which is stored in the bank, or onnx, a file",
      );
    }
    if (!existsSync(source)) {
      throw new Deno.errors.NotFound(
        `Cannot encode an image for the bank: its encoder was read from ${source}, ` +
          "which is not there, expected the same network by --onnx FILE, in training by " +
          "--set bank.onnx.path=FILE",
      );
    }
  }
  const { OnnxEncoder } = await import("./onnx.ts");
  return await OnnxEncoder.forBank(device, onnx ?? source!, { providers, bank });
}
