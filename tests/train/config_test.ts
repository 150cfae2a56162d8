import assert from "node:assert/strict";
import type { DeepPartial } from "../../model/schema.ts";
import { type Config, parseConfig, resolveConfig, stringifyConfig } from "../../train/config.ts";
import { configReference } from "../../train/config_help.ts";
import { loadConfig } from "../../train/load_config.ts";

const CONFIGS = new URL("../../configs/", import.meta.url);

function refusal(text: string, overrides: readonly string[] = []): string {
  let message = "";
  assert.throws(() => parseConfig(text, { name: "configs/x.yaml", overrides }), (error: Error) => {
    assert(error instanceof SyntaxError, `${error}`);
    message = error.message;
    return true;
  });
  return message;
}

function frozenDeeply(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(frozenDeeply);
}

Deno.test("parseConfig() gives the defaults of the paper for an empty text", () => {
  for (const text of ["", "# nothing but a comment\n\n", "train:\n", "---\n"]) {
    const config = parseConfig(text, { name: "configs/x.yaml" });
    assert.equal(config.optimizer.learningRate, 1e-4);
    assert.equal(config.optimizer.beta2, 0.999);
    assert.equal(config.train.emaDecay, 0.9999);
    assert.equal(config.bank.mask.ratio, 0.4);
    assert.equal(config.model.width, 768);
    assert.equal(config.train.runDirectory, "runs/x");
  }
});

Deno.test("parseConfig() gives networks, paths, banks and samples these defaults", () => {
  const { model, interpolant, bank, sample } = parseConfig("model: { repa: {} }");
  assert.deepEqual(model, {
    name: null,
    // SiT-B/2.
    patchSize: 2,
    width: 768,
    depth: 12,
    heads: 12,
    mlpRatio: 4,
    conditioning: "snippet",
    snippetEmbedding: "linear",
    classDropout: 0.1,
    learnSigma: false,
    zeroInit: true,
    qkNorm: false,
    swiglu: false,
    rope: false,
    rmsNorm: false,
    noShift: false,
    repa: { weight: 0.5, depth: 4, projectorWidth: 2048, targetWidth: 768 },
  });
  assert.deepEqual(interpolant, {
    path: "linear",
    prediction: "velocity",
    weighting: "none",
    timeDistribution: "uniform",
    cosineLoss: false,
  });
  assert.deepEqual(bank, {
    encoder: "pixel_pca",
    dim: 64,
    resolution: 16,
    whiten: true,
    onnx: null,
    features: null,
    path: null,
    mask: { kind: "zero", ratio: 0.4 },
  });
  assert.deepEqual(sample, {
    sampler: "heun",
    steps: 50,
    guidance: { scale: 1, interval: [0, 1], channels: "all" },
    diffusion: { form: "sigma", norm: 1 },
    lastStep: "mean",
    lastStepSize: 0.04,
    timestepShift: 1,
    epsilon: null,
    seed: 0,
    count: 16,
    columns: 4,
  });
});

