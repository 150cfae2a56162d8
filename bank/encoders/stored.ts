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
 * Throws a TypeError if the bank names such an encoder and has nothing of it stored, as one of mapped vectors, or if
 * what it has stored does not fit the description.
 *
 * @example
 * ```ts
 * import { Device, encodeImages, ImageSet, PixelPca, storedEncoder } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * const images = new ImageSet({
 *   imageSize: 1, channels: 1, pixels: Uint8Array.of(0, 51, 255), names: ["a", "b", "c"],
 * });
 * using fitted = await PixelPca.fit(device, { images, dim: 1, resolution: 1 });
 * const bank = await encodeImages({ images, encoder: fitted });
 * using encoder = storedEncoder(device, bank); // undefined for a file such as DINOv2's
 * const shape = { count: 1, channels: 1, height: 1, width: 1 };
 * console.log(encoder && await encoder.encode(Float32Array.of(0.5), shape));
 * // Float32Array(1) [ 1 ]
 * ```
 */
export function storedEncoder(device: Device, bank: EncoderRecords): Encoder | undefined {
  const { encoder, encoderWeights } = bank;
  if (encoder?.kind !== "pixel_pca") return undefined;
  if (encoderWeights === undefined || encoderWeights.size === 0) {
    throw new TypeError(
      `Cannot encode an image for the bank: it names its encoder ${encoder.kind} and does not hold it, as ` +
        "banks of mapped vectors, expected a bank that was built from images, or that was merged " +
        "with one by the same encoder",
    );
  }
  return PixelPca.fromBank(device, bank);
}
