/** Sources of images, encoders and directories for the tests of banks. */

import type { Encoder, ImageBatchShape } from "../../bank/encoders/encoder.ts";
import type { ImageSource } from "../../bank/image_source.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { randomValues } from "../_check_op.ts";

/** Runs a test body with a fresh directory, removed afterwards. */
export async function inDirectory(body: (path: string) => void | Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "gmem_bank_" });
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** N images [C, size, size] in memory. */
export function sourceOf(
  pixels: Float32Array,
  options: { channels: number; imageSize: number } & Partial<ImageSource>,
): ImageSource {
  const { channels, imageSize } = options;
  const length = channels * imageSize ** 2;
  return {
    size: pixels.length / length,
    read(indices) {
      const batch = new Float32Array(indices.length * length);
      for (const [row, index] of indices.entries()) {
        batch.set(pixels.subarray(index * length, (index + 1) * length), row * length);
      }
      return batch;
    },
    ...options,
  };
}

/** Images of smooth random colours: neighbouring pixels are alike, as in real ones. */
export function randomImages(
  count: number,
  options: { channels: number; imageSize: number; seed?: number },
): Float32Array {
  const { channels, imageSize, seed = 1 } = options;
  const waves = randomValues([count, channels, 4], seed);
  return Float32Array.from({ length: count * channels * imageSize ** 2 }, (_, i) => {
    const x = i % imageSize, y = Math.floor(i / imageSize) % imageSize;
    const plane = Math.floor(i / imageSize ** 2) * 4;
    const u = x / imageSize, v = y / imageSize;
    return 0.4 * waves[plane]! + 0.3 * waves[plane + 1]! * Math.cos(3 * u) +
      0.2 * waves[plane + 2]! * Math.sin(4 * v) + 0.1 * waves[plane + 3]! * Math.cos(9 * (u + v));
  });
}

/** An encoder whose snippet is the normalised image itself. */
export function pixelEncoder(dim: number): Encoder {
  return {
    dim,
    description: { kind: "pixels", dim, fingerprint: "none", preprocessing: {}, settings: {} },
    weights: new Map([["scale", { shape: [2], values: Float32Array.of(1, 2) }]]),
    encode: (images: Float32Array, shape: ImageBatchShape) =>
      Promise.resolve(normalizeSnippets(images, { dim, firstIndex: shape.firstIndex ?? 0 })),
    [Symbol.dispose]() {},
  };
}
