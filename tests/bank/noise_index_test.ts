import assert from "node:assert/strict";
import { FullBank } from "../../bank/full_bank.ts";
import {
  indexByNoise,
  noiseFrequencies,
  noiseQuantiles,
  noiseScores,
} from "../../bank/noise_index.ts";
import { gpuTest } from "../_gpu.ts";

/** Noise of two pixels whose score is `score`. */
function noiseOf(...scores: number[]): Float32Array {
  return Float32Array.from(scores.flatMap((score) => [score / Math.SQRT2, score / Math.SQRT2]));
}

Deno.test("noiseScores() are means of unit variance", () => {
  const [first, second] = noiseScores(Float32Array.of(1, 2, 3, 4, -1, -2, -3, -4), 2);
  assert.equal(first, 5);
  assert.equal(second, -5);
  assert.deepEqual([...noiseScores(Float32Array.of(3, -1), 2)], [3, -1]);
});

Deno.test("noiseQuantiles() are those of the standard normal distribution", () => {
  // Values of Φ as tables of the error function have them.
  const known = [
    [0, 0.5],
    [1, 0.8413447460685429],
    [-1, 0.15865525393145705],
    [1.9599639845400545, 0.975],
    [3, 0.9986501019683699],
    [-3.5, 0.00023262907903552502],
    [3.5, 0.9997673709209645],
    [6, 0.9999999990134123],
    [-10, 7.619853024160527e-24],
    [50, 1],
    [-50, 0],
  ] as const;
  const quantiles = noiseQuantiles(noiseOf(...known.map(([score]) => score)), known.length);
  for (const [i, [score, expected]] of known.entries()) {
    // Scores pass through float32, where the density times |score| is the relative error's factor.
    const bound = 1e-7 * Math.max(1, score * score) * Math.max(expected, 1e-30);
    assert.ok(Math.abs(quantiles[i]! - expected) <= bound, `${score}: ${quantiles[i]}`);
  }
});

Deno.test("indexByNoise() chooses each snippet as often as its frequency says", () => {
  // Quantiles 1/16, 3/16, ... of the normal distribution.
  const scores = [-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534];
  const options = { count: scores.length };
  assert.deepEqual(
    [...indexByNoise(noiseOf(...scores), { ...options, frequencies: [1, 1, 1, 1] })],
    [0, 0, 1, 1, 2, 2, 3, 3],
  );
  assert.deepEqual(
    [...indexByNoise(noiseOf(...scores), { ...options, frequencies: [0, 3, 0, 1, 0] })],
    [1, 1, 1, 1, 1, 1, 3, 3],
  );
});

Deno.test("indexByNoise() never goes past the first and last snippets of any frequency", () => {
  const noise = noiseOf(50, -50);
  assert.deepEqual([...indexByNoise(noise, { count: 2, frequencies: [2, 5, 0] })], [1, 0]);
  assert.deepEqual([...indexByNoise(noise, { count: 2, frequencies: [0, 2, 5] })], [2, 1]);
});

Deno.test("indexByNoise() refuses noise that is not whole images and frequencies of no meaning", () => {
  for (const size of [0, 5]) {
    assert.throws(() => indexByNoise(new Float32Array(size), { count: 2, frequencies: [1] }), {
      name: "TypeError",
      message: `Cannot score noise of ${size} values: expected 2 images of equal size`,
    });
  }
  for (const frequencies of [[1, -1], [NaN], [Infinity], [0, 0], []]) {
    assert.throws(() => indexByNoise(noiseOf(0), { count: 1, frequencies }), RangeError);
  }
});

gpuTest("noiseFrequencies() are those of the bank, or all equal", (device) => {
  const noise = noiseOf(-1.5, -0.2, 1.5);
  const bank = { dim: 2, snippets: Float32Array.of(1, 0, 0, 1, -1, 0) };
  for (const [frequencies, want] of [[undefined, [0, 1, 2]], [[0, 1, 9], [1, 2, 2]]] as const) {
    using full = FullBank.from(device, { ...bank, frequencies });
    const options = { count: 3, frequencies: noiseFrequencies(full) };
    assert.deepEqual([...indexByNoise(noise, options)], want);
    full.addExternal(Float32Array.of(0, -1));
    assert.deepEqual(full.frequencies && [...full.frequencies], frequencies && [...frequencies, 1]);
  }
});
