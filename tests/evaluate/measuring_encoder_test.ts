import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bankSchema } from "../../bank/config.ts";
import { openMeasuringEncoder } from "../../evaluate/measuring_encoder.ts";
import { randomImages, sourceOf } from "../bank/_images.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("openMeasuringEncoder() fits no more components than the images have", async (device) => {
  const dimOf = async (count: number, { encoder, resolution }: Record<string, unknown>) => {
    const sizes = { channels: 1, imageSize: 4 };
    const features = { path: "features.npy" };
    using fitted = await openMeasuringEncoder({
      device,
      bank: undefined,
      onnx: undefined,
      providers: ["cpu"],
      config: bankSchema.parse({ encoder, dim: 12, resolution, features }),
      images: () => Promise.resolve(sourceOf(randomImages(count, sizes), sizes)),
      reporter: { note() {}, warn() {}, begin: () => assert.fail() },
    });
    assert.equal(fitted.description.kind, "pixel_pca");
    return fitted.dim;
  };
  // Of another program's vectors, no image can be encoded: pixel_pca takes their place.
  for (const encoder of ["pixel_pca", "features"]) {
    assert.equal(await dimOf(20, { encoder, resolution: 4 }), 12);
    assert.equal(await dimOf(5, { encoder, resolution: 4 }), 4);
    assert.equal(await dimOf(20, { encoder, resolution: 2 }), 4);
  }
  await assert.rejects(dimOf(1, { encoder: "pixel_pca", resolution: 4 }), {
    name: "RangeError",
    message: "Cannot fit pixel_pca to 1 image: expected at least 2",
  });
});

gpuTest("openMeasuringEncoder() reads no images for a network", async (device) => {
  const path = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));
  using encoder = await openMeasuringEncoder({
    device,
    bank: undefined,
    onnx: undefined,
    providers: ["cpu"],
    config: bankSchema.parse({ encoder: "onnx", onnx: { path, size: 8 } }),
    images: () => assert.fail(),
    reporter: { note: () => assert.fail(), warn() {}, begin: () => assert.fail() },
  });
  assert.deepEqual([encoder.description.kind, encoder.dim], ["onnx", 6]);
});
