import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../../kernels/core/safetensors.ts";
import { SiT, type SiTOptions } from "../../model/sit.ts";
import { canonicalName, loadStateDict, type TensorSource } from "../../model/state_dict.ts";
import { openWeights, reverseTime } from "../../model/weights.ts";
import { inDirectory } from "../bank/_images.ts";
import { gpuTest } from "../_gpu.ts";
import { Golden } from "../parity/golden.ts";
import { loadModel } from "../parity/golden_model.ts";
import { Report } from "../parity/report.ts";
import { checkpointOf, type Stored } from "./_write_torch_file.ts";

/** The networks among the recordings: every backbone, condition and naming of the official code. */
const NETWORKS = [
  "sit_tiny",
  "sit_tiny_nosigma",
  "repa_sit_label",
  "gmem_sit_linear",
  "gmem_sit_mlp3",
  "gmem_sit_v1",
  "lightningdit_default",
  "lightningdit_full",
  "lightningdit_lnqk_gelu",
  "lightningdit_woshift",
  "gmem_lightningdit",
];

function goldenPath(name: string): string | undefined {
  const folders = ["../../../shared/goldens/", "../fixtures/goldens/"];
  const paths = folders.map((folder) =>
    fileURLToPath(new URL(`${folder}${name}.safetensors`, import.meta.url))
  );
  return paths.find((path) => existsSync(path));
}

const TINY: SiTOptions = {
  inputSize: 4,
  channels: 2,
  patchSize: 2,
  width: 16,
  depth: 1,
  heads: 2,
  condition: { snippetDim: 8 },
};

/** Random weights for every parameter of a model, none of them zero. */
function randomWeights(store: ParameterStore): Map<string, Stored> {
  let seed = 1;
  return new Map([...store.entries()].map(([name, { shape, elements }]) => {
    const values = Float32Array.from({ length: elements }, () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647 - 0.5;
    });
    return [name, { shape, values }];
  }));
}

function sourceOf(weights: ReadonlyMap<string, Stored>): TensorSource {
  return {
    path: "memory",
    keys: () => weights.keys(),
    shape: (key) => weights.get(key)!.shape,
    readFloat32: (key) => weights.get(key)!.values,
  };
}

async function assertParameters(
  store: ParameterStore,
  expected: (name: string) => Float32Array,
): Promise<void> {
  for (const [name, parameter] of store.entries()) {
    assert.deepEqual(await parameter.read(), expected(name), name);
  }
}

for (const name of NETWORKS) {
  gpuTest(`openWeights() of a .pt file gives every parameter of ${name}`, async (device) => {
    const path = goldenPath(name);
    if (path === undefined) return console.log(`skipped: ${name} is not in shared/goldens`);
    using golden = new Golden(path);
    const model = await loadModel(device, golden, new Report(path));
    using store = model.parameters;
    const weights = new Map<string, Stored>();
    using file = SafetensorsFile.open(path);
    for (const key of file.keys()) {
      if (!store.has(canonicalName(key))) continue;
      weights.set(key, { shape: file.entry(key).shape, values: file.readFloat32(key) });
    }
    await inDirectory(async (directory) => {
      const saved = `${directory}/0400000.pt`;
      Deno.writeFileSync(saved, checkpointOf(weights, { prefix: "module.", section: "ema" }));
      using loaded = new ParameterStore(device);
      new SiT(loaded, model.options);
      using opened = openWeights(saved);
      loadStateDict(opened, loaded);
      const official = new Map(weights.keys().map((key) => [canonicalName(key), key]));
      await assertParameters(loaded, (own) => weights.get(official.get(own)!)!.values);
    });
  });
}