Deno.test("parseConfig() takes numbers up to their limits", () => {
  const cases: [key: string, taken: string[], refused: string[]][] = [
    ["model.patchSize", ["1"], ["0"]],
    ["model.width", ["12"], ["0"]],
    ["model.depth", ["1", "1000"], ["0", "1001"]],
    ["data.imageSize", ["2", "16384"], ["0", "16386"]],
    ["model.heads", ["1"], ["0"]],
    ["model.mlpRatio", ["0.5"], ["0"]],
    ["model.classDropout", ["0", "0.99"], ["-0.1", "1"]],
    ["model.repa.weight", ["0"], ["-0.1"]],
    ["model.repa.depth", ["1"], ["0"]],
    ["model.repa.projectorWidth", ["1"], ["0"]],
    ["model.repa.targetWidth", ["1"], ["0"]],
    ["bank.dim", ["1"], ["0"]],
    ["bank.resolution", ["1", "64"], ["0", "65"]],
    ["bank.mask.ratio", ["0", "0.99"], ["-0.1", "1"]],
    ["bank.onnx.size", ["1", "16384"], ["0", "16385"]],
    ["bank.onnx.crop", ["0.01", "1"], ["0", "1.01"]],
    ["sample.steps", ["1", "100000"], ["0", "1.5", "100001"]],
    ["sample.guidance.scale", ["0"], ["-0.1"]],
    ["sample.guidance.interval", ["[0, 0.1]", "[0.9, 1]"], ["[-0.1, 1]", "[0, 1.1]", "[0.5, 0.5]"]],
    ["sample.diffusion.norm", ["0.01"], ["0"]],
    ["sample.lastStepSize", ["0.01", "0.99"], ["0", "1"]],
    ["sample.timestepShift", ["0.01"], ["0"]],
    ["sample.epsilon", ["0.01", "0.49"], ["0", "0.5"]],
    ["sample.seed", ["0"], ["-1"]],
    ["sample.count", ["1", "100000"], ["0", "100001"]],
    ["sample.columns", ["1"], ["0"]],
  ];
  for (const [key, taken, refused] of cases) {
    const text = key.startsWith("model.repa")
      ? "model: { repa: {} }"
      : key.startsWith("bank.onnx")
      ? "bank: { onnx: { path: a.onnx } }"
      : "bank: { dim: 1 }";
    for (const value of taken) parseConfig(text, { overrides: [`${key}=${value}`] });
    for (const value of refused) {
      assert.match(refusal(text, [`${key}=${value}`]), new RegExp(key.replaceAll(".", "\\.")));
    }
  }
});

Deno.test("parseConfig() freezes everything it gives", () => {
  const config = parseConfig("model: { repa: {} }");
  assert(frozenDeeply(config));
  assert.throws(() => {
    (config.train as { steps: number }).steps = 1;
  }, TypeError);
});

Deno.test("parseConfig() shares no state between configurations", () => {
  const first = parseConfig("");
  const second = parseConfig("", { overrides: ["sample.guidance.scale=2"] });
  assert.equal(first.sample.guidance.scale, 1);
  assert.equal(second.sample.guidance.scale, 2);
});

Deno.test("parseConfig() fills in the sizes of a published name", () => {
  const sit = parseConfig("model: { name: SiT-XL/4 }").model;
  assert.deepEqual([sit.patchSize, sit.width, sit.depth, sit.heads], [4, 1152, 28, 16]);
  assert.deepEqual([sit.swiglu, sit.rope, sit.rmsNorm], [false, false, false]);
  const lightning = parseConfig("model: { name: LightningDiT-S/1, rope: false }").model;
  assert.deepEqual([lightning.patchSize, lightning.width], [1, 384]);
  assert.deepEqual([lightning.swiglu, lightning.rope, lightning.rmsNorm], [true, false, true]);
});

Deno.test("parseConfig() refuses a size that contradicts the name", () => {
  assert.match(
    refusal("model: { name: SiT-B/2, depth: 3 }"),
    /model\.depth is 3, expected 12 as model\.name SiT-B\/2 says/,
  );
  assert.match(refusal("model: { name: SiT-Q/2 }"), /model\.name is "SiT-Q\/2", expected SiT or/);
  assert.match(refusal("model: { name: SiT-B/3 }"), /model\.name is "SiT-B\/3"/);
});

Deno.test("parseConfig() names an unknown key, the nearest one and those it expected", () => {
  assert.equal(
    refusal("modle: {}"),
    "Cannot read configs/x.yaml: unknown key modle, did you mean model? " +
      "Expected one of device, data, model, interpolant, bank, train, optimizer, sample",
  );
  assert.match(
    refusal("train: { stpes: 3 }"),
    /unknown key train\.stpes, did you mean train\.steps\? Expected one of steps, batchSize, /,
  );
  assert.match(
    refusal("model: { repa: { depht: 3 } }"),
    /unknown key model\.repa\.depht, did you mean model\.repa\.depth\? Expected one of weight,/,
  );
  assert.match(
    refusal("sample: { guidance: { zzz: 3 } }"),
    /unknown key sample\.guidance\.zzz, expected one of scale, interval, channels/,
  );
});

