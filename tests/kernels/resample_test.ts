import assert from "node:assert/strict";
import { mat3 } from "@gfx/wgpu-matrix";
import type { Device } from "../../kernels/core/device.ts";
import { resample } from "../../kernels/resample/mod.ts";
import { resampleReference } from "../../kernels/resample/reference.ts";
import {
  cropTransform,
  type Size,
  stackTransforms,
  type Transform,
} from "../../kernels/resample/transforms.ts";
import { assertClose, randomValues, ROUNDING } from "../_check_op.ts";
import { gpuTest, inRowsOfTwo } from "../_gpu.ts";

/** Shows the whole image, stretched to the size of the result. */
function resize(image: Size, result: Size): Transform {
  return cropTransform({ x: 0, y: 0, ...image }, result);
}

/** Mirrors an image of the given width, left to right. */
function flip(width: number): Transform {
  return mat3.scale(mat3.translation([width, 0]), [-1, 1]);
}

/** Resamples one image of one channel. */
async function draw(
  device: Device,
  values: ArrayLike<number>,
  options: {
    from: readonly [height: number, width: number];
    to: readonly [height: number, width: number];
    transform: Transform;
  },
): Promise<Float32Array> {
  const { from, to: [height, width], transform } = options;
  const out = inRowsOfTwo(
    device,
    () =>
      device.scope(() =>
        resample(
          device.tensor(Float32Array.from(values), [1, 1, ...from]),
          stackTransforms(device, [transform]),
          { height, width },
        )
      ),
  );
  const numbers = await out.read();
  out.dispose();
  return numbers;
}

gpuTest(
  "resample() matches the reference for crops, flips, sizes and rotations",
  async (device) => {
    const size = { width: 13, height: 10 };
    const turn = mat3.translate(mat3.rotate(mat3.translation([6, 5]), 0.7), [-6, -5]);
    const cases: { to: [number, number]; transform: Transform }[] = [
      { to: [10, 13], transform: turn },
      { to: [7, 31], transform: resize(size, { width: 31, height: 7 }) },
      { to: [3, 4], transform: resize(size, { width: 4, height: 3 }) },
      { to: [1, 1], transform: resize(size, { width: 1, height: 1 }) },
      {
        to: [5, 5],
        transform: cropTransform({ x: 2.5, y: 1, width: 9, height: 6 }, { width: 5, height: 5 }),
      },
      {
        to: [4, 6],
        transform: mat3.multiply(
          mat3.multiply(flip(13), turn),
          cropTransform({ x: -4, y: 3, width: 20, height: 12 }, { width: 6, height: 4 }),
        ),
      },
    ];
    const values = randomValues([10, 13], 8);
    for (const [index, { to, transform }] of cases.entries()) {
      const got = await draw(device, values, { from: [10, 13], to, transform });
      const want = resampleReference(values, {
        transform,
        height: 10,
        width: 13,
        outHeight: to[0],
        outWidth: to[1],
      });
      assertClose(got, want, {
        // Points up to 32 pixels away, in three roundings of f32, times a slope of up to 2 for each
        // axis where the sum of the weights' magnitudes is below 2.
        tolerance: 3 * 32 * 2 * 2 * 2 * ROUNDING,
        scale: 1,
        name: `case ${index}`,
      });
    }
  },
);

gpuTest("resample() keeps an image exactly when nothing changes", async (device) => {
  const values = new Float32Array(randomValues([7, 9], 2));
  const options = { from: [7, 9], to: [7, 9] } as const;
  const size = { width: 9, height: 7 };
  for (const transform of [mat3.identity(), resize(size, size)]) {
    assert.deepEqual(await draw(device, values, { ...options, transform }), values);
  }
});

gpuTest("resample() mirrors and crops at whole pixels exactly", async (device) => {
  const values = new Float32Array(randomValues([5, 8], 2));
  const flipped = await draw(device, values, {
    from: [5, 8],
    to: [5, 8],
    transform: flip(8),
  });
  assert.deepEqual(flipped, values.map((_, i) => values[i - i % 8 + 7 - i % 8]!));
  const result = { width: 3, height: 2 };
  const crop = cropTransform({ x: 4, y: 1, ...result }, result);
  const both = mat3.multiply(crop, flip(3)); // crop, then flip what is left
  const cropped = await draw(device, values, { from: [5, 8], to: [2, 3], transform: both });
  assert.deepEqual([...cropped], [14, 13, 12, 22, 21, 20].map((i) => values[i]));
});

gpuTest("resample() keeps a constant when it shrinks and grows", async (device) => {
  for (const to of [[4, 4], [16, 16], [3, 11]] as const) {
    const [height, width] = to;
    const transform = resize({ width: 8, height: 8 }, { width, height });
    const got = await draw(device, Array(64).fill(0.375), { from: [8, 8], to, transform });
    // One rounding for each of the taps' products and sums, in both axes and in the total.
    assertClose(got, Array(height * width).fill(0.375), {
      tolerance: 64 * ROUNDING,
      name: `${to}`,
    });
  }
  const half = resize({ width: 8, height: 8 }, { width: 4, height: 4 });
  const ones = await draw(device, Array(64).fill(1), { from: [8, 8], to: [4, 4], transform: half });
  assert.deepEqual(ones, new Float32Array(16).fill(1));
});

gpuTest("resample() shrinks by sixty without losing taps", async (device) => {
  // A driver that stops the loops early loses the lower part of the average.
  const values = Array.from({ length: 240 * 240 }, (_, i) => i < 120 * 240 ? 0 : 1);
  const transform = resize({ width: 240, height: 240 }, { width: 4, height: 4 });
  const got = await draw(device, values, { from: [240, 240], to: [4, 4], transform });
  const want = resampleReference(Float64Array.from(values), {
    transform,
    height: 240,
    width: 240,
    outHeight: 4,
    outWidth: 4,
  });
  assertClose(got, want, { tolerance: 512 * ROUNDING, name: "sixty" });
});

gpuTest("resample() takes each image of a batch through its own transform", async (device) => {
  const values = randomValues([2, 3, 4, 4], 1);
  const transforms = [mat3.identity(), flip(4)];
  const out = device.scope(() =>
    resample(
      device.tensor(new Float32Array(values), [2, 3, 4, 4]),
      stackTransforms(device, transforms),
      { height: 4, width: 4 },
    )
  );
  const got = await out.read();
  const want = values.map((_, i) => i < 48 ? values[i]! : values[i - i % 4 + 3 - i % 4]!);
  assert.deepEqual([...got], [...want]);
  out.dispose();
});

gpuTest("resample() names the shapes and sizes that do not fit", (device) => {
  device.scope(() => {
    const images = device.empty([2, 3, 4, 4]), transforms = device.empty([2, 12]);
    assert.throws(
      () => resample(images, device.empty([2, 9]), { height: 4, width: 4 }),
      /transforms \[2, 9\]: expected \[B, C, H, W\] and \[B, 12\]/,
    );
    for (const shape of [[2, 3, 16], [2, 3, 0, 4], [2, 3, 4, 0]]) {
      assert.throws(
        () => resample(device.empty(shape), transforms, { height: 4, width: 4 }),
        /: expected \[B, C, H, W\] and \[B, 12\]$/,
      );
    }
    assert.throws(() => resample(images, transforms, { height: 0, width: 4 }), /to 4 by 0 pixels/);
  });
});
