import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { resolveConfig } from "../../train/config.ts";
import { writeStatistics } from "../../train/datasets/latent_scaling.ts";
import { OnnxDecoder } from "../../train/onnx_decoder.ts";
import { openViewer } from "../../train/viewer.ts";
import { assertClose, testNumbers } from "../_check_op.ts";

const PATH = fileURLToPath(new URL("../fixtures/tiny_decoder.onnx", import.meta.url));
const ENCODER = fileURLToPath(new URL("../fixtures/tiny_encoder.onnx", import.meta.url));

/** What the network that make_tiny_decoder.py wrote gives for latents [n, 2, side, side]. */
function decoded(latents: ArrayLike<number>, side: number): number[] {
  const images: number[] = [], plane = side ** 2;
  for (let image = 0; image < latents.length / (2 * plane); image++) {
    for (let colour = 0; colour < 3; colour++) {
      for (let y = 0; y < 2 * side; y++) {
        for (let x = 0; x < 2 * side; x++) {
          const place = Math.floor(y / 2) * side + Math.floor(x / 2);
          let sum = 0;
          for (let channel = 0; channel < 2; channel++) {
            const weight = ((channel * 3 + colour) * 2 + y % 2) * 2 + x % 2;
            sum += latents[(2 * image + channel) * plane + place]! * Math.sin(weight);
          }
          images.push(Math.tanh(sum));
        }
      }
    }
  }
  return images;
}

function latentsOf(count: number, side: number): Float32Array {
  return Float32Array.from({ length: count * 2 * side ** 2 }, testNumbers(5));
}

Deno.test("OnnxDecoder turns latents into images, in batches of any number", async () => {
  for (const [count, side] of [[1, 4], [4, 4], [9, 3]] as const) {
    using decoder = await OnnxDecoder.open(PATH, { channels: 2, imageSize: side });
    assert.deepEqual([decoder.channels, decoder.imageSize], [3, 2 * side]);
    const latents = latentsOf(count, side);
    // Two products and a tanh in float32.
    assertClose(await decoder.decode(latents), decoded(latents, side), {
      tolerance: 2 ** -20,
      scale: 1,
      name: `${count} of ${side}`,
    });
  }
});

Deno.test("OnnxDecoder.open() says why a file is no decoder of the latents", async () => {
  const size = { channels: 2, imageSize: 4 };
  await assert.rejects(OnnxDecoder.open("none.onnx", size), {
    name: "NotFound",
    message: "Cannot decode with none.onnx: there is no such file, expected an ONNX file",
  });
  const text = fileURLToPath(new URL("../fixtures/make_tiny_decoder.py", import.meta.url));
  for (
    const [path, latent, message] of [
      [text, size, /^Cannot decode with .*make_tiny_decoder\.py: .*, expected an ONNX file$/],
      [
        PATH,
        { channels: 4, imageSize: 4 },
        /tiny_decoder\.onnx: it does not take 2 latents of 4 × 4 × 4, \S/,
      ],
      [
        ENCODER,
        { channels: 3, imageSize: 8 },
        /tiny_encoder\.onnx: its output is \[2, 5, 6\] of float32, expected \[2, 3, S, S\] or/,
      ],
    ] as const
  ) {
    await assert.rejects(OnnxDecoder.open(path, latent), (error: Error) => {
      assert.equal(error.name, "TypeError");
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("openViewer() decodes what it brought back to the scale of the tokenizer", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const statistics = { mean: Float32Array.of(0.5, -1), std: Float32Array.of(2, 0.25) };
    writeStatistics(`${directory}/latents_stats.safetensors`, statistics);
    const { data } = resolveConfig({
      data: { kind: "latents", path: "none", imageSize: 4, channels: 2, decoder: PATH },
    });
    using viewer = (await openViewer(data, directory))!;
    assert.deepEqual([viewer.channels, viewer.imageSize], [3, 8]);
    const samples = latentsOf(2, 4), before = samples.slice();
    const stored = Array.from(samples, (value, i) => {
      const channel = Math.floor(i / 16) % 2;
      return value * statistics.std[channel]! + statistics.mean[channel]!;
    });
    assertClose(await viewer.view(samples), decoded(stored, 4), {
      tolerance: 2 ** -20,
      scale: 1,
      name: "images",
    });
    assert.deepEqual(samples, before);
    assert.equal(await openViewer({ ...data, decoder: null }, directory), undefined);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  using plain = (await openViewer(resolveConfig({}).data, "nowhere"))!;
  const images = latentsOf(1, 4);
  assert.deepEqual([plain.channels, plain.imageSize, await plain.view(images)], [3, 32, images]);
});
