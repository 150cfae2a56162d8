/**
 * Features of images that are spread evenly over a set, to measure a run by.
 *
 * @module
 */

import { type Bank, encodesWhole } from "../bank/bank.ts";
import type { Encoder } from "../bank/encoders/encoder.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { spreadIndices } from "../bank/select_rows.ts";
import type { Device } from "../kernels/core/device.ts";

/** Training images that samples are measured against, at most. */
export const MOST_REFERENCES = 10_000;

/** Images that are encoded at once. */
const BATCH = 64;

/**
 * Gives features [n, d] of the training images, or of 10,000 of them, by a bank's encoder. They are made at
 * the first call, which may take long: that one is told how far it is. Throws what encoding throws; the next
 * call then tries again.
 */
export type TrainingFeatures = (
  onProgress?: (done: number, total: number) => void,
) => Promise<Float32Array>;

/** The features of training images, one for each snippet of a bank: its snippets, where they are as good. */
export function trainingFeatures(
  { device, bank, encoder, images }: {
    readonly device: Device;
    readonly bank: Bank;
    readonly encoder: Encoder;
    readonly images: ImageSource;
  },
): TrainingFeatures {
  const count = Math.min(images.size, MOST_REFERENCES);
  let features: Float32Array | undefined;
  return async (onProgress) =>
    features ??= encodesWhole(bank, images.imageSize)
      ? await gatherSpread(device, bank, count)
      : await encodeSpread(encoder, images, count, onProgress);
}

/** The snippets [count, d] of a bank at `count` places that are spread evenly over it. */
export async function gatherSpread(
  device: Device,
  bank: Bank,
  count: number,
): Promise<Float32Array> {
  using rows = device.unscoped(() => bank.gather(spreadIndices(count, bank.size)));
  return await rows.read();
}

/** Encodes `count` images that are spread evenly over a set to [count, d]. */
export async function encodeSpread(
  encoder: Encoder,
  set: ImageSource,
  count: number,
  onProgress?: (done: number, total: number) => void,
): Promise<Float32Array> {
  const { channels, imageSize: size } = set;
  const out = new Float32Array(count * encoder.dim), indices = spreadIndices(count, set.size);
  for (let first = 0; first < count; first += BATCH) {
    const n = Math.min(BATCH, count - first);
    const images = await set.read(indices.subarray(first, first + n));
    const vectors = await encoder.encode(images, { count: n, channels, height: size, width: size });
    out.set(vectors, first * encoder.dim);
    onProgress?.(first + n, count);
  }
  return out;
}
