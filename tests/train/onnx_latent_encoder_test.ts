import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { OnnxLatentEncoder } from "../../train/onnx_latent_encoder.ts";
import { assertClose, testNumbers } from "../_check_op.ts";
import { CHANNELS, ENCODER, momentsOf } from "./_tiny_latents.ts";

const FIXTURE = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** Twelve products in float32. */
const BOUND = { tolerance: 2 ** -20, scale: 4 };

Deno.test("OnnxLatentEncoder gives mean and deviation of the posterior", async () => {
  for (const [count, rows] of [[1, 4], [5, 3]] as const) {
    using encoder = await OnnxLatentEncoder.open(ENCODER, { channels: CHANNELS, imageSize: rows });
    const side = 2 * rows, length = CHANNELS * rows ** 2;
    assert.equal(encoder.imageSize, side);
    assert.deepEqual(encoder.latent, { channels: CHANNELS, imageSize: rows });
    const images = Float32Array.from({ length: count * 3 * side ** 2 }, testNumbers(3));
    const { mean, std } = await encoder.encode(images);
    const moments = momentsOf(images, side);
    const half = (which: number) => moments.filter((_, i) => Math.floor(i / length) % 2 === which);
    assertClose(mean, half(0), { ...BOUND, name: "mean" });
    const deviations = half(1).map((logVariance) => Math.exp(logVariance / 2));
    assertClose(std!, deviations, { ...BOUND, scale: Math.max(...deviations), name: "std" });
  }
});

Deno.test("OnnxLatentEncoder bounds the log variance as latent diffusion does", async () => {
  using encoder = await OnnxLatentEncoder.open(ENCODER, { channels: CHANNELS, imageSize: 2 });
  const large = await encoder.encode(new Float32Array(3 * 16).fill(1e4));
  const opposite = await encoder.encode(new Float32Array(3 * 16).fill(-1e4));
  const bounds = new Set([Math.fround(Math.exp(10)), Math.fround(Math.exp(-15))]);
  assert.deepEqual(new Set([...large.std!, ...opposite.std!]), bounds);
});

Deno.test("OnnxLatentEncoder takes an output of as many channels for the latents themselves", async () => {
  using encoder = await OnnxLatentEncoder.open(ENCODER, { channels: 4, imageSize: 2 });
  const images = Float32Array.from({ length: 2 * 3 * 16 }, testNumbers(4));
  const { mean, std } = await encoder.encode(images);
  assert.equal(std, undefined);
  assertClose(mean, momentsOf(images, 4), { ...BOUND, name: "latents" });
});

Deno.test("OnnxLatentEncoder takes a network for images of one side", async () => {
  const path = FIXTURE("tiny_latent_encoder_8.onnx");
  using encoder = await OnnxLatentEncoder.open(path, { channels: CHANNELS, imageSize: 4 });
  assert.equal(encoder.imageSize, 8);
  await assert.rejects(OnnxLatentEncoder.open(path, { channels: CHANNELS, imageSize: 16 }), {
    name: "TypeError",
    message: `Cannot encode with ${path}: it makes latents of 4 × 4 of its images of 8 × 8, ` +
      "expected 16 × 16",
  });
});

Deno.test("OnnxLatentEncoder.open() says why a file is no encoder of such latents", async () => {
  const latent = { channels: 2, imageSize: 4 };
  await assert.rejects(OnnxLatentEncoder.open("none.onnx", latent), {
    name: "NotFound",
    message: "Cannot encode with none.onnx: there is no such file, expected an ONNX file",
  });
  for (
    const [path, size, message] of [
      [
        FIXTURE("make_tiny_latent_encoder.py"),
        latent,
        /^Cannot encode with .*encoder\.py: .*, expected an ONNX file$/,
      ],
      [
        ENCODER,
        { channels: 3, imageSize: 4 },
        /latent_encoder\.onnx: its output for images of 64 × 64 is \[2, 4, 32, 32\] of float32, expected \[2, 3, H, H\] for latents or \[2, 6, H, H\] for mean and log variance$/,
      ],
      [
        FIXTURE("tiny_encoder.onnx"),
        latent,
        /tiny_encoder\.onnx: its output for images of 8 × 8 is \[2, 5, 6\] of float32, expected/,
      ],
      [
        FIXTURE("tiny_decoder.onnx"),
        latent,
        /tiny_decoder\.onnx: it does not take 2 images of 3 × 64 × 64, \S/,
      ],
    ] as const
  ) {
    await assert.rejects(OnnxLatentEncoder.open(path, size), (error: Error) => {
      assert.equal(error.name, "TypeError");
      assert.match(error.message, message);
      return true;
    });
  }
});
