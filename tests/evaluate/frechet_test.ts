import assert from "node:assert/strict";
import {
  frechetDistance,
  FrechetReference,
  GaussianStatistics,
  knownGaussian,
} from "../../evaluate/frechet.ts";
import { selectRows } from "../../bank/select_rows.ts";
import { testNumbers } from "../_check_op.ts";
import { frechetReference, rowsOf } from "./_reference.ts";

/** Points whose mean and (unbiased, diagonal) covariance are exactly the given ones. */
function diagonal(mean: readonly number[], deviations: readonly number[]): GaussianStatistics {
  const dim = mean.length, points: number[] = [];
  const reach = Math.sqrt((2 * dim - 1) / 2);
  for (let axis = 0; axis < dim; axis++) {
    for (const sign of [-1, 1]) {
      for (let i = 0; i < dim; i++) {
        points.push(mean[i]! + (i === axis ? sign * reach * deviations[i]! : 0));
      }
    }
  }
  return new GaussianStatistics(dim).add(Float64Array.from(points));
}

Deno.test("frechetDistance() of diagonal Gaussians is the closed form", () => {
  const a = diagonal([0, 1, 2], [1, 2, 0.5]), b = diagonal([1, 1, 0], [3, 2, 0.25]);
  const want = 1 + 4 + (1 - 3) ** 2 + 0 + 0.25 ** 2;
  assert.ok(Math.abs(frechetDistance(a, b) - want) < 1e-12 * want, `${frechetDistance(a, b)}`);
});

Deno.test("frechetDistance() is symmetric, and zero for equal sets", () => {
  const next = testNumbers(1);
  const random = () =>
    new GaussianStatistics(5).add(Float64Array.from({ length: 200 }, () => next()));
  const a = random(), b = random();
  assert.ok(frechetDistance(a, a) < 1e-12);
  assert.ok(Math.abs(frechetDistance(a, b) - frechetDistance(b, a)) < 1e-12);
  assert.ok(frechetDistance(a, b) > 1e-3);
});

Deno.test("GaussianStatistics gives the unbiased covariance, however the vectors arrive", () => {
  const vectors = Float64Array.of(1, 2, 3, 5, 8, 7);
  const whole = new GaussianStatistics(2).add(vectors);
  const parts = new GaussianStatistics(2).add(vectors.subarray(0, 2)).add(vectors.subarray(2));
  assert.equal(whole.count, 3);
  for (const [i, want] of [4, 14 / 3].entries()) {
    assert.ok(Math.abs(whole.mean()[i]! - want) < 1e-14, `${whole.mean()}`);
  }
  // By hand: deviations (−3, −1, 4) and (−8/3, 1/3, 7/3).
  for (const [i, want] of [13, 8.5, 8.5, 19 / 3].entries()) {
    assert.ok(Math.abs(whole.covariance()[i]! - want) < 1e-12, `${whole.covariance()}`);
  }
  assert.deepEqual(whole.covariance(), parts.covariance());
});

Deno.test("GaussianStatistics and frechetDistance() refuse what cannot be compared", () => {
  assert.throws(() => new GaussianStatistics(2).add(Float64Array.of(1, 2, 3)), TypeError);
  assert.throws(
    () => new GaussianStatistics(2).add(Float64Array.of(1, 2)).covariance(),
    RangeError,
  );
  assert.throws(
    () => frechetDistance(new GaussianStatistics(2), new GaussianStatistics(3)),
    /vectors of 2 and of 3/,
  );
  for (const dim of [-1, 0, 1.5]) {
    assert.throws(() => new GaussianStatistics(dim), {
      name: "RangeError",
      message: `Cannot gather statistics: dim is ${dim}, expected a whole number from 1`,
    });
  }
});

Deno.test("frechetDistance() of rotated Gaussians is the closed form", () => {
  // Both covariances have the eigenvectors (c, s) and (−s, c), with 4, 1 and 9, 16.
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  const covariance = (along: number, across: number) =>
    Float64Array.of(
      along * c * c + across * s * s,
      (along - across) * c * s,
      (along - across) * c * s,
      along * s * s + across * c * c,
    );
  const a = knownGaussian({ mean: Float64Array.of(1, 2), covariance: covariance(4, 1) });
  const b = knownGaussian({ mean: Float64Array.of(1, 5), covariance: covariance(9, 16) });
  const want = 9 + (2 - 3) ** 2 + (1 - 4) ** 2;
  assert.ok(Math.abs(frechetDistance(a, b) - want) < 1e-12 * want);
});