gpuTest("loadStateDict() lists all that does not fit and changes nothing", async (device) => {
  using store = new ParameterStore(device);
  new SiT(store, TINY);
  const weights = randomWeights(store);
  const before = await store.get("final_layer.linear.weight").read();
  const bias = weights.get("condition_projection.linear.bias")!;
  weights.set("y_embedder.linear.bias", bias);
  weights.set("head.weight", bias);
  weights.set("final_layer.linear.bias", { ...bias, shape: [2, 8] });
  weights.delete("x_embedder.proj.bias");
  assert.throws(() => loadStateDict(sourceOf(weights), store), (error: Error) => {
    assert.equal(error.name, "CheckpointError");
    assert.match(error.message, /both condition_projection.linear.bias and y_embedder.linear.bias/);
    assert.match(error.message, /unexpected head.weight/);
    assert.match(error.message, /final_layer.linear.bias is \[2, 8\], expected \[8\]/);
    assert.match(error.message, /missing x_embedder.proj.bias \[16\]/);
    return true;
  });
  assert.deepEqual(await store.get("final_layer.linear.weight").read(), before);
  for (const [lacking, end] of [[8, /\]$/], [9, /; 1 more$/]] as const) {
    const rest = sourceOf(new Map([...randomWeights(store)].slice(lacking)));
    assert.throws(() => loadStateDict(rest, store), end);
  }
  // Of many problems, as with a model of another width, the first are listed and the others counted.
  const none = sourceOf(new Map()), missing = [...store.entries()].length;
  assert.throws(() => loadStateDict(none, store), (error: Error) => {
    assert.equal([...error.message.matchAll(/missing/g)].length, 8);
    assert.ok(error.message.endsWith(`; ${missing - 8} more`), error.message);
    return true;
  });
});

gpuTest("openWeights() selects a part and tells files apart", async (device) => {
  using store = new ParameterStore(device);
  new SiT(store, TINY);
  const weights = randomWeights(store);
  await inDirectory((directory) => {
    const path = `${directory}/last.PTH`;
    Deno.writeFileSync(path, checkpointOf(weights, { prefix: "_orig_mod.", section: "ema" }));
    using average = openWeights(path);
    assert.equal([...average.keys()].length, weights.size);
    using model = openWeights(path, { select: "model" });
    assert.deepEqual([...model.keys()], ["other"]);
    assert.deepEqual(model.shape("other"), [1]);
    assert.throws(() => openWeights(path, { select: "teacher" }), /expected "teacher"/);
    assert.throws(() => openWeights(`${directory}/none.pt`), { name: "CheckpointError" });
    assert.throws(() => openWeights(`${directory}/model.onnx`), /expected .safetensors, .pt or/);
    assert.throws(() => openWeights("a.safetensors", { select: "ema" }), /has no parts/);
  });
});

/** Output [2, 2, 4, 4] of a network with the given weights for one state at two times. */
async function outputOf(
  device: Device,
  source: TensorSource,
  times: readonly number[],
): Promise<Float32Array> {
  using store = new ParameterStore(device);
  const model = new SiT(store, TINY);
  loadStateDict(source, store);
  const x = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i % 32));
  using out = device.scope(() =>
    model.forward(
      device.tensor(x, [2, 2, 4, 4]),
      device.tensor(Float32Array.from(times), [2]),
      device.tensor(new Float32Array(16).fill(0.25), [2, 8]),
    )
  );
  return await out.read();
}

gpuTest("reverseTime() gives −v(x, 1 − t)", async (device) => {
  using store = new ParameterStore(device);
  new SiT(store, TINY);
  const source = sourceOf(randomWeights(store));
  const own = await outputOf(device, source, [0.2, 1]);
  const turned = await outputOf(device, reverseTime(source), [0.8, 0]);
  const scale = Math.max(...own.map(Math.abs));
  assert.ok(scale > 0.1);
  for (const [i, value] of own.entries()) {
    // Weights rounded once more (2^-24), in sums of 256 terms of the size of the result.
    assert.ok(Math.abs(turned[i]! + value) < 1e-5 * scale, `${turned[i]} for ${value}`);
  }
  const other = await outputOf(device, source, [0.8, 0]);
  assert.ok(other.some((value, i) => Math.abs(value - own[i]!) > 1e-2 * scale));
});
