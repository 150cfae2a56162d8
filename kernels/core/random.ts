/**
 * Counter-based random numbers: Philox4x32-10, the same bits on the CPU and, through
 * `common/philox.wgsl.ts`, on the GPU.
 *
 * A number is a pure function of (seed, stream, step, sample, element): nothing has to be saved to
 * resume a run, and image 17 sees the same noise whatever the batch size is.
 *
 * @module
 */

/**
 * The independent random streams of a run; the last word of the Philox counter.
 *
 * @example
 * ```ts
 * import { Random, Stream } from "@gmem/gmem/kernels";
 *
 * const noise = new Random(7, Stream.Noise);
 * noise.normal(0, 0, 0);
 * ```
 */
export const Stream: {
  /** Initial parameters. */
  readonly Init: 0;
  /** Order of the data in an epoch. */
  readonly DataOrder: 1;
  /** Times of a training step. */
  readonly Time: 2;
  /** Noise of a training step. */
  readonly Noise: 3;
  /** Masks and noise of the snippets. */
  readonly SnippetMask: 4;
  /** Starting noise and diffusion of a sampler. */
  readonly Sampler: 5;
  /** Label dropout and label choice. */
  readonly Label: 6;
  /** Which images are mirrored. */
  readonly Flip: 7;
  /** Rows of a resampling, by which intervals are found. */
  readonly Bootstrap: 8;
  /** Samples of what a tokenizer makes of an image. */
  readonly Posterior: 9;
} = {
  Init: 0,
  DataOrder: 1,
  Time: 2,
  Noise: 3,
  SnippetMask: 4,
  Sampler: 5,
  Label: 6,
  Flip: 7,
  Bootstrap: 8,
  Posterior: 9,
};

/** One of the values of {@linkcode Stream}. */
export type Stream = (typeof Stream)[keyof typeof Stream];

/** Which numbers {@linkcode Random.fillUniform} and {@linkcode Random.fillNormal} draw. */
export interface FillOptions {
  /** Training or sampling step, below 2^32. */
  readonly step: number;
  /** Identity of the sample, below 2^32. */
  readonly sample: number;
}

const TWO_POWER_32 = 2 ** 32;

/** The largest f32 below one, which keeps rounded uniforms inside the open interval. */
const LARGEST_BELOW_ONE = 1 - 2 ** -24;

/** High 32 bits of the 64-bit product of two u32, from 16-bit halves: no partial sum exceeds 2^32. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + (middle >>> 16) + (carry >>> 16);
}

/** Ten Philox rounds on `words` in place; `words` has four u32. */
function scramble(words: Uint32Array, keyLow: number, keyHigh: number): void {
  let c0 = words[0]!, c1 = words[1]!, c2 = words[2]!, c3 = words[3]!;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c0 = (high1 ^ c1 ^ keyLow) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ keyHigh) >>> 0;
    c3 = low0;
    keyLow = (keyLow + 0x9e3779b9) >>> 0;
    keyHigh = (keyHigh + 0xbb67ae85) >>> 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/**
 * Returns the four u32 that Philox4x32-10 makes of a counter and a key (Salmon et al., "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011). Words are taken modulo 2^32.
 *
 * @example
 * ```ts
 * import { philox } from "@gmem/gmem/kernels";
 *
 * console.log(philox([0, 0, 0, 0], [0, 0])[0].toString(16)); // 6627e8d5
 * ```
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  const words = Uint32Array.from(counter);
  scramble(words, key[0] >>> 0, key[1] >>> 0);
  return [words[0]!, words[1]!, words[2]!, words[3]!];
}

function splitSeed(seed: number | bigint): [number, number] {
  if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
    throw new TypeError(
      `Cannot make random numbers: the seed is ${seed}, expected a safe integer or a bigint`,
    );
  }
  const wide = BigInt(seed);
  if (wide < 0n || wide >= 1n << 64n) {
    throw new RangeError(
      `Cannot make random numbers: the seed is ${seed}, expected 0 <= seed < 2^64`,
    );
  }
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}

function checkWord(value: number, name: string): void {
  if (value >>> 0 !== value) {
    throw new RangeError(
      `Cannot make random numbers: the ${name} is ${value}, expected an integer with ` +
        `0 <= ${name} < 2^32`,
    );
  }
}

/**
 * The middle of the u32's cell of the unit interval, (x + ½) / 2^32: never 0, never 1, so that its
 * logarithm is finite.
 */
function unit(word: number): number {
  return (word + 0.5) / TWO_POWER_32;
}

/**
 * Random numbers of one seed and one stream.
 *
 * The key is the seed (low word, high word) and the counter is (element ÷ 4, sample, step, stream);
 * elements 4k … 4k + 3 are the four words of a counter.
 *
 * @example
 * ```ts
 * import { Random, Stream } from "@gmem/gmem/kernels";
 *
 * const random = new Random(42, Stream.Noise);
 * const noise = random.fillNormal(new Float32Array(3 * 32 * 32), { step: 0, sample: 17 });
 * console.log(noise[5] === Math.fround(random.normal(0, 17, 5))); // true
 * ```
 */