Deno.test("parseConfig() finds a key that stands in another section or under its initials", () => {
  assert.match(refusal("train: { learning_rate: 3 }"), /did you mean optimizer\.learningRate\?/);
  assert.match(refusal("train: { lr: 3 }"), /did you mean optimizer\.learningRate\?/);
  assert.match(refusal("train: { width: 3 }"), /did you mean model\.width\?/);
});

Deno.test("parseConfig() knows the ops whose variants can be forced", () => {
  assert.deepEqual(
    parseConfig("device: { variants: { gelu: storage } }", {
      overrides: ["device.variants.matmul=naive"],
    }).device.variants,
    { gelu: "storage", matmul: "naive" },
  );
  const unknown =
    /unknown key device\.variants\.layernorm, did you mean device\.variants\.layerNorm\?/;
  assert.match(refusal("device: { variants: { layernorm: naive } }"), unknown);
  assert.throws(() => parseConfig("", { overrides: ["device.variants.layernorm=naive"] }), unknown);
  assert.match(
    refusal("device: { variants: { rope: naive } }"),
    /device\.variants\.rope is "naive", expected one of pairs, texture, vector$/,
  );
});

Deno.test("parseConfig() lists all problems in one error", () => {
  const message = refusal(`
train: { steps: many, seed: 1.5, batchSize: 0, foo: 1 }
sample: { sampler: huen, guidance: { interval: [0.1] } }
device: { variants: 3 }
data: 5
`);
  const lines = message.split("\n");
  assert.equal(lines[0], "Cannot read configs/x.yaml: 8 problems");
  const expected = [
    '  train.steps is "many", expected a whole number, at least 1',
    "  train.seed is 1.5, expected a whole number, at least 0",
    "  train.batchSize is 0, expected a whole number, at least 1",
    "  unknown key train.foo, expected one of steps, ",
    '  sample.sampler is "huen", expected one of euler, heun, ',
    "  sample.guidance.interval is a list of 1 values, expected a list of 2 values",
    "  device.variants is 3, expected a mapping from names to text",
    "  data is 5, expected a mapping of kind, path, ",
  ];
  for (const start of expected) {
    assert.equal(lines.filter((line) => line.startsWith(start)).length, 1, start);
  }
});

Deno.test("parseConfig() refuses what fits a key but not its neighbours", () => {
  const cases: [text: string, problem: RegExp][] = [
    ["model: { width: 190 }", /model\.width is 190, expected a multiple of 4/],
    ["model: { heads: 5 }", /model\.heads is 5, expected a divisor of model\.width 768/],
    [
      "model: { mlpRatio: 0.001 }",
      /model\.mlpRatio is 0\.001, expected one that leaves hidden channels of model\.width 768/,
    ],
    [
      "model: { mlpRatio: 0.002, swiglu: true }",
      /model\.mlpRatio is 0\.002, expected one that leaves/,
    ],
    ["model: { width: 36, heads: 6, rope: true }", /model\.heads is 6, expected width \/ heads/],
    ["model: { depth: 3, repa: {} }", /model\.repa\.depth is 4, expected at most model\.depth 3/],
    ["interpolant: { weighting: velocity }", /interpolant\.weighting is velocity, expected none/],
    ["data: { kind: folder }", /data\.path is null, expected a folder while data\.kind is folder/],
    ["data: { path: photos }", /data\.path is "photos", expected null while data\.kind is emoji/],
    ["optimizer: { epsilon: 1e-60 }", /optimizer\.epsilon is 1e-60, expected .* at least 1\.2e-38/],
    ["data: { heldOut: 2.5 }", /data\.heldOut is 2\.5, expected a share below 1 or a whole/],
    ["data: { imageSize: 33 }", /data\.imageSize is 33, expected a multiple of model\.patchSize 2/],
    ["bank: { resolution: 4 }", /bank\.dim is 64, expected at most the 48 values/],
    ["train: { gradientAccumulation: 3 }", /train\.gradientAccumulation is 3, expected a divisor/],
    ["sample: { guidance: { interval: [0.5, 0.5] } }", /interval is \[0\.5, 0\.5\], expected the/],
    ["sample: { sampler: sde-heun, steps: 1 }", /sample\.steps is 1, expected at least 2 with sde/],
  ];
  for (const [text, problem] of cases) assert.match(refusal(text), problem);
});

