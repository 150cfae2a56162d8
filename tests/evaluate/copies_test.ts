/** The search for copies on the built-in emoji, some of which look exactly like another one. */

import assert from "node:assert/strict";
import { encodeImages } from "../../bank/build.ts";
import { PixelPca } from "../../bank/encoders/pixel_pca.ts";
import { COPY_COLOURS, type CopyPicture, copyVerdict, findCopies } from "../../evaluate/copies.ts";
import {
  type CopiesBySpace,
  copyPanels,
  type CopySearch,
  searchCopies,
} from "../../evaluate/copy_search.ts";
import { distanceDevice } from "../../evaluate/distances.ts";
import type { Reporter } from "../../evaluate/reporter.ts";
import type { Device } from "../../kernels/core/device.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import { loadEmoji } from "../../train/datasets/emoji.ts";
import { ImageSet } from "../../train/datasets/image_set.ts";
import { gpuTest, NO_ADAPTER, openDevice } from "../_gpu.ts";

const COUNT = 120;
const SILENT: Reporter = {
  note() {},
  warn() {},
  begin: () => ({ advance() {}, [Symbol.dispose]() {} }),
};

const { train: TRAINING, heldOut: HELD_OUT } = (await loadEmoji({ imageSize: 8 }))
  .split({ heldOut: 191, seed: 0 });

/** The first training images with up to one level of 256 more or less. */
function noisyCopies(count: number): Uint8Array {
  const length = TRAINING.pixels.length / TRAINING.size, random = new Random(1, Stream.Noise);
  return TRAINING.pixels.slice(0, count * length).map((value, i) =>
    Math.min(255, Math.max(0, value + Math.floor(3 * random.uniform(0, 0, i)) - 1))
  );
}

function setOf(pixels: Uint8Array): ImageSet {
  const { imageSize, channels } = TRAINING;
  const names = Array.from({ length: pixels.length / (channels * imageSize ** 2) }, String);
  return new ImageSet({ imageSize, channels, pixels, names });
}

/** Searches for copies among samples, by pixels and by an encoder of the training images. */
async function search(device: Device, samples: Uint8Array): Promise<CopySearch> {
  using encoder = await PixelPca.fit(device, { images: TRAINING, dim: 32, resolution: 8 });
  const featuresOf = async (images: ImageSet) => (await encodeImages({ images, encoder })).snippets;
  return await searchCopies({
    samples: { channels: 3, pixels: samples, features: await featuresOf(setOf(samples)) },
    training: { images: TRAINING, features: await featuresOf(TRAINING) },
  }, { dim: 32, seed: 0, device, reporter: SILENT });
}

function verdictOf({ pixel, encoder }: CopiesBySpace): string {
  return copyVerdict({ pixels: pixel, "the encoder": encoder }, { picture: "copies.png" });
}

function framedPixels({ data }: CopyPicture): number {
  let count = 0;
  for (let i = 0; i < data.length; i += 3) {
    count += Number(COPY_COLOURS.near.every((value, channel) => data[i + channel] === value));
  }
  return count;
}

