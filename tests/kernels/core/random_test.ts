import assert from "node:assert/strict";
import { permutation, philox, Random, Stream } from "../../../kernels/core/random.ts";

type Words = [number, number, number, number];

// The lines "philox4x32 10" of the file tests/kat_vectors that Random123 publishes
// (github.com/DEShawResearch/random123): counter, key, expected.
const KNOWN_ANSWERS: [Words, [number, number], Words][] = [
  [[0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
];

/** Philox straight from the paper's definition, with BigInt products. */
function philoxByDefinition(counter: Words, key: [number, number]): Words {
  const mask = 0xffffffffn;
  let c = counter.map(BigInt);
  let k = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const left = 0xd2511f53n * c[0]!;
    const right = 0xcd9e8d57n * c[2]!;
    c = [
      (right >> 32n) ^ c[1]! ^ k[0]!,
      right & mask,
      (left >> 32n) ^ c[3]! ^ k[1]!,
      left & mask,
    ];
    k = [(k[0]! + 0x9e3779b9n) & mask, (k[1]! + 0xbb67ae85n) & mask];
  }
  return c.map(Number) as Words;
}

Deno.test("philox() gives the known answers of Random123", () => {
  for (const [counter, key, expected] of KNOWN_ANSWERS) {
    assert.deepEqual(philox(counter, key), expected);
  }
});

Deno.test("philox() equals the definition with 64-bit products when words vary", () => {
  let counter: Words = [1, 0xfffffffe, 0x80000000, 0x7fffffff];
  let key: [number, number] = [0x0000ffff, 0xffff0000];
  for (let trial = 0; trial < 500; trial++) {
    const answer = philox(counter, key);
    assert.deepEqual(answer, philoxByDefinition(counter, key));
    key = [answer[3], counter[0]];
    counter = answer;
  }
});

Deno.test("Random puts seed, element, sample, step and stream in their Philox words", () => {
  const random = new Random(0x0123456789abcdefn, Stream.Sampler);
  assert.deepEqual(random.key, [0x89abcdef, 0x01234567]);
  const words = philox([5, 17, 1000, 5], [0x89abcdef, 0x01234567]);
  for (let lane = 0; lane < 4; lane++) {
    assert.equal(random.bits(1000, 17, 20 + lane), words[lane]);
    assert.equal(random.uniform(1000, 17, 20 + lane), (words[lane]! + 0.5) / 2 ** 32);
  }
  const radius = Math.sqrt(-2 * Math.log((words[2] + 0.5) / 2 ** 32));
  const angle = 2 * Math.PI * (words[3] + 0.5) / 2 ** 32;
  assert.equal(random.normal(1000, 17, 22), radius * Math.cos(angle));
  assert.equal(random.normal(1000, 17, 23), radius * Math.sin(angle));
});

Deno.test("Random gives equal numbers for equal number and bigint seeds", () => {
  for (const seed of [0, 7, Number.MAX_SAFE_INTEGER]) {
    const one = new Random(seed, Stream.Init);
    const other = new Random(BigInt(seed), Stream.Init);
    assert.equal(one.bits(1, 2, 3), other.bits(1, 2, 3));
  }
});

Deno.test("Random refuses seeds and counters that do not fit", () => {
  new Random(2n ** 64n - 1n, Stream.Init);
  assert.throws(() => new Random(2n ** 64n, Stream.Init), RangeError);
  assert.throws(() => new Random(-1, Stream.Init), RangeError);
  assert.throws(() => new Random(0.5, Stream.Init), TypeError);
  assert.throws(() => new Random(NaN, Stream.Init), TypeError);
  const random = new Random(0, Stream.Init);
  random.uniform(2 ** 32 - 1, 2 ** 32 - 1, 2 ** 34 - 1);
  assert.throws(() => random.uniform(2 ** 32, 0, 0), /the step is 4294967296/);
  assert.throws(() => random.uniform(0, -1, 0), /the sample is -1/);
  assert.throws(() => random.uniform(0, 0, 2 ** 34), /the element is 17179869184/);
  assert.throws(() => random.normal(0, 0, 1.5), /the element is 1.5/);
  assert.throws(() => random.normal(0, 0, -1), /the element is -1/);
});

Deno.test("Random.fillUniform() and fillNormal() equal the single draws for every tail length", () => {
  const random = new Random(3, Stream.Noise);
  for (const length of [0, 1, 2, 3, 4, 5, 6, 7, 64]) {
    const normals = random.fillNormal(new Float32Array(length), { step: 9, sample: 4 });
    const uniforms = random.fillUniform(new Float32Array(length), { step: 9, sample: 4 });
    for (let element = 0; element < length; element++) {
      assert.equal(normals[element], Math.fround(random.normal(9, 4, element)));
      assert.equal(uniforms[element], Math.fround(random.uniform(9, 4, element)));
    }
  }
});

Deno.test("Random.fillUniform() stays below one where f32 rounds up to it", () => {
  // Found by search: the first step at which seed 0 draws a word above 2^32 - 128.
  const random = new Random(0, Stream.Noise);
  const step = 23_117_884;
  assert.equal(random.bits(step, 0, 0), 4_294_967_182);
  assert.equal(Math.fround(random.uniform(step, 0, 0)), 1);
  assert.equal(random.fillUniform(new Float32Array(1), { step, sample: 0 })[0], 1 - 2 ** -24);
});

Deno.test("Random.fillNormal() has the moments of a standard normal", () => {
  const count = 1 << 18;
  const values = new Random(11, Stream.Noise).fillNormal(new Float32Array(count), {
    step: 0,
    sample: 0,
  });
  const moments = [0, 0, 0, 0];
  let lag = 0;
  for (let index = 0; index < count; index++) {
    for (let power = 1; power <= 4; power++) moments[power - 1]! += values[index]! ** power / count;
    if (index > 0) lag += values[index]! * values[index - 1]! / count;
  }
  // Five standard errors: the k-th moment's variance is (E x^2k - (E x^k)^2) / count.
  const bounds = [1, 2, 15, 96].map((variance) => 5 * Math.sqrt(variance / count));
  assert.ok(Math.abs(moments[0]!) < bounds[0]!, `mean ${moments[0]}`);
  assert.ok(Math.abs(moments[1]! - 1) < bounds[1]!, `variance ${moments[1]}`);
  assert.ok(Math.abs(moments[2]!) < bounds[2]!, `third moment ${moments[2]}`);
  assert.ok(Math.abs(moments[3]! - 3) < bounds[3]!, `fourth moment ${moments[3]}`);
  assert.ok(Math.abs(lag) < bounds[0]!, `lag-one covariance ${lag}`);
});

Deno.test("Random streams, steps and samples are different numbers", () => {
  const seen = new Set<number>();
  for (const stream of Object.values(Stream)) {
    const random = new Random(1, stream);
    for (let step = 0; step < 4; step++) {
      for (let sample = 0; sample < 4; sample++) {
        for (let element = 0; element < 8; element++) seen.add(random.bits(step, sample, element));
      }
    }
  }
  assert.equal(seen.size, Object.keys(Stream).length * 4 * 4 * 8);
});

Deno.test("permutation() holds every number once, for sizes zero, one and many", () => {
  assert.deepEqual(permutation(0, 1, 0), new Uint32Array(0));
  assert.deepEqual(permutation(1, 1, 0), new Uint32Array([0]));
  for (const size of [2, 3, 97, 1000]) {
    const sorted = permutation(size, 5, 3).toSorted();
    assert.deepEqual(sorted, Uint32Array.from({ length: size }, (_, index) => index));
  }
});

Deno.test("permutation() repeats for equal seed and epoch and changes with either", () => {
  const order = permutation(100, 5, 3);
  assert.deepEqual(permutation(100, 5n, 3), order);
  assert.notDeepEqual(permutation(100, 5, 4), order);
  assert.notDeepEqual(permutation(100, 6, 3), order);
});

Deno.test("permutation() is uniform over the orders of four", () => {
  const counts = new Map<string, number>();
  const trials = 24_000;
  for (let epoch = 0; epoch < trials; epoch++) {
    const order = permutation(4, 99, epoch).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 24);
  let chiSquared = 0;
  for (const count of counts.values()) chiSquared += (count - 1000) ** 2 / 1000;
  // 23 degrees of freedom: mean 23, and 49.7 is exceeded with probability 0.001.
  assert.ok(chiSquared < 49.7, `chi squared ${chiSquared}`);
});

Deno.test("permutation() draws again for a word that would favour small numbers", () => {
  // The first word of this epoch is the least one beyond the largest multiple of the size.
  const size = 3013, epoch = 846_479, random = new Random(0, Stream.DataOrder);
  assert.equal(random.bits(epoch, 0, 0), 2 ** 32 - 2 ** 32 % size);
  assert.equal(permutation(size, 0, epoch).at(-1), random.bits(epoch, 0, 1) % size);
});

Deno.test("permutation() refuses sizes and epochs that are not u32", () => {
  assert.throws(() => permutation(-1, 0, 0), RangeError);
  assert.throws(() => permutation(2.5, 0, 0), RangeError);
  assert.throws(() => permutation(3, 0, -1), RangeError);
});
