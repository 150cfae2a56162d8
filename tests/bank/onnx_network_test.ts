import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bankSchema } from "../../bank/config.ts";
import { OnnxEncoder } from "../../bank/encoders/onnx.ts";
import { encoderOfBank } from "../../bank/encoders/open.ts";
import { openTextEncoder, textEncoderOf } from "../../bank/encoders/open_text.ts";
import { makeBank } from "../../bank/make.ts";
import { OnnxNetwork } from "../../bank/onnx_network.ts";
import { Inception } from "../../evaluate/inception.ts";
import { resolveConfig } from "../../train/config.ts";
import { OnnxDecoder } from "../../train/onnx_decoder.ts";
import { OnnxLatentEncoder } from "../../train/onnx_latent_encoder.ts";
import { openViewer } from "../../train/viewer.ts";
import { gpuTest } from "../_gpu.ts";
import { floatBytes, onnxFile, type OnnxWeight } from "../_onnx.ts";
import { sourceOf } from "./_images.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const ENCODER = fixture("tiny_encoder.onnx"),
  TEXT_ENCODER = fixture("tiny_text_encoder/model.onnx");

const UNKNOWN = {
  name: "TypeError",
  message:
    /^Cannot .* by abacus: onnxruntime has no such execution provider here, expected device\.onnxProviders of cpu/,
};

Deno.test("OnnxNetwork.open() takes a provider that there is, and names one that there is not", async () => {
  const purpose = "encode with";
  using network = await OnnxNetwork.open(ENCODER, { purpose, providers: ["cpu"] });
  assert.equal(network.inputs.length, 1);
  const opening = OnnxNetwork.open(ENCODER, { purpose, providers: ["cpu", "abacus"] });
  await assert.rejects(opening, UNKNOWN);
});

Deno.test("OnnxNetwork.open() tells a provider that does not work from a file that is no network", async () => {
  const options = { purpose: "encode with", providers: ["webgpu", "cpu"] };
  // Where there is a GPU, it works.
  const opened = await OnnxNetwork.open(ENCODER, options).catch((error: Error) => {
    assert.equal(error.name, "TypeError");
    assert.match(error.message, /^Cannot encode with .*encoder\.onnx by webgpu, cpu: .*, expected/);
    assert.match(error.message, /such as device\.onnxProviders \[cpu\]$/);
  });
  opened?.[Symbol.dispose]();
  await assert.rejects(OnnxNetwork.open(fileURLToPath(import.meta.url), options), {
    name: "TypeError",
    message: /^Cannot encode with .*\.ts: .*, expected an ONNX file$/,
  });
});

/** y = x · weight, for x [n, 2]. */
function product(weight: Omit<OnnxWeight, "name" | "shape">, type?: OnnxWeight["type"]) {
  return onnxFile({
    nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
    inputs: [{ name: "x", shape: ["n", 2], ...type && { type } }],
    outputs: [{ name: "y", shape: ["n", 3], ...type && { type } }],
    weights: [{ name: "w", shape: [2, 3], ...type && { type }, ...weight }],
  });
}

const WEIGHTS = [1, 2, 3, 4, 5, 6], INPUT = { values: Float32Array.of(1, 10), shape: [1, 2] };

