import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { identifyOutputs, Inception, resizeAsTensorFlow } from "../../evaluate/inception.ts";
import { softmaxRows } from "../../evaluate/inception_score.ts";
import { onnxFile, type OnnxNode, type OnnxPort } from "../_onnx.ts";

const PATH = fileURLToPath(new URL("../fixtures/tiny_inception.onnx", import.meta.url));
const SIDE = 8, PATCH = 4, PLACES = 4, CHANNELS = 9, CLASSES = 5;

/** What make_tiny_inception.py has as convolution, of one image [3, 8, 8]: [place, channel]. */
function convolution(image: Uint8Array): number[][] {
  return Array.from(
    { length: PLACES },
    (_, place) =>
      Array.from({ length: CHANNELS }, (_, channel) => {
        let sum = 0;
        for (let k = 0; k < 3 * PATCH ** 2; k++) {
          const y = Math.floor(place / 2) * PATCH + Math.floor(k / PATCH) % PATCH;
          const x = place % 2 * PATCH + k % PATCH;
          const pixel = image[Math.floor(k / PATCH ** 2) * SIDE ** 2 + y * SIDE + x]!;
          sum += pixel * Math.sin(channel * 3 * PATCH ** 2 + k) / (128 * PATCH);
        }
        return sum;
      }),
  );
}

function assertNear(got: ArrayLike<number>, want: readonly number[], bound: number): void {
  assert.equal(got.length, want.length);
  for (const [i, value] of want.entries()) {
    assert.ok(Math.abs(got[i]! - value) <= bound, `${i}: ${got[i]} against ${value}`);
  }
}

Deno.test("Inception gives pooled and spatial features and probabilities, in ADM's order", async () => {
  using network = await Inception.open(PATH);
  assert.deepEqual({ ...network.outputs }, {
    spatial: "mixed_6/conv",
    logits: "logits",
    pool: "pool_3",
  });
  const count = 19;
  const pixels = Uint8Array.from({ length: count * 3 * SIDE ** 2 }, (_, i) => (i * i * 13) % 256);
  const batch = { first: 0, count, pixels };
  const got = await network.run(batch, { imageSize: SIDE, channels: 3 });
  const last = convolution(pixels.subarray((count - 1) * 3 * SIDE ** 2));
  const pool = last[0]!.map((_, channel) =>
    last.reduce((sum, row) => sum + Math.max(row[channel]!, 0), 0) / PLACES
  );
  const logits = Array.from(
    { length: CLASSES },
    (_, k) => pool.reduce((sum, value, i) => sum + value * Math.cos(i * CLASSES + k), 0),
  );
  // Sums of 48 products of at most 255 / 512, in f32.
  const bound = 48 * 0.5 * 2 ** -22;
  assertNear(
    got.spatial!.subarray((count - 1) * PLACES * 7),
    last.flatMap((row) => row.slice(0, 7)),
    bound,
  );
  assertNear(got.pool.subarray((count - 1) * CHANNELS), pool, bound);
  const probabilities = softmaxRows(Float32Array.from(logits), CLASSES);
  assertNear(got.probabilities!.subarray((count - 1) * CLASSES), [...probabilities], 10 * bound);

  const plane = SIDE ** 2, grey = { first: 0, count: 1, pixels: pixels.subarray(0, plane) };
  const colours = Uint8Array.of(...grey.pixels, ...grey.pixels, ...grey.pixels);
  assert.deepEqual(
    await network.run(grey, { imageSize: SIDE, channels: 1 }),
    await network.run({ ...grey, pixels: colours }, { imageSize: SIDE, channels: 3 }),
  );
  const one = await network.run(grey, { imageSize: SIDE, channels: 1 });
  assert.equal(one.probabilities!.length, CLASSES);

  // A network of images from 0 to 1 takes them as torchvision's does, 299 pixels wide.
  using large = await Inception.open(PATH, { pixels: "unit" });
  const { spatial } = await large.run(grey, { imageSize: SIDE, channels: 1 });
  assert.equal(spatial!.length, Math.floor(299 / PATCH) ** 2 * 7);
});

/** A file whose features are the pixels themselves, channels last as in TensorFlow, of which `first` makes floats. */
function pixelNetwork(
  input: Pick<OnnxPort, "type" | "shape">,
  first: Pick<OnnxNode, "op" | "attributes">,
  places: OnnxPort["shape"] = ["n", "h", "w", 3],
): Uint8Array {
  return onnxFile({
    nodes: [
      { ...first, inputs: ["images"], outputs: ["mixed_6/conv"] },
      { op: "Flatten", inputs: ["mixed_6/conv"], outputs: ["pool_3"], attributes: { axis: 1 } },
      { op: "Softmax", inputs: ["pool_3"], outputs: ["softmax"], attributes: { axis: 1 } },
    ],
    inputs: [{ name: "images", ...input }],
    outputs: [
      { name: "mixed_6/conv", shape: places },
      { name: "pool_3", shape: ["n", "d"] },
      { name: "softmax", shape: ["n", "d"] },
    ],
  });
}

const FLOATS = { op: "Cast", attributes: { to: 1 } };

