import assert from "node:assert/strict";
import type { Interpolation } from "../../../bank/encoders/preprocessing.ts";
import { resizeImages } from "../../../bank/encoders/resize.ts";
import { assertClose, randomValues } from "../../_check_op.ts";
import { gpuTest } from "../../_gpu.ts";

const SHAPE = { count: 2, channels: 3, height: 9, width: 7 };

/** One weight of the filter that {@linkcode resized} takes. */
function weightOf(interpolation: Interpolation, distance: number): number {
  const d = Math.abs(distance);
  if (interpolation === "bilinear") return Math.max(0, 1 - d);
  const a = interpolation === "bicubic" ? -0.5 : -0.75;
  if (d < 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0;
}

/** The same by its definition: a weighted mean of all pixels for each one of the result. */
function resized(
  images: Float32Array,
  options: { shape: typeof SHAPE; size: number; crop: number; interpolation: Interpolation },
): Float64Array {
  const { shape: { count, channels, height, width }, size, crop, interpolation } = options;
  const axis = (length: number, position: number) => {
    const scale = crop * length / size;
    // Pillow drops what lies outside; the others go on with the last pixel, as far as a filter reaches.
    const border = interpolation === "bilinear" ? 0 : 2 + 2 * Math.ceil(scale);
    const spread = interpolation === "torch-bicubic" ? 1 : Math.max(1, scale);
    const centre = (1 - crop) / 2 * length + (position + 0.5) * scale;
    return Array.from({ length: length + 2 * border }, (_, i) => ({
      index: Math.max(0, Math.min(length - 1, i - border)),
      weight: weightOf(interpolation, (i - border + 0.5 - centre) / spread),
    }));
  };
  return Float64Array.from({ length: count * channels * size * size }, (_, i) => {
    const x = i % size, y = Math.floor(i / size) % size, plane = Math.floor(i / size ** 2);
    const columns = axis(width, x);
    let sum = 0, total = 0;
    for (const down of axis(height, y)) {
      for (const across of columns) {
        const weight = down.weight * across.weight;
        sum += weight * images[(plane * height + down.index) * width + across.index]!;
        total += weight;
      }
    }
    return sum / total;
  });
}

gpuTest(
  "resizeImages() follows the definition of each filter, with and without a crop",
  async (device) => {
    const { count, channels, height, width } = SHAPE;
    const images = new Float32Array(randomValues([count, channels, height, width], 3));
    for (const interpolation of ["bicubic", "bilinear", "torch-bicubic"] as const) {
      for (const [size, crop] of [[4, 1], [13, 1], [4, 0.7], [13, 0.7]] as const) {
        const options = { shape: SHAPE, size, crop, interpolation };
        assertClose(
          await resizeImages(device, images, options),
          new Float32Array(resized(images, options)),
          { tolerance: 2e-5, name: `${interpolation} to ${size}, crop ${crop}` },
        );
      }
    }
  },
);

gpuTest("resizeImages() shrinks without limit, and drops what is too fine", async (device) => {
  const shape = { count: 1, channels: 1, height: 1, width: 61 * 61 };
  // Stripes of one pixel on a slope from 0 to 2; none at the edges, with which the image goes on beyond them.
  const images = Float32Array.from(
    { length: shape.width },
    (_, x) => 2 * x / shape.width + (x % 2 === 0 ? 1 : -1) * Math.sin(Math.PI * x / shape.width),
  );
  for (const [size, crop] of [[1, 1], [2, 1], [2, 0.9]] as const) {
    const options = { shape, size, crop, interpolation: "bicubic" } as const;
    // Of several passes the later ones see the edge of what the first made, not the pixels beyond it.
    assertClose(
      await resizeImages(device, images, options),
      new Float32Array(resized(images, options)),
      { tolerance: 5e-3, name: `to ${size}, crop ${crop}` },
    );
  }
});

gpuTest("resizeImages() keeps a plain colour", async (device) => {
  const shape = { count: 1, channels: 3, height: 10, width: 8 };
  const plain = new Float32Array(3 * 10 * 8).fill(0.5);
  const resized = await resizeImages(device, plain, { shape, size: 4 });
  assertClose(resized, new Float32Array(48).fill(0.5), { tolerance: 1e-6, name: "plain" });
});

gpuTest(
  "resizeImages() returns images of the size as they are, unless it crops",
  async (device) => {
    const shape = { count: 1, channels: 1, height: 4, width: 4 };
    const images = new Float32Array(randomValues([1, 1, 4, 4], 4));
    assert.equal(await resizeImages(device, images, { shape, size: 4 }), images);
    const cropped = await resizeImages(device, images, { shape, size: 4, crop: 0.5 });
    assert.notDeepEqual(cropped, images);
    await assert.rejects(resizeImages(device, images, { shape: { ...shape, count: 2 }, size: 4 }), {
      name: "TypeError",
      message: "Cannot resize images of 16 values: expected 32 for [2, 1, 4, 4]",
    });
  },
);
