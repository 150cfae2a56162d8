import assert from "node:assert/strict";
import { encodeImages } from "../../../bank/build.ts";
import { PixelPca } from "../../../bank/encoders/pixel_pca.ts";
import { resizeImages } from "../../../bank/encoders/resize.ts";
import { storedEncoder } from "../../../bank/encoders/stored.ts";
import { normalizeSnippets } from "../../../bank/normalize.ts";
import { type Projection, projectRows } from "../../../bank/projection.ts";
import type { Device } from "../../../kernels/core/device.ts";
import { assertClose } from "../../_check_op.ts";
import { gpuTest } from "../../_gpu.ts";
import { randomImages, sourceOf } from "../_images.ts";

const SIZES = { channels: 2, imageSize: 6 }, PIXELS = 72, COUNT = 300;
const IMAGES = randomImages(COUNT, SIZES);

function fit(device: Device, options: { dim?: number; whiten?: boolean } = {}): Promise<PixelPca> {
  const { dim = 5, whiten = true } = options;
  return PixelPca.fit(device, { images: sourceOf(IMAGES, SIZES), dim, resolution: 6, whiten });
}

function projectionOf({ weights }: PixelPca): Projection {
  return {
    mean: new Float64Array(weights.get("mean")!.values),
    directions: new Float64Array(weights.get("components")!.values),
  };
}

/** Σ_row a_i a_j over the columns of rows [count, n], divided by count. */
function gram(rows: ArrayLike<number>, n: number): Float64Array {
  const count = rows.length / n, out = new Float64Array(n * n);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        out[i * n + j]! += rows[row * n + i]! * rows[row * n + j]! / count;
      }
    }
  }
  return out;
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, i) => i % (n + 1) === 0 ? 1 : 0);
}

gpuTest("PixelPca.fit() finds components of equal variance without correlation", async (device) => {
  using encoder = await fit(device);
  const { mean, directions } = projectionOf(encoder);
  const features = projectRows(IMAGES, { mean, directions });
  // The variance that stands for rounding to 8 bits, 5e-6, is taken off variances from 0.01 up:
  // a factor of (1 + 5e-4)² at most.
  assertClose(gram(features, 5), identity(5), { tolerance: 2e-3, name: "covariance" });
  assert.equal(encoder.dim, 5);
  const { varianceKept } = encoder.description.settings;
  assert.ok((varianceKept as number) > 0.8 && (varianceKept as number) < 1, `${varianceKept}`);
});

gpuTest(
  "PixelPca.fit() without whitening finds unit directions of falling variance",
  async (device) => {
    using encoder = await fit(device, { whiten: false });
    const { mean, directions } = projectionOf(encoder);
    const products = new Float64Array(25);
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 5; j++) {
        for (let k = 0; k < PIXELS; k++) {
          products[i * 5 + j]! += directions[i * PIXELS + k]! * directions[j * PIXELS + k]!;
        }
      }
    }
    assertClose(products, identity(5), { tolerance: 1e-6, name: "orthonormal" });
    const covariance = gram(projectRows(IMAGES, { mean, directions }), 5);
    const variances = [0, 1, 2, 3, 4].map((i) => covariance[i * 6]!);
    assert.deepEqual(variances, variances.toSorted((a, b) => b - a));
  },
);

gpuTest(
  "PixelPca halves a direction whose variance is that of rounding to 8 bits",
  async (device) => {
    // Values of [−1, 1] in steps of 2/255, of which a twelfth of the square is the variance.
    const deviation = 2 / 255 / Math.sqrt(12);
    const images = sourceOf(Float32Array.of(deviation, -deviation), { channels: 1, imageSize: 1 });
    using encoder = await PixelPca.fit(device, { images, dim: 1, resolution: 1 });
    const [weight] = encoder.weights.get("components")!.values;
    // Two roundings to f32.
    assertClose([weight! * deviation], [0.5], { tolerance: 2e-7, name: "weight" });
  },
);

gpuTest("PixelPca gives directions that no image varies in no weight", async (device) => {
  // The second channel is always the same, so 36 of the 72 directions have no variance.
  const still = IMAGES.map((value, i) => Math.floor(i / 36) % 2 === 0 ? value : 0.25);
  const images = sourceOf(still, SIZES);
  using encoder = await PixelPca.fit(device, { images, dim: 60, resolution: 6 });
  const novel = still.slice(0, PIXELS).map((value, i) => i < 36 ? value : -0.9);
  const shape = { count: 1, channels: 2, height: 6, width: 6 };
  const known = await encoder.encode(still.subarray(0, PIXELS), shape);
  const got = await encoder.encode(novel, shape);
  assertClose(got, known, { tolerance: 1e-4, name: "novel" });
});

gpuTest("PixelPca.encode() is the normalised projection, the same in any batch", async (device) => {
  using encoder = await fit(device);
  const { snippets, dim } = await encodeImages({ images: sourceOf(IMAGES, SIZES), encoder });
  const features = projectRows(IMAGES, projectionOf(encoder));
  assert.deepEqual(snippets, normalizeSnippets(features, { dim }));
  const one = await encoder.encode(IMAGES.subarray(7 * PIXELS, 8 * PIXELS), {
    count: 1,
    channels: 2,
    height: 6,
    width: 6,
  });
  assert.deepEqual(one, snippets.slice(7 * 5, 8 * 5));
});

