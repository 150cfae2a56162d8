import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Random, Stream } from "../../kernels/core/random.ts";
import type { Shape } from "../../kernels/core/tensor.ts";
import { constant } from "../../model/initializers.ts";
import { sinCosPositions } from "../../model/positions.ts";
import { SiT } from "../../model/sit.ts";
import { gpuTest } from "../_gpu.ts";

const OPTIONS = {
  ...{ inputSize: 4, channels: 4, patchSize: 2, width: 128, depth: 2, heads: 4 },
  condition: { classes: 999 },
  ...{ swiglu: true, rmsNorm: true, qkNorm: true },
};

/** Asserts a mean of 0 and a variance, within four standard deviations of either's estimate. */
function assertSpread(
  values: Float32Array,
  expected: { name: string; variance: number; kurtosis: number },
): void {
  const { name, variance, kurtosis } = expected, count = values.length;
  let sum = 0, squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / count / Math.sqrt(variance), ratio = squares / count / variance;
  assert.ok(Math.abs(mean) < 4 / Math.sqrt(count), `${name} has mean ${mean}`);
  assert.ok(Math.abs(ratio - 1) < 4 * Math.sqrt((kurtosis - 1) / count), `${name}: ${ratio}`);
}

/** Xavier's bound: a convolution over patches counts as the matrix that it is. */
function boundOf([outputs, ...inputs]: Shape): number {
  return Math.sqrt(6 / (outputs! + inputs.reduce((product, axis) => product * axis)));
}

for (const zeroInit of [true, false]) {
  gpuTest(`SiT's parameters begin as the official ones, zeroInit ${zeroInit}`, async (device) => {
    using store = new ParameterStore(device, { seed: 3 });
    new SiT(store, { ...OPTIONS, zeroInit });
    let drawn = 0;
    for (const [name, tensor] of store.entries()) {
      const values = await tensor.read();
      if (name === "pos_embed") {
        assert.deepEqual(values, new Float32Array(sinCosPositions(2, 128)));
      } else if (name.endsWith("bias")) assert.ok(values.every((value) => value === 0), name);
      else if (/norm/.test(name)) assert.ok(values.every((value) => value === 1), name);
      else if (zeroInit && /adaLN_modulation|final_layer/.test(name)) {
        assert.ok(values.every((value) => value === 0), name);
      } else if (/^[ty]_embedder/.test(name)) {
        assertSpread(values, { name, variance: 0.02 ** 2, kurtosis: 3 });
        drawn++;
      } else {
        const bound = boundOf(tensor.shape), largest = Math.max(...values.map(Math.abs));
        assert.ok(largest <= Math.fround(bound) && largest > 0.99 * bound, `${name}: ${largest}`);
        assertSpread(values, { name, variance: bound ** 2 / 3, kurtosis: 1.8 });
        drawn++;
      }
    }
    // Embeddings and four matrices of each block; without zeroInit, its modulation and the last layer.
    assert.equal(drawn, zeroInit ? 12 : 16);
  });
}

gpuTest("SiT's parameters differ by name and by seed", async (device) => {
  const read = async (seed: number, name: string) => {
    using store = new ParameterStore(device, { seed });
    new SiT(store, OPTIONS);
    return await store.get(name).read();
  };
  const first = await read(3, "blocks.0.attn.proj.weight");
  assert.deepEqual(await read(3, "blocks.0.attn.proj.weight"), first);
  // Runs of one seed begin alike in every version: the sample is the FNV-1a hash of the name.
  const placeOf = (name: string) => ({
    step: 0,
    sample: [...name].reduce(
      (sum, letter) => Math.imul(sum ^ letter.charCodeAt(0), 0x01000193),
      0x811c9dc5,
    ) >>> 0,
  });
  const random = new Random(3, Stream.Init);
  const table = "y_embedder.embedding_table.weight", normal = new Float32Array(256);
  random.fillNormal(normal, placeOf(table));
  const values = (await read(3, table)).subarray(0, 256);
  assert.deepEqual(values, normal.map((value) => value * 0.02));
  const uniform = new Float32Array(256), bound = boundOf([128, 128]);
  random.fillUniform(uniform, placeOf("blocks.0.attn.proj.weight"));
  assert.deepEqual(first.subarray(0, 256), uniform.map((value) => (2 * value - 1) * bound));
  assert.notDeepEqual(await read(3, "blocks.1.attn.proj.weight"), first);
  assert.notDeepEqual(await read(4, "blocks.0.attn.proj.weight"), first);
  // Unless said otherwise the last layer and modulations are zero.
  for (const name of ["final_layer.linear.weight", "blocks.0.adaLN_modulation.1.weight"]) {
    assert.ok((await read(3, name)).every((value) => value === 0), name);
  }
});

gpuTest("constant() refuses as many values as the parameter does not have", (device) => {
  for (const table of [[1], [1, 2, 3]]) {
    using store = new ParameterStore(device);
    const scale = store.parameter("scale", [1, 2], constant(table));
    assert.throws(() => scale.write(new Float32Array(2)), {
      name: "TypeError",
      message: `Cannot initialise scale [1, 2]: ${table.length} values are given, expected 2`,
    });
  }
});
