import assert from "node:assert/strict";
import { Random, Stream } from "../../kernels/core/random.ts";
import { randomNormal } from "../../kernels/random_normal/mod.ts";
import { gpuTest, inRowsOfTwo } from "../_gpu.ts";

const SEED = 0x0123456789abcdefn;

gpuTest("randomNormal() draws the numbers of Random for every tail of four", async (device) => {
  const random = new Random(SEED, Stream.Noise);
  for (const shape of [[1], [3, 1], [2, 2], [2, 3], [65, 5], [5, 3, 7, 2], [2, 3, 32, 32]]) {
    const options = { seed: SEED, stream: Stream.Noise, step: 77, firstSample: 4_294_967_000 };
    using out = inRowsOfTwo(device, () => randomNormal(device, shape, options));
    using again = randomNormal(device, shape, options);
    assert.deepEqual(out.shape, shape);
    const got = await out.read();
    assert.deepEqual(await again.read(), got);
    const elements = got.length / shape[0]!;
    got.forEach((value, i) => {
      const sample = options.firstSample + Math.floor(i / elements), element = i % elements;
      const want = random.normal(77, sample, element);
      const u = random.uniform(77, sample, element - element % 2);
      const radius = Math.sqrt(-2 * Math.log(u));
      // Adapters' cos and sin of an angle in (-pi, pi) are off by less than 2^-20 with its rounding.
      // WGSL lets log be off by 2^-21 in [0.5, 2], and u by 2^-23 of itself: 2^-20 / r at most for
      // the root.
      const bound = 2 ** -20 * (radius + 1 / radius);
      assert.ok(
        Math.abs(value - want) <= bound,
        `${shape}[${i}]: ${value}, want ${want} ± ${bound}`,
      );
    });
  }
});

gpuTest("randomNormal() draws nothing for a batch of none", async (device) => {
  const options = { seed: 5, stream: Stream.Sampler, step: 3, firstSample: 10 };
  using none = randomNormal(device, [0, 5], options);
  assert.deepEqual(await none.read(), new Float32Array(0));
});

gpuTest("randomNormal() gives a sample the same numbers in any batch", async (device) => {
  const options = { seed: 5, stream: Stream.Sampler, step: 3 };
  using all = randomNormal(device, [6, 5], { ...options, firstSample: 10 });
  using part = randomNormal(device, [2, 5], { ...options, firstSample: 13 });
  assert.deepEqual(await part.read(), (await all.read()).slice(15, 25));
});

gpuTest(
  "randomNormal() draws other numbers for another seed, stream, step or sample",
  async (device) => {
    const options = { seed: 1, stream: Stream.Noise, step: 1, firstSample: 1 };
    const changes = [{}, { seed: 2 }, { seed: 1n + (1n << 32n) }, { stream: Stream.Sampler }, {
      step: 2,
    }, { firstSample: 2 }];
    const seen = new Set<number>();
    for (const change of changes) {
      using out = randomNormal(device, [1, 8], { ...options, ...change });
      for (const value of await out.read()) seen.add(value);
    }
    assert.equal(seen.size, 8 * changes.length);
  },
);

gpuTest("randomNormal() refuses seeds, steps and samples that do not fit", (device) => {
  const options = { seed: 1, stream: Stream.Noise, step: 0, firstSample: 0 };
  assert.throws(() => randomNormal(device, [1], { ...options, seed: -1 }), RangeError);
  assert.throws(() => randomNormal(device, [1], { ...options, step: 2 ** 32 }), /the step is/);
  assert.throws(
    () => randomNormal(device, [2], { ...options, firstSample: 2 ** 32 - 1 }),
    /the samples are 2 from 4294967295 on/,
  );
});