gpuTest("PixelPca resizes images of another size on the GPU", async (device) => {
  const sizes = { channels: 2, imageSize: 12 }, images = randomImages(40, { ...sizes, seed: 8 });
  const shape = { count: 40, channels: 2, height: 12, width: 12 };
  const small = await resizeImages(device, images, { shape, size: 6 });
  assert.equal(small.length, 40 * PIXELS);
  using large = await PixelPca.fit(device, {
    images: sourceOf(images, sizes),
    dim: 4,
    resolution: 6,
  });
  using same = await PixelPca.fit(device, {
    images: sourceOf(small, SIZES),
    dim: 4,
    resolution: 6,
  });
  assert.deepEqual(large.description, same.description);
  assert.deepEqual(
    await large.encode(images, shape),
    await same.encode(small, { count: 40, channels: 2, height: 6, width: 6 }),
  );
});

gpuTest("PixelPca.fromBank() is the encoder that the bank was built with", async (device) => {
  using encoder = await fit(device);
  const bank = await encodeImages({ images: sourceOf(IMAGES, SIZES), encoder });
  using again = PixelPca.fromBank(device, bank);
  using stored = storedEncoder(device, bank)!;
  const shape = { count: 3, channels: 2, height: 6, width: 6 };
  const images = IMAGES.subarray(0, 3 * PIXELS);
  const expected = await encoder.encode(images, shape);
  assert.deepEqual(again.description, encoder.description);
  assert.deepEqual(await again.encode(images, shape), expected);
  assert.deepEqual(await stored.encode(images, shape), expected);
});

gpuTest(
  "PixelPca.fromBank() throws on other encoders and on weights that do not fit",
  async (device) => {
    using encoder = await fit(device);
    const { description, weights } = encoder;
    assert.equal(storedEncoder(device, {}), undefined);
    assert.throws(() => PixelPca.fromBank(device, {}), {
      name: "TypeError",
      message: "Cannot take the encoder pixel_pca from the bank: its encoder is not known, " +
        "expected pixel_pca",
    });
    assert.throws(
      () => PixelPca.fromBank(device, { encoder: { ...description, kind: "onnx" } }),
      /its encoder is onnx/,
    );
    assert.throws(() => PixelPca.fromBank(device, { encoder: description }), {
      name: "TypeError",
      message: "Cannot make the encoder pixel_pca: mean is missing, expected [72]",
    });
    for (const encoderWeights of [undefined, new Map()]) {
      assert.throws(() => storedEncoder(device, { encoder: description, encoderWeights }), {
        name: "TypeError",
        message:
          /it names its encoder pixel_pca and does not hold it, .* merged with one by the same/,
      });
    }
    assert.throws(
      () =>
        PixelPca.fromBank(device, { encoder: { ...description, dim: 4 }, encoderWeights: weights }),
      /components is \[5, 72\], expected \[4, 72\]/,
    );
    assert.throws(
      () =>
        PixelPca.fromBank(device, {
          encoder: { ...description, preprocessing: { channels: 2, size: "6" } },
          encoderWeights: weights,
        }),
      /preprocessing.size is "6", expected a positive integer/,
    );
    const mean = weights.get("mean")!, changed = { ...mean, values: mean.values.with(7, 0.25) };
    assert.throws(
      () =>
        PixelPca.fromBank(device, {
          encoder: description,
          encoderWeights: new Map([...weights, ["mean", changed]]),
        }),
      /mean and components have the fingerprint [\da-f]{64}, expected [\da-f]{64}, as the bank was/,
    );
  },
);

gpuTest(
  "PixelPca.fit() throws on sizes that cannot be fitted and on images all alike",
  async (device) => {
    const images = sourceOf(IMAGES, SIZES);
    for (const dim of [0, 73, 1.5]) {
      await assert.rejects(PixelPca.fit(device, { images, dim, resolution: 6 }), {
        name: "RangeError",
        message:
          `Cannot fit pixel_pca: dim is ${dim}, expected an integer from 1 to the 72 values ` +
          "of 2 channels of 6 by 6 pixels",
      });
    }
    await assert.rejects(PixelPca.fit(device, { images, dim: 1, resolution: 0 }), RangeError);
    const one = sourceOf(IMAGES.subarray(0, PIXELS), SIZES);
    await assert.rejects(PixelPca.fit(device, { images: one, dim: 1, resolution: 6 }), {
      message: "Cannot fit pixel_pca to 1 image: expected at least 2",
    });
    const few = sourceOf(IMAGES.subarray(0, 60 * PIXELS), SIZES);
    await assert.rejects(PixelPca.fit(device, { images: few, dim: 60, resolution: 6 }), {
      name: "RangeError",
      message: "Cannot fit pixel_pca to 60 images: dim is 60, expected at most 59, such as " +
        "bank.dim=6",
    });
    (await PixelPca.fit(device, { images: few, dim: 59, resolution: 6 }))[Symbol.dispose]();
    const alike = sourceOf(new Float32Array(3 * PIXELS).fill(1 / 3), SIZES);
    await assert.rejects(PixelPca.fit(device, { images: alike, dim: 1, resolution: 6 }), {
      message: "Cannot fit pixel_pca to 3 images: they are all alike, expected different ones",
    });
  },
);

gpuTest(
  "PixelPca.encode() throws on other channels and names an image without direction",
  async (device) => {
    using encoder = await fit(device);
    const shape = { count: 1, channels: 3, height: 6, width: 6 };
    await assert.rejects(encoder.encode(new Float32Array(108), shape), {
      name: "TypeError",
      message: "Cannot encode images of 3 channels with pixel_pca: expected 2",
    });
    const mean = encoder.weights.get("mean")!.values;
    await assert.rejects(encoder.encode(mean, { ...shape, channels: 2, firstIndex: 41 }), {
      name: "RangeError",
      message: /^Cannot normalise snippet 41: its norm is 0/,
    });
    await assert.rejects(encoder.encode(mean, { ...shape, channels: 2 }), {
      message: /^Cannot normalise snippet 0: its norm is 0/,
    });
  },
);