Deno.test("parseConfig() finds no second problem in what is missing for the first", () => {
  const cases: [text: string, problem: string][] = [
    ["data: { kind: folder }", "data.path is null, expected a folder while data.kind is folder"],
    ["data: { channels: 0 }", "data.channels is 0, expected a whole number, at least 1"],
    ["model: { patchSize: 0 }", "model.patchSize is 0, expected a whole number, at least 1"],
    [
      "model: { depth: 1.0e+30 }",
      "model.depth is 1e+30, expected a whole number, at least 1 and at most 1000",
    ],
    [
      "bank: { resolution: 0 }",
      "bank.resolution is 0, expected a whole number, at least 1 and at most 64",
    ],
    [
      "train: { gradientAccumulation: 0 }",
      "train.gradientAccumulation is 0, expected a whole number, at least 1",
    ],
  ];
  for (const [text, problem] of cases) {
    assert.equal(refusal(text), `Cannot read configs/x.yaml: ${problem}`);
  }
});

Deno.test("parseConfig() accepts the values next to those it refuses", () => {
  parseConfig("model: { width: 192, heads: 3 }");
  parseConfig("model: { width: 48, heads: 6, rope: true }");
  parseConfig("model: { depth: 4, repa: {} }");
  parseConfig("interpolant: { prediction: noise, weighting: velocity }");
  parseConfig("data: { kind: folder, path: photos, heldOut: 2 }");
  parseConfig("bank: { dim: 48, resolution: 4 }");
  parseConfig("sample: { sampler: sde-heun, steps: 2 }");
  parseConfig("bank: { dim: 768, resolution: 4, path: bank.safetensors }");
});

Deno.test("parseConfig() says where YAML is broken", () => {
  assert.equal(
    refusal("train:\n  steps: 1\n  steps: 2\n"),
    "Cannot read configs/x.yaml: line 3, column 3: duplicated mapping key",
  );
  assert.match(refusal("a: b: c"), /^Cannot read configs\/x\.yaml: line 1, column 5: /);
  assert.match(refusal("- 1"), /the top level is a list of 1 values, expected a mapping of device/);
  assert.match(refusal("hello"), /the top level is "hello", expected a mapping of device/);
  // Nor does an override take the place of what is no mapping.
  for (const text of ["- 1", "hello", "5"]) {
    assert.equal(refusal(text, ["train.steps=1"]), refusal(text));
  }
  assert.match(
    refusal("train: 5", ["train.steps=1"]),
    /train is 5, expected a mapping of steps/,
  );
});

Deno.test("parseConfig() refuses keys that would reach a prototype", () => {
  assert.match(refusal("__proto__: { steps: 1 }"), /unknown key __proto__/);
  assert.match(refusal("train: { constructor: 1 }"), /unknown key train\.constructor/);
  assert.match(refusal("", ["__proto__.steps=1"]), /unknown key __proto__/);
});

Deno.test("parseConfig() takes overrides above the text", () => {
  const overrides = [
    "train.steps=100",
    "optimizer.learningRate=1e-3",
    "train.clip=null",
    "train.sampleEvery=",
    "train.evaluateEvery=null",
    "train.runDirectory=runs/a=b",
    "sample.guidance.interval=[0.1, 0.5]",
    "model.repa.weight=0.25",
    "device.variants.matmul=naive",
    "data.flip=true",
    "train.steps=200",
  ];
  const config = parseConfig("train: { steps: 5, batchSize: 8 }\nmodel: { repa: null }", {
    overrides,
  });
  assert.equal(config.train.steps, 200);
  assert.equal(config.train.batchSize, 8);
  assert.equal(config.optimizer.learningRate, 1e-3);
  assert.equal(config.train.clip, null);
  assert.equal(config.train.sampleEvery, null);
  assert.equal(config.train.evaluateEvery, null);
  assert.equal(config.train.runDirectory, "runs/a=b");
  assert.deepEqual(config.sample.guidance.interval, [0.1, 0.5]);
  assert.equal(config.model.repa?.weight, 0.25);
  assert.equal(config.model.repa?.depth, 4);
  assert.deepEqual(config.device.variants, { matmul: "naive" });
  assert.equal(config.data.flip, true);
});

