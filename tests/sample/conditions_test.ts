import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import { indexByNoise } from "../../bank/noise_index.ts";
import { chooseUniform } from "../../bank/retrieve.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SiT } from "../../model/sit.ts";
import {
  chooseAmong,
  chooseByNoise,
  conditionsAt,
  drawLabels,
  labelOfClass,
} from "../../sample/conditions.ts";
import { startingNoise } from "../../sample/draw.ts";
import { gpuTest } from "../_gpu.ts";

const SNIPPETS = Float32Array.of(1, 0, 0, 1, -1, 0, 0, -1);

Deno.test("chooseAmong() draws evenly from each group in turn", () => {
  // One group of all is the choice from all.
  const all = chooseUniform(4, { count: 40, seed: 5 });
  assert.deepEqual(chooseAmong([[0, 1, 2, 3]], { count: 40, seed: 5 }), all);
  const groups = [[3], [10, 11], [17, 18, 19]];
  const turns = chooseAmong(groups, { count: 6000, seed: 5 });
  assert.deepEqual(chooseAmong(groups, { count: 9 }), chooseAmong(groups, { count: 9, seed: 0 }));
  const counts = new Map<number, number>();
  for (const [i, index] of turns.entries()) {
    assert.ok(groups[i % 3]!.includes(index), `image ${i} has snippet ${index}`);
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  assert.equal(counts.get(3), 2000);
  for (const [index, share] of [[10, 1000], [11, 1000], [17, 667], [18, 667], [19, 667]] as const) {
    // A standard deviation of 22.
    assert.ok(Math.abs(counts.get(index)! - share) < 110, `${index}: ${counts.get(index)}`);
  }
  for (
    const [none, state] of [
      [[], "there are no groups"],
      [[[], [3]], "group 0 is empty"],
      [[[3], []], "group 1 is empty"],
    ] as const
  ) {
    assert.throws(() => chooseAmong(none, { count: 2, seed: 5 }), {
      name: "RangeError",
      message: `Cannot choose: ${state}, expected indices in each`,
    });
  }
  for (const count of [-1, 1.5, NaN]) {
    assert.throws(() => chooseAmong([[3]], { count, seed: 5 }), {
      name: "RangeError",
      message: `Cannot choose: count is ${count}, expected a whole number from 0`,
    });
  }
});

Deno.test("drawLabels() draws labels as often as the data have them", () => {
  const choice = { count: 6000, seed: 5 };
  const labels = drawLabels({ classCount: 5, imagesPerClass: [0, 1, 0, 5, 0] }, choice);
  assert.deepEqual(new Set(labels), new Set([1, 3]));
  // A standard deviation of 29.
  const ones = labels.filter((label) => label === 1).length;
  assert.ok(Math.abs(ones - 1000) < 145, `${ones}`);
  // Of as many images each, and of unknown numbers, all are equally likely.
  const even = chooseUniform(4, choice);
  for (const imagesPerClass of [[50, 50, 50, 50], []]) {
    assert.deepEqual(drawLabels({ classCount: 4, imagesPerClass }, choice), even);
  }
});

Deno.test("labelOfClass() knows names, and numbers where no class has that name", () => {
  const named = { classCount: 4, classes: ["cat", "dog", "3", "cow"] };
  assert.equal(labelOfClass("cat", named), 0);
  assert.equal(labelOfClass("dog", named), 1);
  assert.equal(labelOfClass("3", named), 2);
  assert.equal(labelOfClass("2", named), 2);
  assert.equal(labelOfClass("207", { classCount: 1000, classes: [] }), 207);
  assert.throws(() => labelOfClass("4", named), {
    name: "RangeError",
    message: 'Cannot draw class "4": the model knows no such class, expected cat, dog, 3, cow, ' +
      "or a number from 0 to 3",
  });
  assert.throws(() => labelOfClass("Dogs", named), { message: /to 3; did you mean dog\?$/ });
  assert.throws(() => labelOfClass("cat", { classCount: 1000, classes: [] }), {
    message: /no such class, expected a number from 0 to 999$/,
  });
  const many = Array.from({ length: 98 }, (_, i) => `class ${i}`);
  assert.throws(() => labelOfClass("cat", { classCount: 98, classes: many }), {
    message: /expected class 0, .*, class 9 and 88 more, or a number from 0 to 97$/,
  });
  for (const [count, end] of [[10, "class 9"], [11, "class 9 and 1 more"]] as const) {
    const classes = many.slice(0, count);
    assert.throws(() => labelOfClass("cat", { classCount: count, classes }), {
      message: new RegExp(`class 8, ${end}, or a number from 0 to ${count - 1}$`),
    });
  }
});

gpuTest(
  "conditionsAt() gives the snippets of a bank or labels, from any image on",
  async (device) => {
    using bank = FullBank.from(device, { dim: 2, snippets: SNIPPETS });
    const indices = Uint32Array.of(3, 0, 2, 2);
    using snippets = conditionsAt(indices, { device, bank })(1, 2);
    assert.deepEqual([...await snippets.read()], [1, 0, -1, 0]);
    using labels = conditionsAt(indices, { device, bank: undefined })(2, 2);
    assert.deepEqual([...await labels.readUint32()], [2, 2]);
  },
);

gpuTest("chooseByNoise() goes by the noise that each image starts from", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = new SiT(store, {
    ...{ inputSize: 2, channels: 1, patchSize: 2, width: 8, depth: 1, heads: 2 },
    condition: { snippetDim: 2 },
  });
  const frequencies = [1, 0, 2, 5];
  using bank = FullBank.from(device, { dim: 2, snippets: SNIPPETS, frequencies });
  // More than the 64 images of a batch.
  const chosen = await chooseByNoise(model, { bank, count: 150, seed: 3 });
  using noise = startingNoise(model, { count: 150, seed: 3 });
  const want = indexByNoise(await noise.read(), { count: 150, frequencies });
  assert.deepEqual(chosen, want);
  assert.deepEqual(new Set(chosen), new Set([0, 2, 3]));
  using even = FullBank.from(device, { dim: 2, snippets: SNIPPETS });
  assert.equal(new Set(await chooseByNoise(model, { bank: even, count: 150, seed: 3 })).size, 4);
  await assert.rejects(chooseByNoise(model, { bank, count: -1, seed: 3 }), {
    name: "RangeError",
    message: "Cannot choose: count is -1, expected a whole number from 0",
  });
});
