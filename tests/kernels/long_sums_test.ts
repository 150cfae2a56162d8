/**
 * Sums of a million ones, which are exact in float32. A CPU driver ends an invocation's loops after
 * 65,535 rounds in all without an error, so every reduction takes them in stages.
 */

import assert from "node:assert/strict";
import type { Device } from "../../kernels/core/device.ts";
import { Tape } from "../../kernels/core/tape.ts";
import type { Shape, Tensor } from "../../kernels/core/tensor.ts";
import { elementsOf } from "../../kernels/core/tensor.ts";
import { addRows } from "../../kernels/add_rows/mod.ts";
import { cosineLoss } from "../../kernels/cosine_loss/mod.ts";
import { globalNorm } from "../../kernels/global_norm/mod.ts";
import { layerNorm } from "../../kernels/layer_norm/mod.ts";
import { columnSumInto } from "../../kernels/linear/mod.ts";
import { matmulInto } from "../../kernels/matmul/mod.ts";
import { meanSquare } from "../../kernels/mean_square/mod.ts";
import { gate } from "../../kernels/modulate/mod.ts";
import { qkNorm } from "../../kernels/qk_norm/mod.ts";
import { rowSumInto } from "../../kernels/row_sum/mod.ts";
import { gpuTest } from "../_gpu.ts";

/** A power of two, so that means are exact, too. */
const MILLION = 2 ** 20;

function constant(device: Device, shape: Shape, value: number): Tensor {
  return device.tensor(new Float32Array(elementsOf(shape)).fill(value), shape);
}

/** The gradient of `watched` when every element of the result of `op` has the cotangent 1. */
async function gradientOf(watched: Tensor, op: () => Tensor): Promise<number[]> {
  const { device } = watched;
  const tape = new Tape(device);
  tape.watch(watched);
  using out = device.scope(() => tape.record(op));
  using dy = constant(device, out.shape, 1);
  tape.backwardFrom(out, dy);
  using gradient = tape.gradient(watched);
  return [...await gradient.read()];
}

gpuTest("rowSumInto() and columnSumInto() add a million ones", async (device) => {
  for (const [rows, columns] of [[1, MILLION], [MILLION, 1], [MILLION / 4, 4]] as const) {
    using x = constant(device, [rows, columns], 1);
    using sum = device.empty([1]);
    rowSumInto(sum, x);
    assert.deepEqual([...await sum.read()], [MILLION]);
    using sums = device.empty([columns]);
    if (rows > 1) {
      columnSumInto(sums, x);
      assert.deepEqual([...await sums.read()], new Array(columns).fill(rows));
    }
  }
});

gpuTest("matmulInto() adds a million ones, in fours and not", async (device) => {
  for (const [rows, K] of [[4, MILLION], [1, MILLION - 1]] as const) {
    using a = constant(device, [K, rows], 1), b = constant(device, [K, 4], 1);
    using out = device.empty([rows, 4]);
    matmulInto(out, a, b, { transposeA: true });
    assert.deepEqual([...await out.read()], new Array(4 * rows).fill(K));
  }
});

gpuTest(
  "matmulInto() stores odd rows after the longest sum of a CPU driver's tiles",
  async (device) => {
    const K = 8 * (65_535 - 80), rows = 3, columns = 5;
    using a = constant(device, [2, rows, K], 1), b = constant(device, [2, K, columns], 1);
    using out = device.empty([2, rows, columns]);
    matmulInto(out, a, b, { batch: 2 });
    assert.deepEqual([...await out.read()], new Array(2 * rows * columns).fill(K));
    using longer = constant(device, [2, rows, K + 8], 1),
      other = constant(device, [2, K + 8, columns], 1);
    const multiply = () => matmulInto(out, longer, other, { batch: 2 });
    if (device.profile.driver === "cpu") return assert.throws(multiply, RangeError);
    multiply();
    assert.deepEqual([...await out.read()], new Array(2 * rows * columns).fill(K + 8));
  },
);

gpuTest("meanSquare() averages a million ones", async (device) => {
  using x = constant(device, [1, MILLION], 1);
  using target = constant(device, [1, MILLION], 0);
  using loss = meanSquare(x, target);
  assert.deepEqual([...await loss.read()], [1]);
});

gpuTest("globalNorm() is the root of a million", async (device) => {
  using x = constant(device, [MILLION], 1);
  using norm = globalNorm([x]);
  assert.deepEqual([...await norm.read()], [1024, 1]);
});

gpuTest("cosineLoss() averages the angles of a million pixels", async (device) => {
  using x = constant(device, [1, 1, MILLION], 2);
  using opposite = constant(device, [1, 1, MILLION], -4);
  using loss = cosineLoss(x, opposite);
  assert.deepEqual([...await loss.read()], [2]);
});

gpuTest("gradients of what a million rows share count them all", async (device) => {
  for (const width of [1, 4]) {
    using x = constant(device, [1, MILLION, width], 1);
    using bias = constant(device, [width], 0);
    const all = new Array(width).fill(MILLION);
    assert.deepEqual(await gradientOf(bias, () => layerNorm(x, { bias })), all);
    using modulation = constant(device, [4, width], 0);
    const parts = x.reshape([4, MILLION / 4, width]);
    assert.deepEqual(
      await gradientOf(modulation, () => gate(parts, parts, { modulation, gate: 0 })),
      new Array(4 * width).fill(MILLION / 4),
    );
    parts.dispose();
    using table = constant(device, [1, width], 0);
    const batch = x.reshape([MILLION, 1, width]);
    assert.deepEqual(await gradientOf(table, () => addRows(batch, table)), all);
    batch.dispose();
  }
});

gpuTest("qkNorm() counts a million heads", async (device) => {
  const heads = 4, width = 4, tokens = MILLION / heads;
  using qkv = constant(device, [1, tokens, 3 * heads * width], 1);
  using weight = constant(device, [width], 1);
  using queryBias = constant(device, [width], 0);
  using keyBias = constant(device, [width], 0);
  const weights = { queryWeight: weight, keyWeight: weight, queryBias, keyBias };
  assert.deepEqual(
    await gradientOf(keyBias, () => qkNorm(qkv, { heads, ...weights })),
    new Array(width).fill(MILLION),
  );
});