Deno.test("Inception takes bytes with channels last, and a file's own number and size of images", async () => {
  const path = await Deno.makeTempFile({ suffix: ".onnx" });
  try {
    const count = 6, side = 4, size = 2;
    const pixels = Uint8Array.from({ length: count * 3 * side ** 2 }, (_, i) => (i * i * 13) % 256);
    // A pixel of 0 and one of 255 that come first and last in what is left of the last image.
    const last = pixels.subarray(-3 * side ** 2);
    last[0] = 0;
    last[2 * side ** 2 + 2 * side + 2] = 255;
    // Every second pixel is left of each side.
    const kept = Array.from(
      { length: 3 * size ** 2 },
      (_, i) => last[i % 3 * side ** 2 + Math.floor(i / 6) * 2 * side + Math.floor(i / 3) % 2 * 2]!,
    );
    const ranges = { bytes: [1, 0], unit: [1 / 255, 0], signed: [1 / 127.5, -1] } as const;
    for (const [range, [factor, shift]] of Object.entries(ranges)) {
      const type = range === "bytes" ? "uint8" : "float32";
      await Deno.writeFile(path, pixelNetwork({ type, shape: [4, size, size, 3] }, FLOATS));
      using network = await Inception.open(path, { pixels: range as keyof typeof ranges });
      const batch = { first: 0, count, pixels };
      const got = await network.run(batch, { imageSize: side, channels: 3 });
      const want = Float32Array.from(kept, (value) => value * factor + shift);
      assert.equal(got.pool.length, count * want.length);
      // Two roundings of numbers up to 1.
      assertNear(got.pool.subarray(-want.length), [...want], range === "bytes" ? 0 : 2 ** -23);
      assert.deepEqual(got.spatial, got.pool);
      // What adds up to 1 is no logits, of which the softmax would be taken. Roundings of exponentials, of a
      // sum of 12 and of a quotient.
      assertNear(
        got.probabilities!.subarray(-want.length),
        [...softmaxRows(want.slice(), want.length)],
        2 ** -20,
      );
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("Inception names an image with features that are not finite, and an output of another count", async () => {
  const path = await Deno.makeTempFile({ suffix: ".onnx" });
  try {
    const pixels = new Uint8Array(20 * 12).fill(9);
    pixels[18 * 12 + 4] = 0;
    const batch = { first: 100, count: 20, pixels }, size = { imageSize: 2, channels: 3 };
    await Deno.writeFile(path, pixelNetwork({ shape: ["n", 2, 2, 3] }, { op: "Log" }));
    {
      using network = await Inception.open(path);
      await assert.rejects(network.run(batch, size), {
        name: "RangeError",
        message: /^Cannot use features of image 118: .* holds -Infinity at \d+, expected finite/,
      });
    }
    const flat = { op: "Flatten", attributes: { axis: 0 } };
    await Deno.writeFile(path, pixelNetwork({ shape: ["n", 2, 2, 3] }, flat, [1, "d"]));
    using network = await Inception.open(path);
    await assert.rejects(network.run(batch, size), {
      name: "TypeError",
      message: /its output \S+ is \[1, 192\], expected \[16, …\]$/,
    });
    await Deno.writeFile(path, pixelNetwork({ shape: ["n", 2, 4, 3] }, FLOATS));
    await assert.rejects(Inception.open(path), {
      name: "TypeError",
      message: /its inputs are images \[n, 2, 4, 3\], expected one of square RGB images$/,
    });
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("Inception refuses what is no network of images", async () => {
  await assert.rejects(Inception.open(`${PATH}.none`), /expected an ONNX file of Inception/);
  await assert.rejects(Inception.open(PATH, { pixels: "float" as "unit" }), {
    name: "RangeError",
    message: `Cannot use ${PATH}: pixels is float, expected one of bytes, unit, signed`,
  });
  await assert.rejects(
    Inception.open(PATH, { outputs: { pool: "pool_4" } }),
    /it has no output pool_4, expected one of logits \[/,
  );
});

Deno.test("identifyOutputs() goes by what is given, then by names, then by shapes", () => {
  const path = "a.onnx";
  const exported = [
    { name: "1203", shape: ["n", 2048, 1, 1] },
    { name: "1207", shape: ["n", 768, 17, 17] },
    { name: "1211", shape: ["n", 1008] },
  ];
  const found = { pool: "1203", spatial: "1207", logits: "1211" };
  assert.deepEqual({ ...identifyOutputs(exported, { path }) }, found);
  const named = exported.map((port, i) => ({ ...port, name: ["softmax:0", "pool_3:0", "x"][i]! }));
  assert.deepEqual({ ...identifyOutputs(named, { path }) }, {
    logits: "softmax:0",
    pool: "pool_3:0",
  });
  const given = identifyOutputs(named, { path, outputs: { pool: "x" } });
  assert.deepEqual([given.pool, given.logits], ["x", "softmax:0"]);
  assert.throws(
    () => identifyOutputs([{ name: "a", shape: ["n", 64] }], { path }),
    /none of its outputs a \[n, 64\] is known as pooled features/,
  );
});

Deno.test("resizeAsTensorFlow() takes pixels at the place x from / to, without half pixels", () => {
  const ramp = Float32Array.of(0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33);
  // Places 0, 4/3, 8/3 of a linear ramp.
  const want = [0, 4 / 3, 8 / 3].flatMap((y) => [0, 4 / 3, 8 / 3].map((x) => 10 * y + x));
  assertNear(resizeAsTensorFlow(ramp, { from: 4, to: 3 }), want, 1e-5);
  // The last place is beyond the last pixel, which is repeated.
  assert.deepEqual(
    [...resizeAsTensorFlow(Float32Array.of(0, 2, 4, 6), { from: 2, to: 4 })].slice(0, 4),
    [0, 1, 2, 2],
  );
});
