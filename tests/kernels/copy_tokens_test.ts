import assert from "node:assert/strict";
import { ParameterStore } from "../../kernels/core/parameter_store.ts";
import { Tape } from "../../kernels/core/tape.ts";
import { concatenateTokens, sliceTokens } from "../../kernels/copy_tokens/mod.ts";
import {
  concatenateTokensReference,
  sliceTokensReference,
} from "../../kernels/copy_tokens/reference.ts";
import { meanSquare } from "../../kernels/mean_square/mod.ts";
import { checkOp, ROUNDING } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

gpuTest("concatenateTokens() and its gradients match the reference", async (device) => {
  for (
    const { batch, lengths, width } of [
      { batch: 1, lengths: [1], width: 1 },
      { batch: 3, lengths: [1, 5], width: 7 },
      { batch: 2, lengths: [64, 1, 16], width: 64 },
    ]
  ) {
    const inputs = Object.fromEntries(
      lengths.map((length, i) => [`x${i}`, [batch, length, width]]),
    );
    await checkOp(device, {
      name: `concatenateTokens ${batch} [${lengths}] ${width}`,
      inputs,
      op: (tensors) => concatenateTokens(Object.values(tensors)),
      reference: (values) =>
        concatenateTokensReference(
          lengths.map((tokens, i) => ({ values: values[`x${i}`]!, tokens })),
          { batch, width },
        ),
      // Nothing is rounded but the sum of a gradient that accumulates.
      tolerance: { forward: 0, backward: ROUNDING },
    });
  }
});

gpuTest("concatenateTokens() of a sequence with itself adds both gradients", async (device) => {
  await checkOp(device, {
    name: "concatenateTokens twice",
    inputs: { x: [2, 3, 5] },
    op: ({ x }) => concatenateTokens([x!, x!]),
    reference: ({ x }) => {
      const sequence = { values: x!, tokens: 3 };
      return concatenateTokensReference([sequence, sequence], { batch: 2, width: 5 });
    },
    tolerance: { forward: 0, backward: 2 * ROUNDING },
  });
});

gpuTest("sliceTokens() and its gradient match the reference", async (device) => {
  for (
    const { shape, first, count } of [
      { shape: [1, 1, 1], first: 0, count: 1 },
      { shape: [3, 5, 7], first: 4, count: 1 },
      { shape: [3, 5, 7], first: 1, count: 3 },
      { shape: [2, 80, 64], first: 16, count: 64 },
    ] as const
  ) {
    const [, tokens, width] = shape;
    await checkOp(device, {
      name: `sliceTokens [${shape}] ${first} ${count}`,
      inputs: { x: shape },
      op: ({ x }) => sliceTokens(x!, { first, count }),
      reference: ({ x }) => sliceTokensReference({ values: x!, tokens }, { first, count, width }),
      tolerance: { forward: 0, backward: ROUNDING },
    });
  }
});

gpuTest("tokens that are learned get a gradient in every sample of a sequence", async (device) => {
  using store = new ParameterStore(device);
  const learned = store.parameter("learned", [2, 1, 3], (values) => values.fill(1));
  // What lies behind the elements of a recycled buffer must not get into the slab.
  device.scope(() => {
    for (let i = 0; i < 8; i++) device.tensor(new Float32Array(64).fill(7), [64]);
  });
  device.scope(() => {
    const image = device.tensor(new Float32Array(12), [2, 2, 3]), tape = new Tape(device);
    tape.backward(tape.record(() => {
      const tokens = concatenateTokens([learned, image]);
      return meanSquare(
        sliceTokens(tokens, { first: 0, count: 1 }),
        device.tensor(new Float32Array(6), [2, 1, 3]),
      );
    }));
  });
  // 2 · 1 / 6 each, and nothing beside them in the slab.
  const slab = [...await store.gradients[0]!.read()];
  assert.deepEqual(slab.slice(6), Array(slab.length - 6).fill(0));
  for (const value of slab.slice(0, 6)) assert.ok(Math.abs(value - 1 / 3) < ROUNDING);
});

gpuTest(
  "concatenateTokens() and sliceTokens() refuse shapes and tokens that do not fit",
  (device) => {
    device.scope(() => {
      const x = device.empty([2, 3, 4]);
      for (
        const [others, said] of [
          [[], "no sequence"],
          [[device.empty([2, 4])], "[2, 4]"],
          [[device.empty([2, 3, 4, 1])], "[2, 3, 4, 1]"],
          [[x, device.empty([1, 3, 4])], "[2, 3, 4], [1, 3, 4]"],
          [[x, device.empty([2, 3, 5])], "[2, 3, 4], [2, 3, 5]"],
        ] as const
      ) {
        assert.throws(() => concatenateTokens(others), {
          name: "TypeError",
          message:
            `Cannot concatenate the tokens of ${said}: expected [B, T, D] of one B and one D`,
        });
      }
      assert.throws(() => sliceTokens(device.empty([2, 4]), { first: 0, count: 1 }), {
        name: "TypeError",
        message: "Cannot slice the tokens of [2, 4]: expected [B, T, D]",
      });
      for (
        const [first, count] of [[-1, 1], [0, 0], [2, 2], [0.5, 1], [0, 1.5], [NaN, 1]] as const
      ) {
        assert.throws(() => sliceTokens(x, { first, count }), {
          name: "RangeError",
          message:
            `Cannot slice ${count} tokens from ${first} on of [2, 3, 4]: expected tokens from 0 to 2`,
        });
      }
    });
  },
);