export class Random {
  /** The Philox key: the low and the high word of the seed. */
  readonly key: readonly [number, number];
  /** The stream: the last word of every counter. */
  readonly stream: Stream;
  #words: Uint32Array = new Uint32Array(4);

  /**
   * Selects the stream of a seed.
   *
   * Throws a TypeError for a seed that is not an integer and a RangeError for one outside
   * 0 <= seed < 2^64.
   */
  constructor(seed: number | bigint, stream: Stream) {
    this.key = splitSeed(seed);
    this.stream = stream;
  }

  #draw(step: number, sample: number, element: number): Uint32Array {
    checkWord(step, "step");
    checkWord(sample, "sample");
    const block = Math.floor(element / 4);
    if (!Number.isInteger(element) || block >>> 0 !== block) {
      throw new RangeError(
        `Cannot make random numbers: the element is ${element}, expected an integer with ` +
          "0 <= element < 2^34",
      );
    }
    const words = this.#words;
    words[0] = block;
    words[1] = sample;
    words[2] = step;
    words[3] = this.stream;
    scramble(words, this.key[0], this.key[1]);
    return words;
  }

  /**
   * Returns the random u32 at (step, sample, element).
   *
   * Throws a RangeError unless step and sample are integers below 2^32 and element is one below 2^34.
   */
  bits(step: number, sample: number, element: number): number {
    return this.#draw(step, sample, element)[element % 4]!;
  }

  /**
   * Returns the uniform number at (step, sample, element): 0 < u < 1, in float64 with 32 random
   * bits.
   *
   * Throws a RangeError unless step and sample are integers below 2^32 and element is one below 2^34.
   */
  uniform(step: number, sample: number, element: number): number {
    return unit(this.bits(step, sample, element));
  }

  /**
   * Returns the standard normal number at (step, sample, element) in float64, by Box and Muller:
   * r = √(−2 ln u₁), (r cos 2πu₂, r sin 2πu₂), with elements (0, 1) and (2, 3) of a counter as
   * pairs. Its magnitude stays below 6.77, as u₁ has 32 bits.
   *
   * Throws a RangeError unless step and sample are integers below 2^32 and element is one below 2^34.
   */
  normal(step: number, sample: number, element: number): number {
    const words = this.#draw(step, sample, element);
    const pair = element % 4 & 2;
    const radius = Math.sqrt(-2 * Math.log(unit(words[pair]!)));
    const angle = 2 * Math.PI * unit(words[pair + 1]!);
    return radius * (element % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  }

  /**
   * Fills `out` with the uniform numbers of elements 0 … out.length − 1, rounded to f32 and kept
   * below 1, and returns it.
   *
   * Throws a RangeError unless step and sample are integers below 2^32.
   */
  fillUniform(out: Float32Array, options: FillOptions): Float32Array {
    for (let start = 0; start < out.length; start += 4) {
      const words = this.#draw(options.step, options.sample, start);
      const count = Math.min(4, out.length - start);
      for (let lane = 0; lane < count; lane++) {
        out[start + lane] = Math.min(unit(words[lane]!), LARGEST_BELOW_ONE);
      }
    }
    return out;
  }

  /**
   * Fills `out` with the normal numbers of elements 0 … out.length − 1, rounded to f32, and returns
   * it.
   *
   * Throws a RangeError unless step and sample are integers below 2^32.
   */
  fillNormal(out: Float32Array, options: FillOptions): Float32Array {
    for (let start = 0; start < out.length; start += 4) {
      const words = this.#draw(options.step, options.sample, start);
      const count = Math.min(4, out.length - start);
      for (let pair = 0; pair < count; pair += 2) {
        const radius = Math.sqrt(-2 * Math.log(unit(words[pair]!)));
        const angle = 2 * Math.PI * unit(words[pair + 1]!);
        out[start + pair] = radius * Math.cos(angle);
        if (pair + 1 < count) out[start + pair + 1] = radius * Math.sin(angle);
      }
    }
    return out;
  }
}

/**
 * Returns the numbers 0 … size − 1 in the random order of an epoch: a Fisher–Yates shuffle whose
 * draws reject the words that would favour small numbers, so every order is equally likely.
 *
 * Throws a RangeError unless 0 <= size < 2^32 and epoch is an integer below 2^32, and what
 * {@linkcode Random} throws for the seed.
 *
 * @example
 * ```ts
 * import { permutation } from "@gmem/gmem/kernels";
 *
 * console.log(permutation(4, 42, 0)); // Uint32Array(4) [ 2, 1, 3, 0 ]
 * ```
 */
export function permutation(size: number, seed: number | bigint, epoch: number): Uint32Array {
  checkWord(size, "size");
  checkWord(epoch, "epoch");
  const random = new Random(seed, Stream.DataOrder);
  const order = new Uint32Array(size);
  for (let index = 0; index < size; index++) order[index] = index;
  let element = 0;
  for (let last = size - 1; last > 0; last--) {
    const choices = last + 1;
    const limit = TWO_POWER_32 - TWO_POWER_32 % choices;
    let word = random.bits(epoch, 0, element++);
    while (word >= limit) word = random.bits(epoch, 0, element++);
    const other = word % choices;
    const kept = order[last]!;
    order[last] = order[other]!;
    order[other] = kept;
  }
  return order;
}
