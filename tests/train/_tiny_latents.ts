/** The network of tiny_latent_encoder.onnx, computed anew, and image files for it. */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodePng } from "../../train/datasets/png.ts";

/** The encoder that make_tiny_latent_encoder.py wrote. */
export const ENCODER: string = fileURLToPath(
  new URL("../fixtures/tiny_latent_encoder.onnx", import.meta.url),
);

/** Channels of its latents, whose side is half that of the images. */
export const CHANNELS = 2;

/** What it gives for images [n, 3, side, side]: means, then log variances, [n, 4, side / 2, side / 2]. */
export function momentsOf(images: ArrayLike<number>, side: number): number[] {
  const moments: number[] = [], plane = side ** 2, rows = side / 2;
  for (let image = 0; image < images.length / (3 * plane); image++) {
    for (let channel = 0; channel < 2 * CHANNELS; channel++) {
      for (let place = 0; place < rows ** 2; place++) {
        const y = 2 * Math.floor(place / rows), x = 2 * (place % rows);
        let sum = 0;
        for (let colour = 0; colour < 3; colour++) {
          for (let k = 0; k < 4; k++) {
            const pixel = (y + Math.floor(k / 2)) * side + x + k % 2;
            sum += images[(3 * image + colour) * plane + pixel]! *
              Math.sin((channel * 3 + colour) * 4 + k);
          }
        }
        moments.push(sum);
      }
    }
  }
  return moments;
}

/** The pixels [3, side, side] of image `index`, bytes that differ between images, places and colours. */
export function pixelsOf(index: number, side: number): Uint8Array {
  return Uint8Array.from(
    { length: 3 * side ** 2 },
    (_, i) => Math.round(127.5 + 120 * Math.sin((index + 1) * (i + 1) * 0.37)),
  );
}

/** The same as floats in [−1, 1], or those of the mirrored image. */
export function imageOf(index: number, side: number, mirrored = false): Float32Array {
  const pixels = pixelsOf(index, side);
  return Float32Array.from(pixels, (_, i) => {
    const x = i % side;
    return pixels[mirrored ? i - x + side - 1 - x : i]! / 127.5 - 1;
  });
}

/** Writes images as PNG files of exactly that side: name i has the pixels of image i. */
export function writeImages(directory: string, names: readonly string[], side: number): void {
  for (const [index, name] of names.entries()) {
    const pixels = pixelsOf(index, side), plane = side ** 2;
    const data = Uint8Array.from(
      { length: pixels.length },
      (_, i) => pixels[i % 3 * plane + Math.floor(i / 3)]!,
    );
    const path = join(directory, name);
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeFileSync(path, encodePng({ width: side, height: side, channels: 3, data }));
  }
}
