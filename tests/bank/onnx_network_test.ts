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
  using encoder = await OnnxEncoder.open({ device, path: ENCODER, preprocessing });
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
    () => makeBank({ device, config, images, providers, path: "nowhere/bank" }),
    () => OnnxEncoder.open({ device, path: ENCODER, preprocessing, providers }),
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
