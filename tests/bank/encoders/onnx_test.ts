import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  CLIP_STATISTICS,
  IMAGENET_STATISTICS,
  OnnxEncoder,
  type OnnxPreprocessing,
} from "../../../bank/encoders/onnx.ts";
import { normalizeSnippets } from "../../../bank/normalize.ts";
import { assertClose } from "../../_check_op.ts";
import { gpuTest } from "../../_gpu.ts";
import { floatBytes, onnxFile, type OnnxPort } from "../../_onnx.ts";
import { randomImages } from "../_images.ts";

const PATH = fileURLToPath(new URL("../../fixtures/tiny_encoder.onnx", import.meta.url));
const DIM = 6, PATCH = 4, SIZE = 8;
const MEAN = [0.4, 0.5, 0.6], STD = [0.2, 0.3, 0.25];

/** What the network that make_tiny_encoder.py wrote gives for one image [3, 8, 8]: tokens [5, 6]. */
function tokensOf(image: Float32Array): Float64Array {
  const tokens = new Float64Array(5 * DIM);
  for (let patch = 0; patch < 4; patch++) {
    for (let i = 0; i < DIM; i++) {
      let sum = 0;
      for (let k = 0; k < 3 * PATCH * PATCH; k++) {
        const channel = Math.floor(k / PATCH ** 2);
        const y = PATCH * Math.floor(patch / 2) + Math.floor(k / PATCH) % PATCH;
        const x = PATCH * (patch % 2) + k % PATCH;
        const pixel = image[(channel * SIZE + y) * SIZE + x]!;
        const value = ((pixel + 1) / 2 - MEAN[channel]!) / STD[channel]!;
        sum += value * Math.fround(Math.sin(i * 3 * PATCH * PATCH + k));
      }
      tokens[(1 + patch) * DIM + i] = sum;
      tokens[i]! += Math.cos(i) * sum / 4;
    }
  }
  return tokens;
}

gpuTest("OnnxEncoder runs a network and pools its tokens", async (device) => {
  const images = randomImages(20, { channels: 3, imageSize: SIZE });
  const shape = { count: 20, channels: 3, height: SIZE, width: SIZE };
  const cases: [Partial<OnnxPreprocessing>, number, number][] = [
    [{}, 0, 1],
    [{ pooling: "mean" }, 0, 5],
    [{ pooling: "patch-mean" }, 1, 5],
    [{ output: "pooled" }, 1, 5],
  ];
  for (const [part, first, end] of cases) {
    const preprocessing = { size: SIZE, mean: MEAN, std: STD, ...part };
    using encoder = await OnnxEncoder.open(device, PATH, { preprocessing });
    assert.equal(encoder.dim, DIM);
    const snippets = await encoder.encode(images, shape);
    const features = Array.from({ length: 20 }, (_, n) => {
      const tokens = tokensOf(images.subarray(n * 192, (n + 1) * 192));
      return Array.from({ length: DIM }, (_, i) => {
        let sum = 0;
        for (let token = first; token < end; token++) sum += tokens[token * DIM + i]!;
        return sum / (end - first);
      });
    }).flat();
    const want = normalizeSnippets(Float64Array.from(features), { dim: DIM });
    assertClose(snippets, want, { tolerance: 1e-5, name: JSON.stringify(part) });
  }
});

gpuTest("OnnxEncoder.tokens() gives the tokens as they are, the first apart", async (device) => {
  const images = randomImages(20, { channels: 3, imageSize: SIZE });
  const shape = { count: 20, channels: 3, height: SIZE, width: SIZE };
  const preprocessing = { size: SIZE, mean: MEAN, std: STD };
  using encoder = await OnnxEncoder.open(device, PATH, { preprocessing });
  assert.deepEqual([encoder.patches, encoder.dim], [4, DIM]);
  const { cls, patches } = await encoder.tokens(images, shape);
  const want = Array.from({ length: 20 }, (_, n) => [
    ...tokensOf(images.subarray(n * 192, (n + 1) * 192)),
  ]);
  const close = { tolerance: 1e-5, scale: 8 };
  assertClose(cls, want.flatMap((all) => all.slice(0, DIM)), { ...close, name: "CLS tokens" });
  assertClose(patches, want.flatMap((all) => all.slice(DIM)), { ...close, name: "patch tokens" });
  const pooled = { ...preprocessing, output: "pooled" };
  using plain = await OnnxEncoder.open(device, PATH, { preprocessing: pooled });
  assert.equal(plain.patches, 0);
  const alone = await plain.tokens(images, shape);
  assert.deepEqual([alone.cls.length, alone.patches.length], [20 * DIM, 0]);
});

