import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { OnnxEncoder } from "../../../bank/encoders/onnx.ts";
import { encoderOfBank } from "../../../bank/encoders/open.ts";
import { gpuTest } from "../../_gpu.ts";

const PATH = fileURLToPath(new URL("../../fixtures/tiny_encoder.onnx", import.meta.url));

gpuTest(
  "encoderOfBank() opens the network that a bank names, or another place of it",
  async (device) => {
    using made = await OnnxEncoder.open(device, PATH, { preprocessing: { size: 8 } });
    const { description } = made;
    using again = await encoderOfBank({ encoder: description }, { device });
    assert.deepEqual(again.description, description);
    const moved = { encoder: { ...description, source: "gone.onnx" } };
    await assert.rejects(encoderOfBank(moved, { device }), {
      name: "NotFound",
      message: "Cannot encode an image for the bank: its encoder was read from gone.onnx, " +
        "which is not there, expected the same network by --onnx FILE, in training by " +
        "--set bank.onnx.path=FILE",
    });
    using found = await encoderOfBank(moved, { device, onnx: PATH });
    assert.deepEqual(found.description, description);
  },
);

gpuTest("encoderOfBank() refuses banks whose encoder is not kept", async (device) => {
  const encoder = { dim: 1, fingerprint: "", preprocessing: {}, settings: {} };
  const cases = [
    [{}, "not known"],
    [{ encoder: { ...encoder, kind: "features", source: PATH } }, "features"],
    [{ encoder: { ...encoder, kind: "onnx" } }, "onnx"],
  ] as const;
  for (const [bank, kind] of cases) {
    await assert.rejects(encoderOfBank(bank, { device }), {
      name: "TypeError",
      message: `Cannot encode an image for the bank: its encoder is ${kind}, ` +
        "expected pixel_pca, which is stored in the bank, or onnx, a file",
    });
  }
});
