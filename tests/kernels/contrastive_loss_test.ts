import assert from "node:assert/strict";
import { contrastiveLoss } from "../../kernels/contrastive_loss/mod.ts";
import { contrastiveLossReference } from "../../kernels/contrastive_loss/reference.ts";
import { l2NormalizeReference } from "../../kernels/l2_normalize/reference.ts";
import { assertClose, checkOp, randomValues, ROUNDING, sumTolerance } from "../_check_op.ts";
import { gpuTest } from "../_gpu.ts";

/** Pairs [B, d] of unit vectors that are nearer to each other than to the rest, and a scale. */
function pairs(batch: number, options: { dim: number; scale: number }) {
  const { dim, scale } = options;
  const unit = (values: Float64Array) =>
    l2NormalizeReference(values, { width: dim }).map((value) => Math.fround(value));
  const a = randomValues([batch, dim], 5), noise = randomValues([batch, dim], 6);
  return {
    a: unit(a),
    b: unit(a.map((value, i) => value + noise[i]!)),
    logScale: Float64Array.of(Math.fround(Math.log(scale))),
  };
}

gpuTest("contrastiveLoss() and its gradients match the reference", async (device) => {
  const sizes = [[2, 3], [7, 5], [31, 33], [64, 16], [65, 24]] as const;
  for (const [batch, dim] of sizes) {
    for (const scale of [1, 1 / 0.07]) {
      // An error of a logit is one of the loss, and relative of every probability. The products are of
      // numbers below 1, the scale has the error of an exponential.
      const logit = scale * (sumTolerance(dim) + 16 * ROUNDING);
      await checkOp(device, {
        name: `contrastiveLoss ${batch}x${dim}, scale ${scale}`,
        inputs: { a: [batch, dim], b: [batch, dim], logScale: [1] },
        values: pairs(batch, { dim, scale }),
        op: ({ a, b, logScale }) => contrastiveLoss(a!, b!, logScale!),
        reference: ({ a, b, logScale }) =>
          contrastiveLossReference({ a: a!, b: b!, logScale: logScale! }, { batch }),
        // Losses above a fifth; gradients are differences of numbers up to four times their size.
        tolerance: { forward: 5 * logit, backward: 4 * logit + 8 * ROUNDING },
      });
    }
  }
});

gpuTest("contrastiveLoss() of large scales and of one pair is finite", async (device) => {
  // exp(500) is beyond f32, and within the float64 of the reference.
  const near = pairs(5, { dim: 4, scale: 500 });
  using logScale = device.tensor(new Float32Array(near.logScale), [1]);
  // The largest product of a line on the diagonal, and next to it.
  const next = near.b.map((_, i) => near.b[(i + 4) % 20]!);
  for (const values of [near, { ...near, b: next }]) {
    using a = device.tensor(new Float32Array(values.a), [5, 4]);
    using b = device.tensor(new Float32Array(values.b), [5, 4]);
    using loss = contrastiveLoss(a, b, logScale);
    assertClose(await loss.read(), contrastiveLossReference(values, { batch: 5 }), {
      tolerance: 500 * (sumTolerance(4) + 64 * ROUNDING),
      scale: 1,
      name: "loss",
    });
  }
  using one = device.tensor(Float32Array.of(0.6, 0.8), [1, 2]);
  using none = contrastiveLoss(one, one, logScale);
  // A pair that has nothing to be told from is always found.
  assert.deepEqual(await none.read(), Float32Array.of(0));
});

gpuTest("contrastiveLoss() names the shapes that do not fit", (device) => {
  device.scope(() => {
    const a = device.empty([2, 3]), scale = device.empty([1]);
    assert.throws(
      () => contrastiveLoss(a, device.empty([3, 2]), scale),
      /contrast \[2, 3\] with \[3, 2\] by scale \[1\]: expected equal/,
    );
    assert.throws(() => contrastiveLoss(a, a, device.empty([2])), /by scale \[2\]/);
    const many = device.empty([32768, 1]);
    assert.throws(() => contrastiveLoss(many, many, scale), /contrast 32768 pairs: expected/);
  });
});