Deno.test("parseConfig() takes an override of text as it is written", () => {
  const cases: [value: string, text: string | null][] = [
    ["runs/try #2", "runs/try #2"],
    ["runs/try: 3", "runs/try: 3"],
    ["2024", "2024"],
    ["[a]", "[a]"],
    ['"runs/a \\u0041"', "runs/a A"],
    ["'null'", "null"],
    [" bank ", "bank"],
    ["null", null],
    ["~", null],
    ["", null],
  ];
  for (const [value, text] of cases) {
    assert.equal(parseConfig("", { overrides: [`bank.path=${value}`] }).bank.path, text, value);
    const latents = ["data.kind=latents", "data.path=latents", `data.decoder=${value}`];
    assert.equal(parseConfig("", { overrides: latents }).data.decoder, text, value);
  }
});

Deno.test("parseConfig() refuses overrides that do not fit and names the override", () => {
  assert.match(
    refusal("", ["train.stpes=1"]),
    /^Cannot read setting train\.stpes=1: unknown key train\.stpes, did you mean train\.steps\?/,
  );
  assert.match(refusal("", ["train.steps.x=1"]), /unknown key .*, train\.steps holds no keys/);
  assert.match(refusal("", ["sample.guidance.interval.0=1"]), /interval holds no keys/);
  assert.match(
    refusal("", ["train.steps"]),
    /^Cannot read setting train\.steps: no value, expected/,
  );
  assert.match(refusal("", ["=5"]), /^Cannot read setting =5: no key, expected KEY=VALUE$/);
  assert.match(
    refusal("", ["train.steps={a: "]),
    /^Cannot read setting train\.steps=\{a: : line 1/,
  );
  assert.match(
    refusal("", ["train.steps=many"]),
    /train\.steps \(given as a setting\) is "many", expected a whole number/,
  );
});

Deno.test("parseConfig() tells what overrides make wrong from what the text does", () => {
  const classOf = (text: string, overrides: readonly string[]) => {
    try {
      parseConfig(text, { overrides });
      return undefined;
    } catch (error) {
      return (error as Error).name;
    }
  };
  const wrong = ["train.stpes=1", "train.steps=0", "train.steps", "data.kind=folder"];
  for (const override of wrong) assert.equal(classOf("", [override]), "SettingError", override);
  // The key that it names is the text's.
  const text = "train: { batchSize: 8, gradientAccumulation: 4 }";
  assert.equal(classOf(text, ["train.batchSize=6"]), "SettingError");
  for (const own of ["train: { stpes: 1 }", "train: [", "data: { kind: folder }"]) {
    assert.equal(classOf(own, ["train.steps=5"]), "SyntaxError", own);
    assert.equal(classOf(own, []), "SyntaxError", own);
  }
});

Deno.test("resolveConfig() leaves the object it reads as it is", () => {
  const given = { train: { steps: 5 } };
  const config = resolveConfig(given, { overrides: ["train.steps=7", "train.batchSize=2"] });
  assert.equal(config.train.steps, 7);
  assert.deepEqual(given, { train: { steps: 5 } });
  assert(!Object.isFrozen(given.train));
});

Deno.test("the type of what resolveConfig() takes knows every key, and all may be left out", () => {
  // @ts-expect-error A misspelt key.
  assert.throws(() => resolveConfig({ train: { stpes: 1 } }), /unknown key train\.stpes/);
  // @ts-expect-error A value that there is none of.
  assert.throws(() => resolveConfig({ sample: { guidance: { channels: "one" } } }), /one of all/);
  // @ts-expect-error A section that there is none of.
  assert.throws(() => resolveConfig({ trian: { steps: 1 } }), /unknown key trian/);
  const given = {
    model: { repa: { depth: 2 }, name: null },
    sample: { guidance: { interval: [0.25, 1] }, epsilon: undefined },
    device: { variants: { matmul: "naive" } },
  } as const;
  const { model, sample } = resolveConfig(given);
  assert.deepEqual([model.repa!.depth, sample.guidance.interval[0]], [2, 0.25]);
  const parsed: unknown = JSON.parse('{ "train": { "steps": 7 } }');
  assert.equal(resolveConfig(parsed as DeepPartial<Config>).train.steps, 7);
});

Deno.test("stringifyConfig() writes every key, and parseConfig() reads it back equal", () => {
  const text =
    "model: { name: LightningDiT-B/2, repa: {} }\ndevice: { variants: { matmul: naive } }";
  const config = parseConfig(text, { name: "configs/demo.yaml" });
  const written = stringifyConfig(config);
  const again: Config = parseConfig(written, { name: "another.yaml" });
  assert.deepEqual(again, config);
  assert.equal(again.train.runDirectory, "runs/demo");
  assert.deepEqual(resolveConfig(JSON.parse(JSON.stringify(config))), config);
});

Deno.test("configReference() lists every key of a configuration with a description", () => {
  const reference = configReference();
  const config = parseConfig("model: { repa: {} }");
  function check(value: unknown, path: readonly string[]): void {
    const key = path.join(".");
    if (
      typeof value === "object" && value !== null && !Array.isArray(value) &&
      key !== "device.variants"
    ) {
      for (const [name, child] of Object.entries(value)) check(child, [...path, name]);
    } else {
      const lines = reference.split("\n");
      const index = lines.findIndex((line) => line.startsWith(`${key}: `));
      assert(index >= 0, `${key} is missing`);
      assert.match(lines[index + 1] ?? "", /^ {4}\S.{7}/, `${key} has no description`);
      assert.match(lines[index]!, /\(default .+\)$/, `${key} has no default`);
    }
  }
  check(config, []);
});

Deno.test("configReference() says the same as the comments on the types", async () => {
  const comments = new Set<string>();
  for (const folder of ["model", "bank", "sample", "train"]) {
    const source = await Deno.readTextFile(new URL(`../../${folder}/config.ts`, import.meta.url));
    for (
      const [, comment, name] of source.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s*readonly (\w+):/g)
    ) {
      comments.add(`${name}: ${comment!.replace(/\s*\n\s*\*/g, "").trim().replace(/\.$/, "")}`);
    }
  }
  const lines = configReference().split("\n");
  assert(!lines.some((line) => line.includes("undefined")));
  for (let index = 0; index < lines.length; index += 2) {
    const name = /(\w+): /.exec(lines[index]!)![1];
    const wanted = `${name}: ${lines[index + 1]!.trim()}`;
    assert(comments.has(wanted), `no comment says "${wanted}"`);
  }
});