Deno.test("frechetDistance() matches the root of a general matrix in float64", () => {
  const dim = 12, next = testNumbers(3);
  const random = (count: number, scale: number) =>
    Float64Array.from({ length: count * dim }, (_, i) => scale * (next() + 0.3 * (i % dim)));
  const [first, second] = [random(90, 1), random(150, 1.4)];
  const got = frechetDistance(
    new GaussianStatistics(dim).add(first),
    new GaussianStatistics(dim).add(second),
  );
  const want = frechetReference(rowsOf(first, dim), rowsOf(second, dim));
  // The iteration inverts a product of covariances: its condition is some hundreds.
  assert.ok(Math.abs(got - want) < 1e-9 * want, `${got} against ${want}`);
});

Deno.test("FrechetReference takes covariances that lack rank, as of fewer vectors than components", () => {
  const dim = 9, next = testNumbers(4);
  const few = Float64Array.from({ length: 4 * dim }, () => next());
  const many = Float64Array.from({ length: 60 * dim }, () => next());
  const [a, b] = [few, many].map((rows) => new GaussianStatistics(dim).add(rows)) as [
    GaussianStatistics,
    GaussianStatistics,
  ];
  const [there, back] = [
    new FrechetReference(a).distanceTo(b),
    new FrechetReference(b).distanceTo(a),
  ];
  // The roots of six eigenvalues that are zero but for rounding differ by 1e-8 each.
  assert.ok(Math.abs(there - back) < 1e-6, `${there} against ${back}`);
  assert.ok(there > 1);
});

Deno.test("distancesTo() is the distance to the statistics of all vectors, and of a choice of them", () => {
  const dim = 9;
  const vectors = (count: number, seed: number) => {
    const next = testNumbers(seed);
    // Means far from zero, components of which some follow others.
    return Float32Array.from({ length: count * dim }, (_, i) => 50 + next() + (i % dim) * next());
  };
  const statistics = (rows: Float32Array) => new GaussianStatistics(dim).add(rows);
  // 60 vectors span all dimensions, 5 only four of them: 4 and 3 are then few, 5 and 12 many.
  for (const [size, counts] of [[60, [2, 3, 8, 9, 10, 40]], [5, [3, 4, 5, 12]]] as const) {
    const reference = new FrechetReference(statistics(vectors(size, 1)));
    for (const count of counts) {
      const rows = vectors(count, 2), distance = reference.distancesTo(rows);
      const choices = [
        undefined,
        Uint32Array.from({ length: count }, (_, i) => Math.floor(i / 2)),
        Uint32Array.of(count - 1, 0, count - 1, count - 1),
      ];
      for (const indices of choices) {
        const chosen = indices ? selectRows(rows, { indices, width: dim }) : rows;
        const want = reference.distanceTo(statistics(chosen));
        // Roots of what rounding leaves of eigenvalues that are zero: 1e-8 of the largest each.
        assert.ok(Math.abs(distance(indices) - want) < 1e-6 * want, `${size}, ${count}: ${want}`);
      }
    }
  }
});

Deno.test("distancesTo() refuses parts of vectors, single ones, and what is not finite", () => {
  const reference = new FrechetReference(
    new GaussianStatistics(2).add(Float32Array.of(0, 1, 2, 0, 1, 1)),
  );
  assert.throws(() => reference.distancesTo(Float32Array.of(1)), /1 values: expected vectors of 2/);
  assert.throws(() => reference.distancesTo(Float32Array.of(1, 2, 3, NaN)), /image 1: component 1/);
  for (const size of [2, 6]) {
    const distance = reference.distancesTo(new Float32Array(2 * size));
    assert.throws(() => distance(Uint32Array.of(0)), {
      name: "RangeError",
      message: "Cannot give a covariance of 1 vector: expected two",
    });
    assert.throws(() => distance(Uint32Array.of(0, size, 1)), {
      name: "RangeError",
      message: `Cannot choose vector ${size}: expected an index below ${size}`,
    });
  }
});

Deno.test("knownGaussian() and GaussianStatistics refuse what is not finite or does not fit", () => {
  const mean = Float64Array.of(0, 0);
  const known = (...covariance: number[]) =>
    knownGaussian({ mean, covariance: Float64Array.from(covariance) });
  assert.throws(() => known(1, 0, 0), /covariance of 3 values with a mean of 2/);
  const none = new Float64Array();
  assert.throws(
    () => knownGaussian({ mean: none, covariance: none }),
    /covariance of 0 values with a mean of 0: expected d² and d, at least 1$/,
  );
  assert.throws(() => known(1, NaN, NaN, 1), /covariance that holds NaN at 1/);
  assert.throws(() => known(1, 0.5, 0.25, 1), /expected a symmetric matrix/);
  assert.throws(() => known(1e-9, 5e-10, 2e-10, 1e-9), /expected a symmetric matrix/);
  assert.equal(known(1, 0.5 + 1e-7, 0.5, 1).dim, 2);
  assert.throws(
    () => new GaussianStatistics(2).add(Float32Array.of(1, 2)).add(Float32Array.of(3, Infinity)),
    /image 1: component 1 is Infinity/,
  );
});
