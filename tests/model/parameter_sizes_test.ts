import assert from "node:assert/strict";
import { namedModel } from "../../model/named_models.ts";
import { isFixedTable, officialCount, parameterSizes } from "../../model/parameter_sizes.ts";

const SIZES = {
  S: { depth: 12, width: 384, heads: 6 },
  B: { depth: 12, width: 768, heads: 12 },
  L: { depth: 24, width: 1024, heads: 16 },
  XL: { depth: 28, width: 1152, heads: 16 },
} as const;
type Size = keyof typeof SIZES;

/** Weights and biases of an affine layer. */
function affine(inputs: number, outputs: number): number {
  return (inputs + 1) * outputs;
}

/** The parameters of SiT from the description of the network, on 32 x 32 x 4 latents. */
function countSiT(size: Size, patch: number): number {
  const { depth, width: D } = SIZES[size];
  const block = affine(D, 6 * D) + affine(D, 3 * D) + affine(D, D) + affine(D, 4 * D) +
    affine(4 * D, D);
  return affine(4 * patch ** 2, D) + (32 / patch) ** 2 * D + affine(256, D) + affine(D, D) +
    1001 * D + depth * block + affine(D, 2 * D) + affine(D, patch ** 2 * 8);
}

/** The parameters of LightningDiT, on 16 x 16 x 32 latents. */
function countLightning(size: Size, patch: number): number {
  const { depth, width: D } = SIZES[size];
  const hidden = { S: 1024, B: 2048, L: 2730, XL: 3072 }[size];
  const block = 2 * D + affine(D, 6 * D) + affine(D, 3 * D) + affine(D, D) +
    affine(D, 2 * hidden) + affine(hidden, D);
  return affine(32 * patch ** 2, D) + (16 / patch) ** 2 * D + affine(256, D) + affine(D, D) +
    1001 * D + depth * block + D + affine(D, 2 * D) + affine(D, patch ** 2 * 32);
}

Deno.test("isFixedTable() knows the frozen parameters by their names, also in official files", () => {
  for (const name of ["SiT-S/2", "LightningDiT-S/2"]) {
    const sizes = parameterSizes(namedModel(name));
    for (const { name, frozen } of sizes) {
      assert.equal(isFixedTable(`module.${name}`), frozen, name);
    }
    assert(sizes.some(({ frozen }) => frozen));
  }
});

Deno.test("officialCount() of every published network is the official integer", () => {
  const count = (name: string) => officialCount(parameterSizes(namedModel(name)));
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const patch of [2, 4, 8]) {
      assert.equal(count(`SiT-${size}/${patch}`), countSiT(size, patch));
    }
    for (const patch of [1, 2]) {
      assert.equal(count(`LightningDiT-${size}/${patch}`), countLightning(size, patch));
    }
  }
  // What the papers print: 33M, 130M, 458M and 675M; the last is also known to the unit.
  const millions = (name: string) => Math.floor(count(name) / 1e6);
  assert.deepEqual(
    ["S/2", "B/2", "L/2", "XL/2"].map((size) => millions(`SiT-${size}`)),
    [32, 130, 458, 675],
  );
  assert.deepEqual(
    ["B/1", "L/1", "XL/1"].map((size) => millions(`LightningDiT-${size}`)),
    [130, 458, 675],
  );
  assert.equal(count("SiT-XL/2"), 675_129_632);
});

Deno.test("officialCount() counts the projector", () => {
  const plain = namedModel("LightningDiT-B/1", { condition: { snippetDim: 768 } });
  const options = { ...plain, projector: { depth: 4, width: 2048, targetWidth: 768 } };
  assert.equal(
    officialCount(parameterSizes(options)) - officialCount(parameterSizes(plain)),
    affine(768, 2048) + affine(2048, 2048) + affine(2048, 768),
  );
});

Deno.test("namedModel() takes other data and refuses other names", () => {
  const options = namedModel("SiT-B/2", { inputSize: 64, condition: { snippetDim: 768 } });
  assert.deepEqual([options.inputSize, options.width], [64, 768]);
  const table = parameterSizes(namedModel("SiT-B/2")).at(-1)!;
  assert.deepEqual(table.name, "final_layer.linear.bias");
  assert.deepEqual(table.shape, [32]);
  for (const name of ["SiT-M/2", "SiT-B/3", "DiT-B/2", ""]) {
    assert.throws(() => namedModel(name), RangeError);
  }
});
