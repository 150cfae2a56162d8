import assert from "node:assert/strict";
import type { ImageBatchShape } from "../../bank/encoders/encoder.ts";
import { ImageSet } from "../../train/datasets/image_set.ts";
import { encodeFiles, sideForBank } from "../../train/encode_files.ts";
import { pixelEncoder } from "../bank/_images.ts";

Deno.test("images that a bank is asked about are read at the side of its own", () => {
  const encoder = { preprocessing: { size: 224, crop: 0.875 } };
  assert.equal(sideForBank({ imageSize: 32 }, encoder), 32);
  assert.equal(sideForBank({}, encoder), 256);
  assert.equal(sideForBank({}, { preprocessing: { size: 16 } }), 16);
});

Deno.test("encodeFiles() gives an encoder of grey images those in their shape", async () => {
  const images = new ImageSet({
    imageSize: 2,
    channels: 3,
    pixels: Uint8Array.from({ length: 2 * 3 * 4 }, (_, i) => 10 * i),
    names: ["a", "b"],
  });
  const grey = pixelEncoder(4), shapes: ImageBatchShape[] = [];
  const encoder = {
    ...grey,
    description: { ...grey.description, preprocessing: { channels: 1 } },
    encode(values: Float32Array, shape: ImageBatchShape) {
      shapes.push(shape);
      return Promise.resolve(values);
    },
  };
  const values = await encodeFiles(images, encoder);
  assert.deepEqual(shapes, [{ count: 2, channels: 1, height: 2, width: 2, firstIndex: 0 }]);
  assert.equal(values.length, 2 * 4);
  // Shares of red, green and blue: 0, 40 and 80 of the first pixel.
  assert.ok(Math.abs(values[0]! - ((0.587 * 40 + 0.114 * 80) / 127.5 - 1)) < 1e-6, `${values[0]}`);
});

Deno.test("encodeFiles() hands an encoder some hundred images at a time, in their order", async () => {
  const size = 600, pixels = Uint8Array.from({ length: size }, (_, i) => i % 256);
  const names = Array.from(pixels, String), counts: number[] = [];
  const grey = pixelEncoder(1);
  const values = await encodeFiles(new ImageSet({ imageSize: 1, channels: 1, pixels, names }), {
    ...grey,
    description: { ...grey.description, preprocessing: { channels: 1 } },
    encode(values: Float32Array, { count, firstIndex = 0 }: ImageBatchShape) {
      assert.equal(firstIndex, counts.reduce((sum, each) => sum + each, 0));
      counts.push(count);
      return Promise.resolve(values);
    },
  });
  assert.deepEqual(counts, [256, 256, 88]);
  assert.deepEqual(values, Float32Array.from(pixels, (value) => value / 127.5 - 1));
});
