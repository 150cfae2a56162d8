import assert from "node:assert/strict";
import { type BankConfig, bankFiles, bankSchema } from "../../bank/config.ts";
import { IMAGENET_STATISTICS } from "../../bank/encoders/preprocessing.ts";
import { parseConfig } from "../../train/config.ts";

function refusal(text: string): string {
  let message = "";
  assert.throws(() => parseConfig(text), (error: Error) => {
    message = error.message;
    return error instanceof SyntaxError;
  });
  return message.replace("Cannot read configuration: ", "");
}

Deno.test("a bank section fills in what is done to images before a network", () => {
  const { onnx } = bankSchema.parse({ encoder: "onnx", onnx: { path: "dinov2.onnx" } });
  assert.deepEqual(onnx, {
    path: "dinov2.onnx",
    size: 224,
    crop: 1,
    interpolation: "bicubic",
    range: [0, 1],
    ...IMAGENET_STATISTICS,
    output: null,
    pooling: "cls",
  });
});

Deno.test("a bank section takes what other encoders need only from those", () => {
  const read = (text: string): BankConfig => parseConfig(text).bank;
  assert.equal(read("bank: { encoder: features, features: { path: a.npz, key: x } }").dim, 64);
  assert.equal(read("bank: { encoder: onnx, path: bank.safetensors }").onnx, null);
  // What a network sees may stand there for encode, which is told the network itself.
  const latents = "{ kind: latents, path: shards, channels: 4 }";
  assert.deepEqual(read(`{ data: ${latents}, bank: { onnx: { size: 128 } } }`).onnx?.path, null);
  // The network says how long a snippet is.
  read("bank: { encoder: onnx, dim: 768, resolution: 4, onnx: { path: a.onnx } }");
});

Deno.test("bankFiles() are the files that the encoder of the section reads", () => {
  const sections = { onnx: { path: "a.onnx" }, features: { path: "a.npy" } };
  const files = (encoder: BankConfig["encoder"]) =>
    bankFiles(bankSchema.parse({ encoder, ...sections }));
  assert.deepEqual(files("onnx"), { "bank.onnx.path": "a.onnx" });
  assert.deepEqual(files("features"), { "bank.features.path": "a.npy" });
  assert.deepEqual(files("pixel_pca"), {});
  assert.deepEqual(bankFiles(bankSchema.parse({ encoder: "onnx", path: "bank" })), {});
  assert.deepEqual(bankFiles(bankSchema.parse({ encoder: "features", path: "bank" })), {});
});

Deno.test("a bank section names the key that is wrong", () => {
  const onnx = (rest: string) => refusal(`bank: { encoder: onnx, onnx: { ${rest} } }`);
  const cases: [found: string, wanted: string][] = [
    [
      refusal("bank: { encoder: onnx }"),
      "bank.onnx is null, expected at least bank.onnx.path while bank.encoder is onnx",
    ],
    [
      refusal("bank: { encoder: features }"),
      "bank.features is null, expected at least bank.features.path while bank.encoder is features",
    ],
    [
      refusal("bank: { encoder: onyx }"),
      'bank.encoder is "onyx", expected one of pixel_pca, onnx, features',
    ],
    [
      onnx("size: 8"),
      "bank.onnx.path is null, expected a file: only for latents it may be named by a command",
    ],
    [onnx("path: a, crop: 1.5"), "bank.onnx.crop is 1.5, expected a number, above 0 and at most 1"],
    [
      onnx("path: a, mean: [0, 1]"),
      "bank.onnx.mean is a list of 2 values, expected a list of 3 values",
    ],
    [onnx("path: a, std: [1, 0, 1]"), "bank.onnx.std.1 is 0, expected a number, above 0"],
    [
      onnx("path: a, range: [1, -1]"),
      "bank.onnx.range is [1, -1], expected the first to be below the second",
    ],
    [
      onnx("path: a, pooling: max"),
      'bank.onnx.pooling is "max", expected one of cls, mean, patch-mean',
    ],
    [
      refusal("bank: { encoder: features, features: { path: a.csv } }"),
      'bank.features.path is "a.csv", expected a name in .npy, .npz, .safetensors, .pt or .pth',
    ],
  ];
  for (const [found, wanted] of cases) assert.equal(found, wanted);
});
