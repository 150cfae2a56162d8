import assert from "node:assert/strict";
import { Tape } from "../../kernels/core/tape.ts";
import { FORWARD, qkNorm } from "../../kernels/qk_norm/mod.ts";
import { qkNormReference } from "../../kernels/qk_norm/reference.ts";
import { checkOp, randomValues, sumTolerance } from "../_check_op.ts";
import { gpuTest, variantTest } from "../_gpu.ts";

/** Around the chunk of 256 heads that one invocation sums, past a row of a texture, and the widest heads. */
const SIZES = [
  { batch: 1, tokens: 1, heads: 1, headWidth: 1 },
  { batch: 2, tokens: 3, heads: 5, headWidth: 7 },
  { batch: 1, tokens: 17, heads: 15, headWidth: 6 },
  { batch: 2, tokens: 64, heads: 2, headWidth: 5 },
  { batch: 1, tokens: 257, heads: 1, headWidth: 8 },
  { batch: 1, tokens: 16, heads: 6, headWidth: 64 },
  { batch: 1, tokens: 3, heads: 2, headWidth: 72 },
  { batch: 1, tokens: 1, heads: 1, headWidth: 4100 },
  { batch: 1, tokens: 1, heads: 1, headWidth: 16_383 },
];

for (const kind of ["rms", "layer"]) {
  variantTest(`qkNorm() and its gradients match the reference, ${kind}`, {
    op: "qkNorm",
    among: FORWARD,
    async run(device, variant) {
      const layer = kind === "layer", epsilon = layer ? 1e-5 : 1e-6;
      for (const { batch, tokens, heads, headWidth } of SIZES) {
        // Head widths that are no multiple of 4 have the scalar kernels alone, whichever are asked for.
        if (variant !== "scalar" && headWidth === 16_383) continue;
        const shape = [batch, tokens, 3 * heads * headWidth], parameter = [headWidth];
        const qkv = randomValues(shape, 17);
        // Roundings of x grow with the inverse of a head's deviation.
        const growth = largestInverseDeviation(qkv, { headWidth, layer, epsilon });
        await checkOp(device, {
          name: `qkNorm ${kind} ${batch}x${tokens}x${heads}x${headWidth}`,
          inputs: {
            qkv: shape,
            queryWeight: parameter,
            keyWeight: parameter,
            ...(layer && { queryBias: parameter, keyBias: parameter }),
          },
          values: { qkv },
          op: ({ qkv, queryWeight, keyWeight, queryBias, keyBias }) =>
            qkNorm(qkv!, {
              heads,
              queryWeight: queryWeight!,
              keyWeight: keyWeight!,
              queryBias,
              keyBias,
            }),
          reference: ({ qkv, queryWeight, keyWeight, queryBias, keyBias }) =>
            qkNormReference({
              qkv: qkv!,
              queryWeight: queryWeight!,
              keyWeight: keyWeight!,
              ...(layer && { queryBias: queryBias!, keyBias: keyBias! }),
            }, { heads, epsilon }),
          tolerance: {
            forward: sumTolerance(headWidth) * growth,
            backward: sumTolerance(Math.max(headWidth, batch * tokens * heads)) * growth,
          },
        });
      }
    },
  });
}

function largestInverseDeviation(
  qkv: Float64Array,
  options: { headWidth: number; layer: boolean; epsilon: number },
): number {
  const { headWidth, layer, epsilon } = options;
  let largest = 1;
  for (let first = 0; first < qkv.length; first += headWidth) {
    const x = qkv.subarray(first, first + headWidth);
    const mean = layer ? x.reduce((sum, value) => sum + value, 0) / headWidth : 0;
    const square = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / headWidth;
    largest = Math.max(largest, 1 / Math.sqrt(square + epsilon));
  }
  return largest;
}

gpuTest("qkNorm() keeps its result alone, in no scope either", (device) => {
  using qkv = device.tensor(new Float32Array(2 * 5 * 24), [2, 5, 24]);
  using weight = device.tensor(new Float32Array(4), [4]);
  qkNorm(qkv, { heads: 2, queryWeight: weight, keyWeight: weight }).dispose();
});

gpuTest("qkNorm() takes another epsilon", async (device) => {
  const parameters = [1, 1];
  await checkOp(device, {
    name: "qkNorm epsilon",
    inputs: { qkv: [1, 1, 6] },
    gradients: [],
    op: ({ qkv }) => {
      const weight = device.tensor(Float32Array.from(parameters), [2]);
      return qkNorm(qkv!, { heads: 1, queryWeight: weight, keyWeight: weight, epsilon: 0.5 });
    },
    reference: ({ qkv }) => {
      const weight = Float64Array.from(parameters);
      const values = { qkv: qkv!, queryWeight: weight, keyWeight: weight };
      return qkNormReference(values, { heads: 1, epsilon: 0.5 });
    },
    tolerance: { forward: sumTolerance(2) },
  });
});

gpuTest("qkNorm() counts more heads than a loop has rounds", async (device) => {
  // One loop over 70,000 would stop at 65,535 on some drivers without an error.
  const tokens = 70_000;
  using qkv = device.tensor(new Float32Array(3 * tokens).fill(1), [1, tokens, 3]);
  using dy = device.tensor(new Float32Array(3 * tokens).fill(1), [1, tokens, 3]);
  using weight = device.tensor(Float32Array.of(1), [1]);
  using queryBias = device.tensor(Float32Array.of(0), [1]);
  using keyBias = device.tensor(Float32Array.of(0), [1]);
  const tape = new Tape(device);
  tape.watch(queryBias);
  tape.watch(keyBias);
  using out = device.scope(() =>
    tape.record(() =>
      qkNorm(qkv, { heads: 1, queryWeight: weight, keyWeight: weight, queryBias, keyBias })
    )
  );
  tape.backwardFrom(out, dy);
  for (const bias of [queryBias, keyBias]) {
    using gradient = tape.gradient(bias);
    assert.deepEqual([...await gradient.read()], [tokens]);
  }
});

gpuTest("qkNorm() names what does not fit", (device) => {
  device.scope(() => {
    const qkv = device.empty([2, 4, 36]), weight = device.empty([6]);
    const weights = { queryWeight: weight, keyWeight: weight };
    qkNorm(qkv, { heads: 2, ...weights });
    assert.throws(() => qkNorm(qkv, { heads: 5, ...weights }), {
      name: "TypeError",
      message: "Cannot normalise [2, 4, 36] with 5 heads: expected [B, T, 3 x heads x head width]",
    });
    assert.throws(() => qkNorm(qkv, { heads: 3, ...weights }), {
      name: "TypeError",
      message: "Cannot normalise [2, 4, 36] with 3 heads by parameters [6]: expected [4]",
    });
    assert.throws(() => qkNorm(qkv, { heads: 2, ...weights, queryBias: weight }), {
      name: "TypeError",
      message: "Cannot normalise queries and keys: the bias of keys is missing",
    });
    assert.throws(() => qkNorm(qkv, { heads: 2, ...weights, epsilon: -5 }), {
      name: "RangeError",
      message: "Cannot normalise with epsilon -5: expected a number from 0",
    });
    const wide = device.empty([16_384]);
    const packed = device.empty([1, 1, 3 * wide.elements]);
    assert.throws(() => qkNorm(packed, { heads: 1, queryWeight: wide, keyWeight: wide }), {
      name: "RangeError",
      message: "Cannot normalise heads of 16384 channels: expected at most 16383",
    });
  });
});
