import assert from "node:assert/strict";
import { Moments } from "../../bank/moments.ts";
import { projectRows } from "../../bank/projection.ts";
import { assertClose, randomValues } from "../_check_op.ts";

/** Mean and covariance of rows, as a textbook has them. */
function reference(
  rows: Float32Array,
  dim: number,
): { mean: Float64Array; covariance: Float64Array } {
  const count = rows.length / dim;
  const mean = new Float64Array(dim), covariance = new Float64Array(dim * dim);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < dim; i++) mean[i]! += rows[row * dim + i]! / count;
  }
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < dim; i++) {
      for (let j = 0; j < dim; j++) {
        covariance[i * dim + j]! += (rows[row * dim + i]! - mean[i]!) *
          (rows[row * dim + j]! - mean[j]!) / count;
      }
    }
  }
  return { mean, covariance };
}

Deno.test("Moments matches the reference for odd lengths and batches of any size", () => {
  for (
    const [dim, batches] of [[1, [3]], [2, [1, 4]], [5, [0, 4, 4]], [7, [9, 1, 2]], [8, [
      13,
    ]]] as const
  ) {
    const count = batches.reduce((sum: number, batch) => sum + batch, 0);
    const rows = new Float32Array(randomValues([count, dim], dim));
    const moments = new Moments(dim);
    let first = 0;
    for (const batch of batches) {
      moments.add(rows.subarray(first * dim, (first + batch) * dim));
      first += batch;
    }
    const { mean, covariance } = reference(rows, dim);
    assert.equal(moments.count, count);
    assertClose(moments.mean(), mean, { tolerance: 1e-14, name: `mean ${dim}` });
    assertClose(moments.covariance(), covariance, { tolerance: 1e-14, name: `covariance ${dim}` });
  }
});

Deno.test("Moments keeps the digits of a small spread around a large mean", () => {
  const rows = new Float32Array(randomValues([50, 3], 1)).map((value) => 1e4 + value);
  const moments = new Moments(3);
  moments.add(rows);
  // Without the shift, 1e8 would be cancelled from sums whose differences are below 1.
  assertClose(moments.covariance(), reference(rows, 3).covariance, {
    tolerance: 1e-12,
    name: "far",
  });
});

Deno.test("Moments.add() throws on values that are not whole rows", () => {
  assert.throws(() => new Moments(3).add(new Float32Array(4)), {
    name: "TypeError",
    message: "Cannot add rows of 4 values: expected a multiple of the length 3",
  });
});

Deno.test("projectRows() centres rows and takes their products with the directions", () => {
  const projected = projectRows(Float32Array.of(1, 2, 3, 4), {
    mean: Float64Array.of(1, 1),
    directions: Float64Array.of(1, 0, 0, 2, 1, 1),
  });
  assert.deepEqual([...projected], [0, 2, 1, 2, 6, 5]);
});

Deno.test("projectRows() throws on sizes that do not fit", () => {
  const mean = new Float64Array(2), directions = new Float64Array(4);
  assert.throws(() => projectRows(new Float32Array(3), { mean, directions }), TypeError);
  assert.throws(
    () => projectRows(new Float32Array(2), { mean, directions: new Float64Array(3) }),
    TypeError,
  );
});
