import assert from "node:assert/strict";
import { frechetDistance, GaussianStatistics } from "../../evaluate/frechet.ts";
import { testNumbers } from "../_check_op.ts";

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
  assert.deepEqual([...whole.mean()], [4, 14 / 3]);
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
});
