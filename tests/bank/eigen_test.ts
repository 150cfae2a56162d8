import assert from "node:assert/strict";
import { symmetricEigen } from "../../bank/eigen.ts";
import { assertClose, randomValues } from "../_check_op.ts";

Deno.test("symmetricEigen() finds A = Vᵀ diag(values) V with orthonormal rows, largest first", () => {
  for (const n of [1, 2, 7, 40]) {
    const half = randomValues([n, n], n), matrix = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) matrix[i * n + j] = half[i * n + j]! + half[j * n + i]!;
    }
    const { values, vectors } = symmetricEigen(matrix, n);
    assert.deepEqual(values, values.toSorted((a, b) => b - a));
    const rebuilt = new Float64Array(n * n), products = new Float64Array(n * n);
    const identity = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      identity[i * n + i] = 1;
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) {
          rebuilt[i * n + j]! += vectors[k * n + i]! * values[k]! * vectors[k * n + j]!;
          products[i * n + j]! += vectors[i * n + k]! * vectors[j * n + k]!;
        }
      }
    }
    // Roundings of float64 in sums of n products and in as many rotations.
    assertClose(rebuilt, matrix, { tolerance: 1e-14 * n, name: `rebuilt ${n}` });
    assertClose(products, identity, { tolerance: 1e-14 * n, name: `orthonormal ${n}` });
    for (let row = 0; row < n; row++) {
      const vector = vectors.subarray(row * n, (row + 1) * n);
      assert.ok(Math.max(...vector) === Math.max(...vector.map(Math.abs)), `${vector}`);
    }
  }
});

Deno.test("symmetricEigen() knows the values of a matrix of two rows", () => {
  const { values } = symmetricEigen(Float64Array.of(2, -1, -1, 2), 2);
  assertClose(values, [3, 1], { tolerance: 1e-15, name: "values" });
});

Deno.test("symmetricEigen() takes the values below the diagonal where both sides differ", () => {
  const matrix = Float64Array.of(2, -1, -1, 2);
  const apart = Float64Array.of(2, -1 + 1e-9, -1, 2);
  assert.deepEqual(symmetricEigen(apart, 2), symmetricEigen(matrix, 2));
});

Deno.test("symmetricEigen() throws on wrong sizes and on values that are not finite", () => {
  assert.throws(() => symmetricEigen(new Float64Array(5), 2), {
    name: "TypeError",
    message: "Cannot decompose a matrix of 5 values: expected 4 for [2, 2]",
  });
  assert.throws(() => symmetricEigen(Float64Array.of(1, NaN, NaN, 1), 2), RangeError);
});