Deno.test("OnnxNetwork reads and hashes weights that lie in a file beside it", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/a.onnx`, purpose = "encode with";
    const file = { name: "a.onnx.data", offset: 8, length: 24 };
    Deno.writeFileSync(path, product({ file }));
    await assert.rejects(OnnxNetwork.open(path, { purpose }), {
      name: "NotFound",
      message: `Cannot encode with ${path}: it keeps weights in a.onnx.data, which is not in its ` +
        "folder, expected both there",
    });
    Deno.mkdirSync(`${directory}/a.onnx.data`);
    await assert.rejects(
      OnnxNetwork.open(path, { purpose }),
      /^Error: Cannot encode with .*a\.onnx: /,
    );
    Deno.removeSync(`${directory}/a.onnx.data`);
    const fingerprints = new Set<string>();
    for (const scale of [1, -1]) {
      const values = WEIGHTS.map((value) => scale * value);
      Deno.writeFileSync(`${directory}/a.onnx.data`, floatBytes([7, 7, ...values]));
      using network = await OnnxNetwork.open(path, { purpose });
      const { values: found } = await network.apply(INPUT);
      assert.deepEqual([...found], [41, 52, 63].map((value) => scale * value));
      fingerprints.add(network.fingerprint);
    }
    // The graph is the same one: its bytes alone do not tell the two networks apart.
    assert.equal(fingerprints.size, 2);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("OnnxNetwork finds weights by names that go through a folder", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/a.onnx`;
  try {
    Deno.mkdirSync(`${directory}/data`);
    for (const name of ["./w.bin", "data/w.bin", "./data/w.bin"]) {
      Deno.writeFileSync(path, product({ file: { name, offset: 0, length: 24 } }));
      Deno.writeFileSync(`${directory}/${name}`, floatBytes(WEIGHTS));
      using network = await OnnxNetwork.open(path, { purpose: "encode with" });
      assert.deepEqual([...(await network.apply(INPUT)).values], [41, 52, 63], name);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("OnnxNetwork takes and gives float32 for a network of float16", async () => {
  const path = await Deno.makeTempFile({ suffix: ".onnx" });
  try {
    const bytes = new Uint8Array(Float16Array.from(WEIGHTS).buffer);
    Deno.writeFileSync(path, product({ bytes }, "float16"));
    using network = await OnnxNetwork.open(path, { purpose: "encode with" });
    const { values, shape } = await network.apply(INPUT);
    assert.ok(values instanceof Float32Array);
    assert.deepEqual([[...values], shape], [[41, 52, 63], [1, 3]]);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("whatever refuses a network lets go of it", async () => {
  const dispose = OnnxNetwork.prototype[Symbol.dispose];
  let released = 0;
  OnnxNetwork.prototype[Symbol.dispose] = function () {
    released++;
    dispose.call(this);
  };
  try {
    const opening = [
      () => OnnxDecoder.open(fixture("tiny_decoder.onnx"), { channels: 4, imageSize: 4 }),
      () => OnnxDecoder.open(ENCODER, { channels: 3, imageSize: 8 }),
      () => OnnxLatentEncoder.open(ENCODER, { channels: 2, imageSize: 4 }),
      () => Inception.open(fixture("tiny_inception.onnx"), { outputs: { pool: "pool_4" } }),
      () => Inception.open(fixture("tiny_decoder.onnx"), { outputs: { pool: "images" } }),
    ];
    for (const [i, open] of opening.entries()) {
      await assert.rejects(open, { name: "TypeError" });
      assert.equal(released, i + 1, `${i}`);
    }
  } finally {
    OnnxNetwork.prototype[Symbol.dispose] = dispose;
  }
});

gpuTest("whatever opens a network hands the providers on", async (device) => {
  const providers = ["abacus"], preprocessing = { size: 8 };
  using encoder = await OnnxEncoder.open(device, ENCODER, { preprocessing });
  using texts = await openTextEncoder({ onnx: TEXT_ENCODER });
  const { data } = resolveConfig({
    data: {
      ...{ kind: "latents", path: "nowhere", channels: 2, imageSize: 4, latentNorm: false },
      decoder: fixture("tiny_decoder.onnx"),
    },
  });
  const config = bankSchema.parse({ encoder: "onnx", onnx: { path: ENCODER, size: 8 } });
  const images = sourceOf(new Float32Array(3 * 64), { channels: 3, imageSize: 8 });
  const opening = [
    () => makeBank({ device, config, images, providers, out: "nowhere/bank" }),
    () => OnnxEncoder.open(device, ENCODER, { preprocessing, providers }),
    () => encoderOfBank({ encoder: encoder.description }, { device, providers }),
    () => openTextEncoder({ onnx: TEXT_ENCODER, providers }),
    () => textEncoderOf(texts.description, { providers }),
    () => Inception.open(fixture("tiny_inception.onnx"), { providers }),
    () => openViewer(data, "nowhere", { providers }),
    () =>
      OnnxLatentEncoder.open(fixture("tiny_latent_encoder.onnx"), { channels: 2, imageSize: 4 }, {
        providers,
      }),
  ];
  for (const open of opening) await assert.rejects(open, UNKNOWN);
});