Deno.test("parseConfig() takes snippets of latents from their shards or from a bank file", () => {
  const latents = "data: { kind: latents, path: shards, imageSize: 16, channels: 32 }\n";
  const { data } = parseConfig(latents);
  assert.deepEqual([data.latentNorm, data.latentMultiplier], [true, 1]);
  // One channel of 4 × 4 has fewer values than the 64 of the built-in encoder, which is not used.
  parseConfig(
    "data: { kind: latents, path: shards, imageSize: 4, channels: 1 }\nbank: { resolution: 4 }",
  );
  assert.match(
    refusal(`${latents}bank: { encoder: features, features: { path: cls.npy } }`),
    /bank\.encoder is features, expected none while data\.kind is latents: their snippets are the/,
  );
  parseConfig(`${latents}bank: { encoder: features, path: bank.safetensors }`);
  assert.match(
    refusal("data: { decoder: vae.onnx }"),
    /data\.decoder is "vae\.onnx", expected null while data\.kind is emoji/,
  );
  assert.match(refusal("data: { kind: latents }"), /data\.path is null, expected a folder while/);
  assert.match(
    refusal(latents, ["data.latentMultiplier=0"]),
    /data\.latentMultiplier \(given as a setting\) is 0, expected a number, above 0/,
  );
});