gpuTest(
  "OnnxEncoder describes itself, shrinks images and refuses what does not fit",
  async (device) => {
    const preprocessing = { size: SIZE, mean: MEAN, std: STD };
    using encoder = await OnnxEncoder.open(device, PATH, { preprocessing });
    const { fingerprint, ...description } = encoder.description;
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    assert.deepEqual(description, {
      kind: "onnx",
      dim: DIM,
      preprocessing: {
        size: 8,
        channels: 3,
        crop: 1,
        interpolation: "bicubic",
        range: [0, 1],
        mean: MEAN,
        std: STD,
      },
      settings: { output: "last_hidden_state", pooling: "cls" },
      source: PATH,
    });
    using plain = await OnnxEncoder.open(device, PATH, { preprocessing: { size: SIZE } });
    assert.deepEqual(plain.description.preprocessing, {
      ...description.preprocessing,
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
    const flat = new Float32Array(3 * 16 * 16).fill(0.5);
    const shape = { count: 1, channels: 3, height: 16, width: 16 };
    const small = { ...shape, height: SIZE, width: SIZE };
    assertClose(
      await encoder.encode(flat, shape),
      await encoder.encode(flat.subarray(0, 192), small),
      { tolerance: 1e-5, name: "an even image, shrunk" },
    );
    await assert.rejects(encoder.encode(new Float32Array(64), { ...small, channels: 1 }), {
      name: "TypeError",
      message: "Cannot encode images of 1 channels with onnx: expected 3",
    });
    const bad = [
      [{ size: 0 }, /size is 0, expected a positive integer$/],
      [{ crop: 0 }, /crop is 0, expected a number above 0 and at most 1$/],
      [{ range: [1, 0] }, /range is 1, 0, expected the first to be below the second$/],
      [{ mean: [0] }, /there are 1 means and 3 standard deviations, expected 3$/],
      [{ std: [1, 0, 1] }, /std is 1, 0, 1, expected positive numbers$/],
      [{ output: "x" }, /output is x, expected one of last_hidden_state, pooled$/],
      [{ pooling: "max" as "mean" }, /pooling is max, expected one of cls, mean, patch-mean$/],
      [{ interpolation: "cubic" as "bicubic" }, /interpolation is cubic, .*one of bicubic, bilin/],
    ] as const;
    for (const [part, message] of bad) {
      await assert.rejects(
        OnnxEncoder.open(device, PATH, { preprocessing: { ...preprocessing, ...part } }),
        { name: "RangeError", message },
      );
    }
  },
);

gpuTest("OnnxEncoder crops before it resizes and maps colours to its range", async (device) => {
  const preprocessing = { size: SIZE, mean: MEAN, std: STD };
  const open = (part: Partial<OnnxPreprocessing>) =>
    OnnxEncoder.open(device, PATH, { preprocessing: { ...preprocessing, ...part } });
  const image = randomImages(1, { channels: 3, imageSize: 16 });
  const shape = { count: 1, channels: 3, height: 16, width: 16 };
  const central = Float32Array.from({ length: 3 * SIZE ** 2 }, (_, i) => {
    const x = i % SIZE, y = Math.floor(i / SIZE) % SIZE, channel = Math.floor(i / SIZE ** 2);
    return image[(channel * 16 + y + 4) * 16 + x + 4]!;
  });
  using plain = await open({});
  const want = await plain.encode(central, { ...shape, height: SIZE, width: SIZE });
  for (const interpolation of ["bicubic", "bilinear", "torch-bicubic"] as const) {
    using cropping = await open({ crop: 0.5, interpolation });
    const snippets = await cropping.encode(image, shape);
    assertClose(snippets, want, { tolerance: 1e-5, name: interpolation });
  }
  // The same colours in numbers 255 times as large.
  using bytes = await open({
    crop: 0.5,
    range: [0, 255],
    mean: MEAN.map((value) => 255 * value),
    std: STD.map((value) => 255 * value),
  });
  assertClose(await bytes.encode(image, shape), want, { tolerance: 1e-5, name: "bytes" });
});

/** A file whose features [n, d] are products of all numbers of an image [C, 2, 2]. */
function flatNetwork(shape: OnnxPort["shape"], values: readonly number[]): Uint8Array {
  return onnxFile({
    nodes: [
      { op: "Flatten", inputs: ["pixel_values"], outputs: ["flat"], attributes: { axis: 1 } },
      { op: "MatMul", inputs: ["flat", "w"], outputs: ["features"] },
    ],
    inputs: [{ name: "pixel_values", shape }],
    outputs: [{ name: "features", shape: [shape[0]!, "d"] }],
    weights: [{ name: "w", shape: [values.length / 2, 2], bytes: floatBytes(values) }],
  });
}

gpuTest("OnnxEncoder takes a file that leaves the channels open", async (device) => {
  const directory = await Deno.makeTempDir();
  try {
    // As exporters name the axes when all of them are free.
    const free = ["batch_size", "num_channels", "height", "width"];
    const cases: [number, Partial<OnnxPreprocessing>][] = [
      [3, {}],
      [3, IMAGENET_STATISTICS],
      [1, { mean: [0.5], std: [0.5] }],
    ];
    for (const [channels, part] of cases) {
      const values = Array.from({ length: 8 * channels }, (_, i) => Math.cos(i));
      const open = async (shape: OnnxPort["shape"], name: string) => {
        const path = `${directory}/${name}.onnx`;
        await Deno.writeFile(path, flatNetwork(shape, values));
        return OnnxEncoder.open(device, path, { preprocessing: { size: 2, ...part } });
      };
      using encoder = await open(free, "free");
      using fixed = await open(["n", channels, 2, 2], "fixed");
      assert.deepEqual(encoder.description.preprocessing, fixed.description.preprocessing);
      const images = randomImages(3, { channels, imageSize: 2 });
      const shape = { count: 3, channels, height: 2, width: 2 };
      assert.deepEqual(await encoder.encode(images, shape), await fixed.encode(images, shape));
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

gpuTest(
  "OnnxEncoder.open() refuses a file for one image at a time, and of other axes than images and vectors",
  async (device) => {
    const path = await Deno.makeTempFile({ suffix: ".onnx" });
    try {
      const values = Array.from({ length: 24 }, (_, i) => Math.cos(i));
      await Deno.writeFile(path, flatNetwork([1, 3, 2, 2], values));
      await assert.rejects(OnnxEncoder.open(device, path, { preprocessing: { size: 2 } }), {
        name: "TypeError",
        message: /it does not take 2 images of 3 × 2 × 2, .*Got: 2 Expected: 1\b/,
      });
      // One that makes a single vector of all its images.
      await Deno.writeFile(
        path,
        onnxFile({
          nodes: [{
            op: "Flatten",
            inputs: ["pixel_values"],
            outputs: ["features"],
            attributes: { axis: 0 },
          }],
          inputs: [{ name: "pixel_values", shape: ["n", 3, 2, 2] }],
          outputs: [{ name: "features", shape: [1, "d"] }],
        }),
      );
      await assert.rejects(OnnxEncoder.open(device, path, { preprocessing: { size: 2 } }), {
        name: "TypeError",
        message: /its output has shape \[1, 24\], expected \[n, d\] or \[n, T, d\]$/,
      });
      // One that gives as many axes as its images have.
      const input = { name: "pixel_values", shape: ["n", 3, 2, 2] };
      const output = { ...input, name: "features" };
      const nodes = [{ op: "Identity", inputs: ["pixel_values"], outputs: ["features"] }];
      await Deno.writeFile(path, onnxFile({ nodes, inputs: [input], outputs: [output] }));
      await assert.rejects(OnnxEncoder.open(device, path, { preprocessing: { size: 2 } }), {
        name: "TypeError",
        message: /its output has shape \[2, 3, 2, 2\], expected \[n, d\] or \[n, T, d\]$/,
      });
      await Deno.writeFile(
        path,
        onnxFile({
          nodes,
          inputs: [{ ...input, shape: ["n", 12] }],
          outputs: [{ ...output, shape: ["n", 12] }],
        }),
      );
      await assert.rejects(OnnxEncoder.open(device, path, { preprocessing: { size: 2 } }), {
        name: "TypeError",
        message:
          /its inputs are pixel_values, the first of shape \[n, 12\], expected one \[n, C, H, W\]$/,
      });
    } finally {
      await Deno.remove(path);
    }
  },
);

gpuTest("OnnxEncoder names the file that it cannot use", async (device) => {
  const open = (path: string, size: number) =>
    OnnxEncoder.open(device, path, { preprocessing: { size } });
  await assert.rejects(open("nowhere.onnx", SIZE), {
    name: "NotFound",
    message: "Cannot encode with nowhere.onnx: there is no such file, expected an ONNX file",
  });
  await assert.rejects(
    open("tests", SIZE),
    /^Error: Cannot encode with tests: .*, expected an ONNX file$/,
  );
  await assert.rejects(open(fileURLToPath(import.meta.url), SIZE), {
    name: "TypeError",
    message: /^Cannot encode with .*onnx_test\.ts: .*, expected an ONNX file$/,
  });
  await assert.rejects(open(PATH, 12), {
    name: "TypeError",
    message:
      /tiny_encoder\.onnx: it does not take 2 images of 3 × 12 × 12, .*Got: 12 Expected: 8\b.*$/,
  });
});

Deno.test("statistics of colours are those that torchvision and CLIP publish", () => {
  assert.deepEqual(IMAGENET_STATISTICS, {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
  });
  assert.deepEqual(CLIP_STATISTICS, {
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
  });
});
