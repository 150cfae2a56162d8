import assert from "node:assert/strict";
import { combine } from "../../kernels/combine/mod.ts";
import { Device } from "../../kernels/core/device.ts";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { SiT } from "../../model/sit.ts";
import { sampleSchema } from "../../sample/config.ts";
import { startingNoise } from "../../sample/draw.ts";
import { drawAll, drawBatches, drawRows } from "../../sample/rows.ts";
import { assertClose, randomValues } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

const DIM = 6, PIXELS = 4 * 4;

/** A small network on images [1, S, S] whose last layer is not zero, as it is before training. */
function makeModel(store: ParameterStore, snippets: boolean, inputSize = 4): SiT {
  const model = new SiT(store, {
    inputSize,
    channels: 1,
    patchSize: 2,
    width: 16,
    depth: 1,
    heads: 2,
    condition: snippets ? { snippetDim: DIM, embedding: "linear" } : { classes: 3 },
  });
  let seed = 1;
  for (const [, tensor] of store.entries()) {
    tensor.write(Float32Array.from(randomValues(tensor.shape, seed++), (value) => 0.3 * value));
  }
  return model;
}

function snippetRows(count: number): Float32Array {
  return new Float32Array(randomValues([count, DIM], 9));
}

gpuTest(
  "drawRows() gives every snippet the same noises, whatever the sampler",
  async (device: Device) => {
    using store = new ParameterStore(device, { seed: 0 });
    const model = makeModel(store, true), snippets = snippetRows(2);
    for (const sampler of ["euler", "euler-maruyama"] as const) {
      const config = sampleSchema.parse({ sampler, steps: 2 });
      const seen: number[][] = [];
      const { images, evaluations } = await drawRows({
        model,
        config,
        snippets,
        noises: 3,
        onProgress: (...each) => seen.push(each),
      });
      assert.deepEqual([images.length, evaluations, seen], [2 * 3 * PIXELS, 2, [[3, 6], [6, 6]]]);
      // The images that drawAll gives one snippet are the row of that snippet.
      for (const row of [0, 1]) {
        const snippet = snippets.subarray(row * DIM, (row + 1) * DIM);
        const alone = await drawAll({
          model,
          config,
          count: 3,
          conditionOf: (_, count) =>
            device.tensor(Float32Array.from({ length: count * DIM }, (_, i) => snippet[i % DIM]!), [
              count,
              DIM,
            ]),
        });
        assert.deepEqual(images.subarray(row * 3 * PIXELS, (row + 1) * 3 * PIXELS), alone.images);
      }
      const image = (row: number, noise: number) =>
        images.subarray((row * 3 + noise) * PIXELS, (row * 3 + noise + 1) * PIXELS);
      assert.notDeepEqual(image(0, 0), image(1, 0));
      assert.notDeepEqual(image(0, 0), image(0, 1));
    }
  },
);

gpuTest("drawAll() gives image i its own noise and condition in every batch", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const model = makeModel(store, false), asked: [number, number][] = [], seen: number[][] = [];
  // A last layer of zeros has no velocity, so that the noise stays as it is.
  for (const name of ["weight", "bias"]) {
    const last = store.get(`final_layer.linear.${name}`);
    last.write(new Float32Array(last.elements));
  }
  // Two batches of 64 and the rest.
  const { images, evaluations } = await drawAll({
    model,
    config: sampleSchema.parse({ sampler: "euler", steps: 1, seed: 4 }),
    count: 130,
    conditionOf: (first, count) => {
      asked.push([first, count]);
      return device.tensor(new Uint32Array(count), [count]);
    },
    onProgress: (...each) => seen.push(each),
  });
  using noise = startingNoise(model, { count: 130, seed: 4 });
  assert.deepEqual(images, await noise.read());
  assert.deepEqual([asked, seen, evaluations], [[[0, 64], [64, 64], [128, 2]], [[64, 130], [
    128,
    130,
  ], [130, 130]], 1]);
});

gpuTest(
  "drawAll() counts the evaluations of all batches of dopri5, not of the last",
  async (device) => {
    using store = new ParameterStore(device, { seed: 0 });
    const model = makeModel(store, true), config = sampleSchema.parse({ sampler: "dopri5" });
    // The last image alone has a snippet that the network goes by far.
    const snippetOf = (image: number) => new Float32Array(DIM).fill(image === 64 ? 40 : 0);
    const conditionOf = (first: number, count: number) => {
      const rows = Array.from({ length: count }, (_, i) => [...snippetOf(first + i)]).flat();
      return device.tensor(Float32Array.from(rows), [count, DIM]);
    };
    const each: number[] = [];
    for await (const batch of drawBatches({ model, config, count: 65, conditionOf })) {
      each.push(batch.evaluations);
    }
    const [most = 0, last = 0] = each;
    assert.ok(each.length === 2 && most !== last, `${each}`);
    const { evaluations } = await drawAll({ model, config, count: 65, conditionOf });
    assert.equal(evaluations, Number(((64 * most + last) / 65).toFixed(1)));
    const snippets = Float32Array.from([...snippetOf(64), ...snippetOf(0)]);
    const alone = await Promise.all([0, 1].map((row) =>
      drawRows({
        model,
        config,
        snippets: snippets.subarray(row * DIM, (row + 1) * DIM),
        noises: 1,
      })
    ));
    const rows = await drawRows({ model, config, snippets, noises: 1 });
    const [first = 0, second = 0] = alone.map((drawn) => drawn.evaluations);
    assert.notEqual(first, second);
    assert.equal(rows.evaluations, (first + second) / 2);
  },
);

