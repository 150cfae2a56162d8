import assert from "node:assert/strict";
import {
  Bootstrap,
  derive,
  difference,
  type Interval,
  intervalOf,
} from "../../claims/statistics.ts";
import { referenceTo } from "../../claims/laboratory.ts";
import { Random, Stream } from "../../kernels/core/random.ts";

const DIM = 3;

/** Vectors [count, 3] of a normal distribution with variance 1 about `mean` in every component. */
function normalRows(count: number, { mean, seed }: { mean: number; seed: number }): Float32Array {
  return new Random(seed, Stream.Noise)
    .fillNormal(new Float32Array(count * DIM), { step: 0, sample: 0 }).map((x) => x + mean);
}

function assertNear(value: number, expected: number, tolerance: number): void {
  assert(Math.abs(value - expected) <= tolerance, `${value} is not ${expected} ± ${tolerance}`);
}

function widthOf({ low, high }: Interval): number {
  return high - low;
}

Deno.test("Bootstrap.mean() gives the interval of the textbook", () => {
  const values = new Random(1, Stream.Noise)
    .fillNormal(new Float32Array(400), { step: 0, sample: 0 });
  const bootstrap = new Bootstrap({ units: 400, replicates: 2000, seed: 3 });
  const interval = intervalOf(bootstrap.mean(values));
  const mean = values.reduce((sum, x) => sum + x, 0) / 400;
  const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 400);
  assertNear(interval.value, mean, 1e-12);
  // 2000 replicates place a 2.5 % quantile to about 0.06 deviations of the mean, two of those here.
  const error = deviation / 20;
  assertNear(interval.low, mean - 1.96 * error, 0.12 * error);
  assertNear(interval.high, mean + 1.96 * error, 0.12 * error);
});

Deno.test("Bootstrap draws row by row from its stream, at places of the seed, the unit and their number", () => {
  const values = Float64Array.from({ length: 60 }, (_, i) => i);
  const random = new Random(3, Stream.Bootstrap);
  let sum = 0;
  for (let unit = 0; unit < 60; unit++) sum += Math.floor(60 * random.uniform(0, unit, 60));
  const { replicates } = new Bootstrap({ units: 60, replicates: 1, seed: 3 }).mean(values);
  assert.deepEqual([...replicates], [sum / 60]);
});

Deno.test("Bootstrap.frechet() lays its interval around the distance and holds what is known", () => {
  const reference = referenceTo(normalRows(20_000, { mean: 0, seed: 1 }), DIM);
  // |μ₁ − μ₂|² = 3 · 0.5² between equal covariances.
  const expected = 0.75;
  let covered = 0;
  for (let seed = 0; seed < 20; seed++) {
    const bootstrap = new Bootstrap({ units: 200, replicates: 100, seed });
    const rows = normalRows(200, { mean: 0.5, seed: 100 + seed });
    const estimate = bootstrap.frechet(rows, reference), interval = intervalOf(estimate);
    // What resampling adds to the distance is taken off, but for the roundings of a sum of 100.
    assertNear(estimate.replicates.reduce((sum, each) => sum + each) / 100, estimate.value, 1e-12);
    assert(interval.low < interval.value && interval.value < interval.high);
    if (interval.low < expected && expected < interval.high) covered++;
  }
  // 19 of 20 are expected; fewer than 16 has a chance of 3 in a thousand.
  assert(covered >= 16, `${covered} of 20 intervals hold the distance`);
});

Deno.test("Bootstrap.frechet() draws the vectors of a unit together", () => {
  const reference = referenceTo(normalRows(1000, { mean: 0, seed: 1 }), DIM);
  const single = normalRows(50, { mean: 0.3, seed: 2 });
  // Each vector three times: as units of three they resample as the vectors do alone.
  const tripled = new Float32Array(3 * single.length);
  for (let row = 0; row < 50; row++) {
    for (let copy = 0; copy < 3; copy++) {
      tripled.set(single.subarray(row * DIM, (row + 1) * DIM), (3 * row + copy) * DIM);
    }
  }
  const bootstrap = new Bootstrap({ units: 50, replicates: 60, seed: 4 });
  const one = intervalOf(bootstrap.frechet(single, reference));
  const three = intervalOf(bootstrap.frechet(tripled, reference));
  // Covariances differ by 50/49 against 150/149.
  assertNear(widthOf(three) / widthOf(one), 1, 0.05);
  assert.throws(() => bootstrap.frechet(single.subarray(DIM), reference), TypeError);
});

Deno.test("difference() of arms that share their samples has a narrow interval", () => {
  const bootstrap = new Bootstrap({ units: 100, replicates: 200, seed: 5 });
  const first = new Random(6, Stream.Noise)
    .fillNormal(new Float32Array(100), { step: 0, sample: 0 });
  const second = first.map((x, i) => x - 0.25 + (i % 2 ? 0.01 : -0.01));
  const [a, b] = [bootstrap.mean(first), bootstrap.mean(second)];
  const paired = intervalOf(difference(a, b));
  assertNear(paired.value, 0.25, 1e-6);
  assert(widthOf(paired) < 0.01 && widthOf(intervalOf(a)) > 0.2);
  const other = new Bootstrap({ units: 100, replicates: 200, seed: 7 }).mean(second);
  assert(widthOf(intervalOf(difference(a, other))) > 0.2);
});

Deno.test("derive() and intervalOf() keep infinities and single values", () => {
  const estimate = { value: 2, replicates: Float64Array.of(1, 2, 4) };
  const inverse = derive([estimate, estimate], (a, b) => 1 / (a - b));
  assert.deepEqual(intervalOf(inverse), { value: Infinity, low: Infinity, high: Infinity });
  const one = { value: 3, replicates: Float64Array.of(3) };
  assert.deepEqual(intervalOf(one), { value: 3, low: 3, high: 3 });
});
