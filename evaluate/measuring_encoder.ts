/**
 * The encoder whose space samples are measured in. Only programs import this, as
 * `bank/encoders/open.ts` says.
 *
 * @module
 */

import type { BankConfig } from "../bank/config.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import { encoderOfBank, openOnnx } from "../bank/encoders/open.ts";
import { fitAtMost } from "../bank/encoders/pixel_pca.ts";
import { BankFile } from "../bank/file.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { counted } from "../kernels/core/counted.ts";
import type { Device } from "../kernels/core/device.ts";
import type { Reporter } from "./reporter.ts";

/** Options of {@linkcode openMeasuringEncoder}. */
export interface MeasuringEncoderOptions {
  /** What resizes images. */
  readonly device: Device;
  /** The bank whose encoder measures; undefined where there is none. */
  readonly bank: string | undefined;
  /** Where that encoder's network is; where the bank says by default. */
  readonly onnx: string | undefined;
  /** What runs an ONNX network; see `ProviderOptions`. */
  readonly providers: readonly string[];
  /** The `bank` section, for an encoder that no bank has. */
  readonly config: BankConfig;
  /** Loads the images that `pixel_pca` is fitted to. */
  readonly images: () => Promise<ImageSource>;
  /** Is told what is fitted, and warned of a bank whose encoder encodes no images. */
  readonly reporter: Reporter;
}

/**
 * Opens the encoder of the bank; where there is none that encodes images, the configured network, or else
 * fits `pixel_pca`, with no more components than the images have.
 *
 * Throws what `encoderOfBank`, `openOnnx` and `PixelPca.fit` throw.
 */
export async function openMeasuringEncoder(options: MeasuringEncoderOptions): Promise<Encoder> {
  const { device, bank, onnx, providers, config, reporter } = options;
  if (bank !== undefined) {
    using file = BankFile.open(bank);
    const known = file.encoder !== undefined && file.encoder.kind !== "features";
    if (known || onnx !== undefined) return await encoderOfBank(file, { device, onnx, providers });
    reporter.warn(
      `the encoder of ${bank} is ${file.encoder?.kind ?? "not known"} and encodes no images: ` +
        "measured by pixel_pca in its place",
    );
  }
  if (config.encoder === "onnx") return await openOnnx(config.onnx, { device, providers });
  const images = await options.images();
  reporter.note(`encoder    fitted to ${counted(images.size, "image")}`);
  const { dim, resolution, whiten } = config;
  return await fitAtMost(device, { images, dim, resolution, whiten });
}