gpuTest(
  "drawAll() draws as many at once as the GPU can bind",
  async (device) => {
    // The 256 hidden tokens of one image take 256 · 64 · 4 bytes, more than any parameter.
    const drawn = async (maxBindingBytes: number, scale: number) => {
      const bound = new Device(device.gpu, { profile: { ...device.profile, maxBindingBytes } });
      using store = new ParameterStore(bound, { seed: 0 });
      const model = makeModel(store, true, 32), batches: number[] = [];
      const { images } = await drawAll({
        model,
        config: sampleSchema.parse({ sampler: "sde-heun", steps: 2, guidance: { scale } }),
        count: 7,
        conditionOf: (first, count) => {
          batches.push(count);
          const rows = snippetRows(7).subarray(first * DIM, (first + count) * DIM);
          return bound.tensor(rows, [count, DIM]);
        },
      });
      return { images, batches };
    };
    for (const [scale, each] of [[1, 2 ** 16], [2, 2 ** 17]] as const) {
      const whole = await drawn(64 * each, scale), parts = await drawn(4 * each - 1, scale);
      assert.deepEqual([whole.batches, parts.batches], [[7], [3, 3, 1]]);
      // Products of other sizes sum in another order: some roundings of 2^-24.
      assertClose(parts.images, whole.images, { tolerance: 1e-5, name: `scale ${scale}` });
      await assert.rejects(drawn(each - 1, scale), {
        name: "RangeError",
        message:
          `Cannot draw: a tensor of one ${scale === 1 ? "" : "guided "}image takes ${each} ` +
          `bytes, the GPU binds ${each - 1} at most, expected smaller images or a narrower network`,
      });
    }
  },
);

gpuTest("drawing refuses a number of images that is none, and draws none of 0", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const drawing = {
    model: makeModel(store, true),
    config: sampleSchema.parse({ sampler: "euler", steps: 1 }),
    conditionOf: (_: number, count: number) => device.tensor(snippetRows(count), [count, DIM]),
    snippets: snippetRows(1),
  };
  for (const wrong of [-1, 1.5, NaN, Infinity]) {
    const refusal = (name: string) => ({
      name: "RangeError",
      message: `Cannot draw: ${name} is ${wrong}, expected a whole number from 0`,
    });
    await assert.rejects(drawAll({ ...drawing, count: wrong }), refusal("count"));
    await assert.rejects(drawBatches({ ...drawing, count: wrong }).next(), refusal("count"));
    await assert.rejects(drawRows({ ...drawing, noises: wrong }), refusal("noises"));
  }
  assert.equal((await drawAll({ ...drawing, count: 0 })).images.length, 0);
});

gpuTest("drawing names the image with a value that is not finite", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const drawing = {
    model: makeModel(store, true),
    config: sampleSchema.parse({ sampler: "euler", steps: 1 }),
  };
  const snippets = snippetRows(70).fill(NaN, 66 * DIM, 67 * DIM);
  const conditionOf = (first: number, count: number) =>
    device.tensor(snippets.slice(first * DIM, (first + count) * DIM), [count, DIM]);
  const refusal = (image: number) => ({
    name: "RangeError",
    message: `Cannot use sample ${image}: it holds NaN, expected finite numbers`,
  });
  await assert.rejects(drawAll({ ...drawing, count: 70, conditionOf }), refusal(66));
  const wrong = snippets.subarray(66 * DIM, 67 * DIM);
  await assert.rejects(drawRows({ ...drawing, snippets: wrong, noises: 2 }), refusal(0));
});

gpuTest("drawAll() refuses more conditions than images", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const options = {
    model: makeModel(store, true),
    config: sampleSchema.parse({ sampler: "euler", steps: 1 }),
    count: 2,
    conditionOf: () => device.tensor(snippetRows(3), [3, DIM]),
  };
  await assert.rejects(drawAll(options), {
    name: "TypeError",
    message: "Cannot draw 2 images under 3 conditions: expected one each",
  });
});

gpuTest("drawAll() releases a condition and what it was made of", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const options = {
    model: makeModel(store, true),
    config: sampleSchema.parse({ sampler: "euler", steps: 1 }),
    count: 2,
    conditionOf: (_: number, count: number) =>
      combine([[device.tensor(snippetRows(count), [count, DIM]), 0.5]]),
  };
  await drawAll(options); // stages the weights
  const before = device.pool.liveBytes;
  await drawAll(options);
  assert.equal(device.pool.liveBytes, before);
});

gpuTest("drawRows() refuses what is no row of snippets and a model of labels", async (device) => {
  using store = new ParameterStore(device, { seed: 0 });
  const config = sampleSchema.parse({ sampler: "euler", steps: 1 });
  const model = makeModel(store, true);
  await assert.rejects(drawRows({ model, config, snippets: new Float32Array(7), noises: 1 }), {
    name: "TypeError",
    message: "Cannot draw from 7 values: expected snippets of length 6",
  });
  using other = new ParameterStore(device, { seed: 0 });
  const labels = makeModel(other, false);
  await assert.rejects(drawRows({ model: labels, config, snippets: snippetRows(1), noises: 1 }), {
    message: "Cannot draw from 6 values: expected a model that takes snippets",
  });
});
