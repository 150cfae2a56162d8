/**
 * The text encoder that needs no download.
 *
 * @module
 */

import type { EncoderDescription } from "./encoder.ts";
import type { TextVectorEncoder } from "./text_encoder.ts";

const KIND = "hashed_ngrams";

/** Length of a vector: a power of two, so that the low bits of a hash are a place. */
const DIM = 1024;

/** Characters of the shortest and of the longest n-gram. */
const SHORTEST = 3, LONGEST = 5;

/** What a word is: anything but space and punctuation, so that symbols count. */
const WORD = /[^\s\p{P}]+/gu;

const SIGN_BIT = 2 ** 31;

const UTF8 = new TextEncoder();

/**
 * Texts as the words and parts of words in them: every word, and every run of 3 to 5 characters of
 * `<word>`, is hashed to one of 1,024 numbers, to which it adds ±1 (a word) or ±1/√m (each of its m
 * runs); the sum is divided by its norm. Words count by their spelling alone: "kitten" is no nearer to
 * "cat" than to "car", but "cats" is near to "cat".
 *
 * Signs and places by hash are those of Weinberger et al., "Feature hashing for large scale multitask
 * learning" (2009), equation 3; the runs of `<word>` those of Bojanowski et al., "Enriching word vectors
 * with subword information" (2017), section 3.2. The hash is FNV-1a of 32 bits over UTF-8 (Fowler,
 * Noll and Vo): its low 10 bits are the place, its highest bit is the sign.
 *
 * @example
 * ```ts
 * import { HashedNgrams } from "@gmem/gmem";
 *
 * using encoder = new HashedNgrams();
 * const vectors = await encoder.encode(["cats", "cat", "car"]); // [3, 1024]
 * const [cats, cat, car] = [0, 1, 2].map((i) => vectors.subarray(1024 * i, 1024 * (i + 1)));
 * const cosine = (to: Float32Array) => cats!.reduce((sum, x, k) => sum + x * to[k]!, 0).toFixed(2);
 * console.log(cosine(cat!), cosine(car!)); // 0.28 0.05
 * ```
 */
export class HashedNgrams implements TextVectorEncoder {
  /** Length of a vector: 1,024. */
  readonly dim: number = DIM;
  /** How texts are taken apart; there are no weights. */
  readonly description: EncoderDescription = {
    kind: KIND,
    dim: DIM,
    fingerprint: "",
    preprocessing: { normalization: "NFKC", lowerCase: true },
    settings: { hash: "fnv-1a", shortest: SHORTEST, longest: LONGEST },
  };

  /**
   * Encodes n texts to vectors [n, 1024] of norm 1.
   *
   * Throws a RangeError that names the text if one has no word.
   */
  encode(texts: readonly string[]): Promise<Float32Array> {
    return Promise.try(() => {
      const vectors = new Float32Array(texts.length * DIM);
      for (const [i, text] of texts.entries()) vectors.set(vectorOf(text), i * DIM);
      return vectors;
    });
  }

  /** Does nothing: there is nothing to let go of. */
  [Symbol.dispose](): void {}
}

function vectorOf(text: string): Float64Array {
  const vector = new Float64Array(DIM);
  const words = text.normalize("NFKC").toLowerCase().match(WORD) ?? [];
  for (const word of words) {
    addFeature(vector, word, 1);
    const runs = runsOf(word);
    for (const run of runs) addFeature(vector, run, 1 / Math.sqrt(runs.length));
  }
  const norm = Math.hypot(...vector);
  // Features of opposite signs could cancel; no text of words has been seen to.
  if (norm === 0) {
    throw new RangeError(`Cannot encode the text ${JSON.stringify(text)}: expected a word in it`);
  }
  return vector.map((value) => value / norm);
}

/** The runs of 3 to 5 characters of `<word>`, without the whole. */
function runsOf(word: string): string[] {
  const characters = [...`<${word}>`], runs: string[] = [];
  for (let length = SHORTEST; length <= Math.min(LONGEST, characters.length - 1); length++) {
    for (let first = 0; first + length <= characters.length; first++) {
      runs.push(characters.slice(first, first + length).join(""));
    }
  }
  return runs;
}

function addFeature(vector: Float64Array, feature: string, weight: number): void {
  const hash = fnv1a(feature);
  vector[hash % DIM]! += hash >= SIGN_BIT ? -weight : weight;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of UTF8.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
