import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MODEL_SIZES } from "../../model/config.ts";
import { parameterSizes } from "../../model/parameter_sizes.ts";
import { namedModel } from "../../model/named_models.ts";
import { isProjector, readModelOptions } from "../../model/read_model_options.ts";
import type { SiTOptions } from "../../model/sit.ts";
import { canonicalName, type TensorSource } from "../../model/state_dict.ts";
import { Golden } from "../parity/golden.ts";

/** The names and shapes of a network's weights, as a file of official code with a wrapper has them. */
function sourceOf(options: SiTOptions): TensorSource {
  const shapes = new Map(
    parameterSizes(options).map(({ name, shape }) => [`module.${name}`, shape]),
  );
  return {
    path: "memory.pt",
    keys: () => shapes.keys(),
    shape: (key) => shapes.get(key)!,
    readFloat32: () => {
      throw new Error("no tensor is read");
    },
  };
}

/** Names and shapes of all parameters that samples need. */
function sizesOf(options: SiTOptions): unknown {
  return parameterSizes(options).filter(({ name }) => !isProjector(name));
}

const BASE: SiTOptions = {
  ...{ inputSize: 8, channels: 4, patchSize: 2, width: 48, depth: 2, heads: 4 },
  condition: { classes: 10 },
};
const projector = { depth: 1, width: 24, targetWidth: 20 };

const NETWORKS: readonly [SiTOptions, heads?: number][] = [
  [namedModel("SiT-XL/2")],
  [namedModel("SiT-S/8", { channels: 3, inputSize: 64, condition: { classes: 7 } })],
  [namedModel("LightningDiT-L/1", { condition: { snippetDim: 768 } })],
  [{ ...BASE, learnSigma: true }, 4],
  [{ ...BASE, condition: { snippetDim: 12, embedding: "mlp3" }, noShift: true, projector }, 4],
  // Norms of queries and rotary angles tell the heads.
  [{ ...BASE, qkNorm: true, condition: { snippetDim: 12 }, mlpRatio: 2.6 }],
  [{ ...BASE, rope: true, swiglu: true, rmsNorm: true }],
  // 88 hidden channels, and 89.
  [{ ...BASE, rope: true, swiglu: true, width: 40, heads: 2, mlpRatio: 3.3 }],
  [{ ...BASE, rope: true, swiglu: true, width: 40, heads: 2, mlpRatio: 3.35 }],
];

Deno.test("readModelOptions() tells every network by its shapes", () => {
  for (const [options, heads] of NETWORKS) {
    const read = readModelOptions(sourceOf(options), { heads });
    assert.deepEqual(sizesOf(read), sizesOf(options));
    assert.equal(read.heads, options.heads);
    assert.deepEqual(
      [read.inputSize, read.channels, read.learnSigma, read.projector],
      [options.inputSize, options.channels, options.learnSigma ?? false, undefined],
    );
  }
  // Heads by the width, as the published networks have them.
  for (const name of ["S", "B", "L", "XL"] as const) {
    assert.equal(
      readModelOptions(sourceOf(namedModel(`SiT-${name}/2`))).heads,
      MODEL_SIZES[name].heads,
    );
  }
});

Deno.test("readModelOptions() tells whether a table of classes has a null class", () => {
  const read = (classes: number, nullClass: boolean, hint?: boolean) => {
    const source = sourceOf({ ...BASE, condition: { classes, nullClass } });
    return readModelOptions(source, { heads: 4, nullClass: hint }).condition;
  };
  assert.deepEqual(read(1000, true), { classes: 1000, nullClass: true });
  assert.deepEqual(read(1000, false), { classes: 1000, nullClass: false });
  assert.deepEqual(read(10, false, false), { classes: 10, nullClass: false });
  assert.deepEqual(read(999, true, true), { classes: 999, nullClass: true });
});

Deno.test("readModelOptions() says what a file lacks", () => {
  const without = (pattern: RegExp): TensorSource => {
    const source = sourceOf(BASE);
    return { ...source, keys: () => [...source.keys()].filter((key) => !pattern.test(key)) };
  };
  const refused = [
    [without(/x_embedder/), 4, /it has no x_embedder\.proj\.weight, expected the weights of SiT/],
    [without(/y_embedder/), 4, /it has neither y_embedder.* nor condition_projection/],
    [
      sourceOf(BASE),
      undefined,
      /memory\.pt: width 48 does not tell the number of attention heads, expected the option heads$/,
    ],
  ] as const;
  for (const [source, heads, message] of refused) {
    assert.throws(() => readModelOptions(source, { heads }), { name: "CheckpointError", message });
  }
});

Deno.test("readModelOptions() tells the networks that the official code recorded", () => {
  const folders = ["../../../shared/goldens/", "../fixtures/goldens/"];
  for (
    const name of [
      ...["sit_tiny", "sit_tiny_nosigma", "repa_sit_label", "gmem_sit_mlp3", "gmem_sit_v1"],
      ...["lightningdit_default", "lightningdit_full", "lightningdit_lnqk_gelu"],
      ...["lightningdit_woshift", "gmem_lightningdit"],
    ]
  ) {
    const path = folders.map((folder) =>
      fileURLToPath(new URL(`${folder}${name}.safetensors`, import.meta.url))
    ).find(existsSync);
    if (path === undefined) {
      console.log(`skipped: ${name} is not in shared/goldens`);
      continue;
    }
    using golden = new Golden(path);
    const config = golden.fields("config");
    const source = golden.source(), heads = config.number("num_heads");
    const read = readModelOptions(source, { heads });
    const sizes = ["input_size", "in_channels", "patch_size", "hidden_size", "depth"] as const;
    assert.deepEqual(
      [read.inputSize, read.channels, read.patchSize, read.width, read.depth],
      sizes.map((key) => config.number(key)),
      name,
    );
    const recorded = new Map(golden.keys().map((key) => [canonicalName(key), golden.shape(key)]));
    for (const { name, shape } of parameterSizes(read)) {
      assert.deepEqual(recorded.get(name), shape, name);
    }
    assert.equal(read.learnSigma, config.flag("learn_sigma"), name);
    if ("classes" in read.condition) assert.equal(read.condition.classes, 10, name);
  }
});