Deno.test("parseConfig() fills in what a tokenizer stands for", () => {
  const numbers = (settings: string) => {
    const { imageSize, channels, latentNorm, latentMultiplier } =
      parseConfig(`data: { kind: latents, path: shards, ${settings} }`).data;
    return [imageSize, channels, latentNorm, latentMultiplier];
  };
  assert.deepEqual(numbers("tokenizer: sd-vae"), [32, 4, false, 0.18215]);
  assert.deepEqual(numbers("tokenizer: va-vae-f16d32"), [16, 32, true, 1]);
  for (const [name, factor] of [["in", 0.3189], ["mix", 0.4552], ["sana", 0.41407]] as const) {
    assert.deepEqual(numbers(`tokenizer: dc-ae-f32c32-${name}-1.0`), [8, 32, false, factor]);
  }
  assert.deepEqual(
    numbers("tokenizer: sd-vae, imageSize: 64, latentNorm: true, latentMultiplier: 0.5"),
    [64, 4, true, 0.5],
  );
  const { data } = parseConfig("data: { kind: latents, path: shards, tokenizer: sd-vae }");
  assert.deepEqual(resolveConfig({ data }).data, data);
  assert.match(
    refusal("data: { kind: latents, path: shards, tokenizer: sd-vae, channels: 32 }"),
    /data\.channels is 32, expected 4 as data\.tokenizer sd-vae says/,
  );
  for (const [key, value] of [["tokenizer", "sd-vae"], ["encoder", "vae.onnx"]]) {
    assert.match(
      refusal(`data: { ${key}: ${value} }`),
      new RegExp(`data\\.${key} is "${value}", expected null while data\\.kind is emoji`),
    );
  }
});

Deno.test("parseConfig() reads every configuration that is shipped", async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(CONFIGS)) {
    if (!name.endsWith(".yaml")) continue;
    const config = parseConfig(await Deno.readTextFile(new URL(name, CONFIGS)), {
      name: `configs/${name}`,
    });
    assert.equal(config.train.runDirectory, `runs/${name.replace(".yaml", "")}`);
    names.push(name);
  }
  for (const name of ["emoji_tiny", "emoji", "gmem_sit_b", "gmem_sit_xl", "gmem_lightningdit_xl"]) {
    assert(names.includes(`${name}.yaml`), `${name}.yaml is missing`);
  }
});

Deno.test("configurations of GMem draw by the SDE, as paper and release do", async () => {
  const samplers = {
    // Table 6: Euler, 50 evaluations, w = sigma.
    gmem_sit_b: ["euler-maruyama", 50, "sigma", "mean", 0.04],
    // The release: Heun, 50 points of time.
    gmem_sit_xl: ["sde-heun", 50, "linear", "mean", 0.004],
    gmem_lightningdit_xl: ["sde-heun", 50, "linear", "mean", 0.004],
  };
  for (const [name, expected] of Object.entries(samplers)) {
    const { sample } = parseConfig(await Deno.readTextFile(new URL(`${name}.yaml`, CONFIGS)));
    const { sampler, steps, diffusion, lastStep, lastStepSize } = sample;
    assert.deepEqual([sampler, steps, diffusion.form, lastStep, lastStepSize], expected, name);
  }
});

Deno.test("loadConfig() names the configurations there are, or what it expects", async () => {
  const before = Deno.cwd(), directory = Deno.makeTempDirSync();
  const saying = async (said: string) => {
    await assert.rejects(loadConfig("none.yaml", { overrides: [] }), {
      name: "NotFound",
      message: `Cannot read configuration none.yaml: there is no such file, expected ${said}`,
    });
  };
  try {
    Deno.chdir(directory);
    await saying("a YAML file");
    Deno.writeTextFileSync("mine.yml", "");
    await saying("one such as mine.yml");
  } finally {
    Deno.chdir(before);
    Deno.removeSync(directory, { recursive: true });
  }
});
