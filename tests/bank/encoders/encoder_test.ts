import assert from "node:assert/strict";
import {
  type EncoderDescription,
  encoderDifference,
  parseEncoderDescription,
  requireEncoder,
} from "../../../bank/encoders/encoder.ts";

const DESCRIPTION: EncoderDescription = {
  kind: "pixel_pca",
  dim: 64,
  fingerprint: "ab12",
  preprocessing: { size: 16, mean: [0.5, 0.5] },
  settings: { whiten: true },
};

Deno.test("parseEncoderDescription() reads what JSON wrote", () => {
  assert.deepEqual(parseEncoderDescription(JSON.stringify(DESCRIPTION)), DESCRIPTION);
});

Deno.test("parseEncoderDescription() throws on everything else", () => {
  const { kind: _, ...without } = DESCRIPTION;
  for (
    const value of [null, [], "text", {}, without, { ...DESCRIPTION, dim: 0 }, {
      ...DESCRIPTION,
      more: 1,
    }, { ...DESCRIPTION, settings: 3 }]
  ) {
    assert.throws(() => parseEncoderDescription(JSON.stringify(value)), SyntaxError);
  }
  assert.throws(() => parseEncoderDescription("{"), {
    name: "SyntaxError",
    message: /^Cannot read the description of an encoder: it: .* expected object/,
  });
  assert.throws(() => parseEncoderDescription(JSON.stringify({ ...DESCRIPTION, dim: "64" })), {
    message: /^Cannot read the description of an encoder: dim: /,
  });
});

Deno.test("encoderDifference() finds none whatever the order of the keys", () => {
  const { kind, dim, ...rest } = DESCRIPTION;
  const reordered = { ...rest, preprocessing: { mean: [0.5, 0.5], size: 16 }, dim, kind };
  assert.equal(encoderDifference(reordered, DESCRIPTION), undefined);
});

Deno.test("encoderDifference() takes a file that was moved for the same encoder", () => {
  const moved = { ...DESCRIPTION, source: "models/dinov2.onnx" };
  assert.deepEqual(parseEncoderDescription(JSON.stringify(moved)), moved);
  assert.equal(encoderDifference(moved, DESCRIPTION), undefined);
  assert.equal(encoderDifference({ ...DESCRIPTION, source: "other.onnx" }, moved), undefined);
});

Deno.test("encoderDifference() names what differs, is missing or is too much", () => {
  const differences = [
    [{ ...DESCRIPTION, fingerprint: "cd" }, 'fingerprint is "cd", expected "ab12"'],
    [
      { ...DESCRIPTION, preprocessing: { size: 32, mean: [0.5, 0.5] } },
      "preprocessing.size is 32, expected 16",
    ],
    [
      { ...DESCRIPTION, preprocessing: { size: 16, mean: [0.5, 0.4] } },
      "preprocessing.mean.1 is 0.4, expected 0.5",
    ],
    [{ ...DESCRIPTION, settings: {} }, "settings.whiten is not there, expected true"],
    [
      { ...DESCRIPTION, settings: { whiten: true, crop: 1 } },
      "settings.crop is 1, expected not there",
    ],
  ] as const;
  for (const [description, difference] of differences) {
    assert.equal(encoderDifference(description, DESCRIPTION), difference);
  }
});

Deno.test("requireEncoder() refuses another encoder and a bank that names none", () => {
  requireEncoder(DESCRIPTION, { encoder: { ...DESCRIPTION } });
  assert.throws(() => requireEncoder(DESCRIPTION, { encoder: undefined }), {
    name: "TypeError",
    message: "Cannot encode for the bank with pixel_pca: the bank does not name its encoder, " +
      "expected one built with its encoder",
  });
  assert.throws(
    () => requireEncoder(DESCRIPTION, { encoder: { ...DESCRIPTION, fingerprint: "ef" } }),
    {
      name: "TypeError",
      message: "Cannot encode for the bank with pixel_pca: another encoder made it, " +
        'fingerprint is "ab12", expected "ef"',
    },
  );
});