gpuTest("searchCopies() finds copies with a level of noise and frames them", async (device) => {
  const { findings, picture } = await search(device, noisyCopies(COUNT));
  assert.deepEqual([findings.pixel.nearer, findings.encoder.nearer], [1, 1]);
  assert.match(
    verdictOf(findings),
    /^samples lie near .* more often than by chance: 100\.0 % by pixels and 100\.0 % by the encoder, against 5\.\d % and 5\.\d % of the training images: look at copies\.png \(\d\.\d % of the training images have a twin, /,
  );
  // At least the image itself, for eight samples in two rows; a frame is 3 pixels wide.
  assert.ok(framedPixels(picture) >= 16 * (70 ** 2 - 64 ** 2), `${framedPixels(picture)}`);
});

gpuTest("searchCopies() finds a fifth of copies in both spaces", async (device) => {
  const samples = HELD_OUT.pixels.slice(0, noisyCopies(COUNT).length);
  samples.set(noisyCopies(COUNT / 5));
  const { findings } = await search(device, samples);
  for (const { nearer, mostByChance } of [findings.pixel, findings.encoder]) {
    assert.ok(nearer >= 0.2 && nearer < 0.3, `${nearer}`);
    assert.ok(nearer > mostByChance, `${nearer} and ${mostByChance}`);
  }
});

gpuTest("searchCopies() finds no copies among images that training never saw", async (device) => {
  const { findings } = await search(device, HELD_OUT.pixels);
  for (const { nearer, mostByChance } of [findings.pixel, findings.encoder]) {
    assert.ok(nearer <= mostByChance, `${nearer} and ${mostByChance}`);
  }
  assert.match(
    verdictOf(findings),
    /^samples lie near .* no more often than by chance: [^:]*images$/,
  );
});

gpuTest("searchCopies() compares blocks of large images, in levels of 256", async (device) => {
  // Of 65 × 65 pixels, blocks of 3 × 3 leave 21 × 21, and two rows and columns at the edges.
  const side = 65, count = 12, length = side ** 2;
  const random = new Random(4, Stream.Noise);
  const imagesOf = (seed: number) =>
    Uint8Array.from({ length: count * length }, (_, i) => random.bits(seed, 0, i));
  const training = imagesOf(0), samples = imagesOf(1);
  const featuresOf = (values: Uint8Array) =>
    Float32Array.from({ length: 2 * count }, (_, i) => values[i * 100]!);
  const names = Array.from({ length: count }, (_, i) => String(i));
  const images = new ImageSet({ imageSize: side, channels: 1, pixels: training, names });
  const { findings, picture } = await searchCopies({
    samples: { channels: 1, pixels: samples, features: featuresOf(samples) },
    training: { images, features: featuresOf(training) },
  }, { dim: 2, seed: 0, device, reporter: SILENT });
  const blocksOf = (pixels: Uint8Array, image: number) =>
    Array.from({ length: 21 ** 2 }, (_, block) => {
      let sum = 0;
      for (let i = 0; i < 9; i++) {
        const y = 3 * Math.floor(block / 21) + Math.floor(i / 3), x = 3 * (block % 21) + i % 3;
        sum += pixels[(image * side + y) * side + x]!;
      }
      return sum / 9;
    });
  const blocks = Array.from({ length: count }, (_, image) => blocksOf(training, image));
  for (let image = 0; image < count; image++) {
    const own = blocksOf(samples, image);
    const distances = blocks.map((other) =>
      Math.sqrt(other.reduce((sum, value, i) => sum + (value - own[i]!) ** 2, 0) / 21 ** 2)
    );
    const nearest = Math.min(...distances);
    // Means of nine in f32, and squares of some 441 of them that differ by a third.
    assert.ok(
      Math.abs(findings.pixel.samples.distances[image]! / nearest - 1) < 1e-4,
      `${nearest}`,
    );
    if (image < 8) assert.equal(findings.pixel.neighbours[5 * image], distances.indexOf(nearest));
  }
  assert.equal(findings.pixel.neighbours.length, 8 * 5);
  // The nearest training images, whole, beside the first sample: one picture pixel to a pixel.
  for (let k = 0; k < 5; k++) {
    const image = findings.pixel.neighbours[k]!;
    const left = 6 + (2 * side + 6) + 6 + 4 + 6 + k * (side + 6);
    for (const [x, y] of [[0, 0], [64, 3], [17, 64]] as const) {
      const place = ((6 + y) * picture.width + left + x) * 3;
      assert.equal(picture.data[place], training[(image * side + y) * side + x]);
    }
  }
  const [pixel, encoder] = copyPanels(findings);
  for (const [panel, check] of [[pixel!, findings.pixel], [encoder!, findings.encoder]] as const) {
    for (const [i, { distances }] of [check.samples, check.training].entries()) {
      const { points } = panel.curves[i]!;
      assert.deepEqual([points.length, points[0], points.at(-1)], [
        101,
        { x: Math.min(...distances), y: 0 },
        { x: Math.max(...distances), y: 1 },
      ]);
    }
  }
});

Deno.test("findCopies() takes twins among the training images for one", async () => {
  const normal = (count: number, seed: number) =>
    new Random(seed, Stream.Noise).fillNormal(new Float32Array(count * 3), { step: 0, sample: 0 });
  const once = normal(300, 1), twice = new Float32Array(2 * once.length);
  twice.set(once);
  // Twins up to rounding.
  twice.set(once.map((value) => value + 1e-6), once.length);
  const samples = normal(200, 2), options = { dim: 3 };
  const [plain, twins] = await Promise.all(
    [once, twice].map((training) => findCopies({ samples, training }, options)),
  );
  assert.ok(Math.abs(twins!.threshold / plain!.threshold - 1) < 0.05, `${twins!.threshold}`);
  assert.ok(twins!.nearer <= twins!.mostByChance, `${twins!.nearer}`);
  assert.deepEqual([plain!.twins, twins!.twins], [0, 1]);
  const copies = await findCopies({ training: twice, samples: once }, options);
  assert.ok(copies.nearer > copies.mostByChance && copies.nearer === 1);
  // The root mean square distance of these numbers is 8: twins are up to 0.008 apart.
  const numbers = Float32Array.of(...Array(20).keys(), 5.007);
  const { training } = await findCopies({ samples: numbers, training: numbers }, { dim: 1 });
  assert.ok(training.distances.every((distance) => distance > 0.99), `${training.distances}`);
});

Deno.test("findCopies() finds no copies among new images that are equally far", async () => {
  // 8 × 8 black and white pixels are a few whole squared distances apart.
  const imagesOf = (seed: number, count: number) =>
    new Random(seed, Stream.Noise)
      .fillNormal(new Float32Array(count * 64), { step: 0, sample: 0 })
      .map((value) => Number(value > 0));
  const training = imagesOf(3, 1000), samples = imagesOf(4, 500), options = { dim: 64 };
  const { nearer, byChance, mostByChance } = await findCopies({ training, samples }, options);
  // More than 5 % and three standard errors, 0.0858.
  assert.ok(byChance > 0.0858 && nearer > 0.0858, `${nearer} and ${byChance}`);
  assert.ok(nearer <= mostByChance, `${nearer} and ${mostByChance}`);
  // And finds copies where every second sample is one.
  samples.set(training.subarray(0, samples.length / 2));
  const copies = await findCopies({ training, samples }, options);
  assert.ok(copies.nearer > copies.mostByChance, `${copies.nearer}`);
});

Deno.test(
  "findCopies() on a GPU takes no image for its own neighbour",
  { ignore: NO_ADAPTER },
  async () => {
    using device = await openDevice({ variants: { matmul: "tiled" } });
    // As few of them as a device takes.
    const count = 592, dim = 3 * 32 ** 2;
    assert.equal(distanceDevice(device, { rows: count, columns: count, dim }), device);
    const { pixels } = await loadEmoji({ imageSize: 32 });
    const training = Float32Array.from(pixels.subarray(0, count * dim));
    // Two levels more or less everywhere: whole numbers, of which float64 loses nothing.
    const samples = training.map((value, i) => value + (i % 2 === 0 ? 2 : -2));
    const found = await findCopies({ samples, training }, { dim, device });
    assert.deepEqual(found.samples.distances, new Float64Array(count).fill(Math.sqrt(4 * dim)));
    assert.equal(found.nearer, 1);
    for (const image of [0, 100, 591]) {
      const own = training.subarray(image * dim, (image + 1) * dim);
      const others = Array.from({ length: count }, (_, other) => {
        let square = 0;
        for (let k = 0; k < dim; k++) square += (own[k]! - training[other * dim + k]!) ** 2;
        return Math.sqrt(square);
      });
      const nearest = Math.min(...others.filter((_, other) => other !== image));
      assert.equal(found.training.distances[image], nearest);
    }
    await device.settle();
  },
);

Deno.test("findCopies() counts what is just as near, far from the origin as well", async () => {
  // Each of 20 is 1 from its next; distances between them are small against their mean of 1,009.5.
  const training = Float32Array.from({ length: 20 }, (_, i) => 1000 + i);
  const options = { dim: 1, scale: 3, neighbours: 2 };
  const beside = await findCopies({ training, samples: Float32Array.of(999, 1020) }, options);
  assert.deepEqual([beside.threshold, beside.nearer], [3, 1]);
  assert.deepEqual(beside.training.quantiles, Array(7).fill(3));
  assert.deepEqual([...beside.neighbours], [0, 1, 19, 18]);
  assert.deepEqual([...beside.neighbourDistances], [3, 6, 3, 6]);
  const beyond = await findCopies({ training, samples: Float32Array.of(998, 1020) }, options);
  assert.equal(beyond.nearer, 0.5);
});

Deno.test("findCopies() refuses a number of samples to show that is none", async () => {
  const training = Float32Array.of(0, 1, 2, 4, 8, 16);
  await assert.rejects(findCopies({ samples: training, training }, { dim: 1, shown: -1 }), {
    name: "RangeError",
    message: "Cannot look for copies: shown is -1, expected a whole number from 0",
  });
});

Deno.test("findCopies() refuses training images that are all alike", async () => {
  const training = new Float32Array(30).fill(1 / 3);
  await assert.rejects(findCopies({ samples: training, training }, { dim: 3 }), {
    name: "RangeError",
    message: "Cannot look for copies of 10 training images: they are all alike, " +
      "expected different ones",
  });
});

Deno.test("findCopies() refuses vectors that are not finite, which are near to nothing", async () => {
  const training = Float32Array.of(0, 1, 2, 4, 8, 16), samples = training.slice();
  samples[2] = NaN;
  for (const sets of [{ samples, training }, { samples: training, training: samples }]) {
    await assert.rejects(findCopies(sets, { dim: 1, neighbours: 2 }), {
      name: "RangeError",
      message: "Cannot use features of image 2: component 0 is NaN, expected finite numbers",
    });
  }
});
