import assert from "node:assert/strict";
import { selectRows } from "../../bank/select_rows.ts";
import { bootstrapFrechet, estimateShare, quantile } from "../../evaluate/bootstrap.ts";
import { type CopyFindings, copyVerdict, drawCopies, findCopies } from "../../evaluate/copies.ts";
import { frechetDistance, GaussianStatistics, knownGaussian } from "../../evaluate/frechet.ts";
import { chanceDistance, compareFeatures } from "../../evaluate/measure.ts";
import { permutation, Random, Stream } from "../../kernels/core/random.ts";

const DIM = 3;

function normal(count: number, options: { seed: number; shift?: number }): Float32Array {
  const { seed, shift = 0 } = options;
  return new Random(seed, Stream.Noise)
    .fillNormal(new Float32Array(count * DIM), { step: 0, sample: 0 })
    .map((value) => value + shift);
}

const REFERENCE = normal(400, { seed: 1 });

Deno.test("bootstrapFrechet() covers the distance of other samples about 95 times in a hundred", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE);
  // What samples of this number have in the mean, bias included.
  const draws = Array.from({ length: 60 }, (_, i) => normal(200, { seed: 100 + i, shift: 0.4 }));
  const distances = draws.map((rows) =>
    frechetDistance(reference, new GaussianStatistics(DIM).add(rows))
  );
  const mean = distances.reduce((sum, value) => sum + value, 0) / distances.length;
  const intervals = draws.map((rows) =>
    bootstrapFrechet(rows, { reference, resamples: 80, seed: 7 }).interval!
  );
  const covered = intervals.filter(([low, high]) => low <= mean && mean <= high).length;
  // 57 expected, and 4 standard deviations of the binomial number are 6.8.
  assert.ok(covered >= 50, `${covered} of 60`);
  // No wider than that takes: 3.92 deviations, which 60 draws tell to a tenth.
  const variance = distances.reduce((sum, value) => sum + (value - mean) ** 2 / 59, 0);
  const width = intervals.reduce((sum, [low, high]) => sum + (high - low) / 60, 0);
  assert.ok(Math.abs(width / (3.92 * Math.sqrt(variance)) - 1) < 0.35, `${width}, ${variance}`);
});

Deno.test("bootstrapFrechet() gives no distance below 0", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE);
  const { value, interval } = bootstrapFrechet(REFERENCE, { reference, resamples: 20, seed: 1 });
  const settings = { reference, resamples: 100, seed: 0 };
  assert.deepEqual(
    bootstrapFrechet(REFERENCE, { reference }),
    bootstrapFrechet(REFERENCE, settings),
  );
  assert.ok(value < 1e-12 && interval![0] === 0 && interval![1] > 0, `${value} in ${interval}`);
});

Deno.test("bootstrapFrechet() of more samples than it draws is as narrow as their number says", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE);
  const many = normal(20_000, { seed: 9, shift: 0.4 });
  const [wide, narrow] = [many.subarray(0, 5000 * DIM), many].map((rows) => {
    const told: number[][] = [];
    const onProgress = (...each: [number, number]) => void told.push(each);
    const options = { resamples: 60, seed: 1, onProgress };
    const [low, high] = bootstrapFrechet(rows, { reference, ...options }).interval!;
    assert.deepEqual(told, Array.from({ length: 60 }, (_, i) => [i + 1, 60]));
    return high - low;
  }) as [number, number];
  // A half, and the quantiles of 60 resamples are uncertain by a tenth each.
  assert.ok(narrow / wide > 0.35 && narrow / wide < 0.7, `${narrow} against ${wide}`);
});

Deno.test("bootstrapFrechet() draws from all samples with replacement", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE), samples = normal(50, { seed: 2 });
  const random = new Random(3, Stream.Bootstrap);
  const [first, second] = [0, 1].map((resample) => {
    const drawn = new GaussianStatistics(DIM);
    for (let i = 0; i < 50; i++) {
      const index = Math.floor(50 * random.uniform(resample, 0, i));
      drawn.add(samples.subarray(index * DIM, (index + 1) * DIM));
    }
    return frechetDistance(reference, drawn);
  }) as [number, number];
  const { interval: [low, high] = [0, 0] } = bootstrapFrechet(samples, {
    reference,
    resamples: 2,
    seed: 3,
  });
  // The quantiles of two numbers lie between them, 2.5 % from either.
  assert.ok(Math.abs(high - low - 0.95 * Math.abs(first - second)) < 1e-9, `${low}, ${high}`);
});

Deno.test("bootstrapFrechet() is the same for the same seed, and has no interval of no resamples", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE), samples = normal(50, { seed: 2 });
  const options = { reference, resamples: 10, seed: 3 };
  const once = bootstrapFrechet(samples, options);
  assert.deepEqual(once, bootstrapFrechet(samples, options));
  assert.notDeepEqual(once, bootstrapFrechet(samples, { ...options, seed: 4 }));
  const none = bootstrapFrechet(samples, { ...options, resamples: 0 });
  assert.deepEqual([none.value, none.interval], [once.value, undefined]);
});

Deno.test("numbers of resamples that are none are refused, and shares of nothing", () => {
  const reference = new GaussianStatistics(DIM).add(REFERENCE), samples = normal(50, { seed: 2 });
  for (const resamples of [-1, 1.5, NaN]) {
    const refusal = {
      name: "RangeError",
      message: `Cannot resample: resamples is ${resamples}, expected a whole number from 0`,
    };
    const options = { resamples, seed: 0 };
    assert.throws(() => bootstrapFrechet(samples, { ...options, reference }), refusal);
  }
  assert.throws(() => estimateShare(new Uint8Array()), {
    name: "RangeError",
    message: "Cannot give a share: the number of all is 0, expected a whole number from 1",
  });
});

Deno.test("estimateShare() has the interval of Wilson", () => {
  const shareOf = (count: number, all: number) =>
    estimateShare(Uint8Array.from({ length: all }, (_, i) => Number(i < count)));
  // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
  const known = [[81, 263, 0.2553, 0.3662], [15, 148, 0.0624, 0.1605], [0, 20, 0, 0.1611], [
    1,
    29,
    0.0061,
    0.1718,
  ]] as const;
  for (const [count, all, low, high] of known) {
    const { value, interval } = shareOf(count, all);
    assert.equal(value, count / all);
    assert.deepEqual(interval!.map((end) => Math.round(end * 1e4) / 1e4), [low, high]);
    const [otherLow, otherHigh] = shareOf(all - count, all).interval!;
    assert.ok(Math.abs(1 - otherHigh - interval![0]) < 1e-15);
    assert.ok(Math.abs(1 - otherLow - interval![1]) < 1e-15);
  }
});

Deno.test("quantile() goes in proportion between neighbours", () => {
  assert.deepEqual([0, 0.5, 0.75, 1].map((share) => quantile([4, 1, 3], share)), [1, 3, 3.5, 4]);
  assert.equal(quantile([Infinity, 1, Infinity], 0.75), Infinity);
  assert.equal(quantile([Infinity, 3, 1], 0.5), 3);
});

Deno.test("chanceDistance() of one distribution goes down as 1 / n", () => {
  const vectors = normal(4000, { seed: 5 });
  const [few, many] = [50, 800].map((count) =>
    chanceDistance(vectors, { dim: DIM, count, seed: 0 }).value
  ) as [number, number];
  assert.ok(few > 4 * many && many > 0, `${few}, ${many}`);
  const half = chanceDistance(vectors, { dim: DIM, count: 9999, seed: 0 });
  assert.equal(half.count, 2000);
});

Deno.test("chanceDistance() is what new samples of one distribution have on average", () => {
  // Fewer samples than half of the reference, as many as it has, and more.
  for (const count of [100, 400, 2000]) {
    let chance = 0, real = 0;
    for (let i = 0; i < 60; i++) {
      const reference = normal(400, { seed: 200 + i }), samples = normal(count, { seed: 300 + i });
      chance += chanceDistance(reference, { dim: DIM, count, seed: 0 }).value;
      const [a, b] = [samples, reference].map((rows) => new GaussianStatistics(DIM).add(rows));
      real += frechetDistance(a!, b!);
    }
    // The bias is that of some nine numbers with deviations of √2 of their mean: of 60 sets, 6 % of it; four
    // deviations of the quotient of two.
    assert.ok(Math.abs(real / chance - 1) < 0.34, `${count}: ${real / 60} and ${chance / 60}`);
  }
});

Deno.test("chanceDistance() measures the chosen vectors against all others", () => {
  const vectors = normal(9, { seed: 5 });
  const parts = [new GaussianStatistics(DIM), new GaussianStatistics(DIM)] as const;
  const order = permutation(9, 2, 1);
  parts[0].add(selectRows(vectors, { indices: order.subarray(0, 3), width: DIM }));
  parts[1].add(selectRows(vectors, { indices: order.subarray(3), width: DIM }));
  assert.deepEqual(chanceDistance(vectors, { dim: DIM, count: 3, seed: 2 }), {
    value: frechetDistance(...parts) * (1 / 3 + 1 / 9) / (1 / 3 + 1 / 6),
    count: 3,
  });
  const four = normal(4, { seed: 5 });
  assert.equal(chanceDistance(four, { dim: DIM, count: 9, seed: 0 }).count, 2);
  assert.throws(
    () => chanceDistance(four.subarray(DIM), { dim: DIM, count: 9, seed: 0 }),
    /Cannot split 3 vectors: expected at least four/,
  );
});

Deno.test("compareFeatures() tells how far it is, from 0 to 1", async () => {
  for (const resamples of [0, 4]) {
    const told: number[] = [];
    await compareFeatures({ samples: normal(20, { seed: 6 }), reference: REFERENCE }, {
      ...{ dim: DIM, resamples },
      onProgress: (done, total) => told.push(done / total),
    });
    assert.ok(told.every((done, i) => done >= (told[i - 1] ?? 0)), `${told}`);
    // Half of it are the distances; without resamples nothing else takes long.
    assert.equal(told.at(-1), resamples === 0 ? 0.5 : 1);
    if (resamples > 0) assert.deepEqual(told.slice(-4), [0.625, 0.75, 0.875, 1]);
  }
});

Deno.test("compareFeatures() warns of samples that are too few for their components", async () => {
  const samples = normal(300, { seed: 6 });
  const options = { dim: 3 * 60, resamples: 0 };
  const wide = await compareFeatures({ samples, reference: REFERENCE }, { ...options, dim: 150 });
  assert.deepEqual([wide.samples, wide.reference, wide.warnings.length], [6, 8, 2]);
  assert.match(wide.warnings[0]!, /^6 samples for 150 components: .* rank 5 at most/);
  assert.match(wide.warnings[0]!, /; by chance it would be about \d\S*$/);
  // As many as there are components leave the covariance a rank short.
  const exact = await compareFeatures({ samples, reference: REFERENCE }, { ...options, dim: 30 });
  assert.deepEqual([exact.samples, exact.warnings.length], [30, 1]);
  const good = await compareFeatures({ samples, reference: REFERENCE }, { dim: DIM });
  assert.deepEqual(good.warnings, []);
  const defaults = { neighbours: 3, resamples: 100, chance: true, seed: 0 };
  const told = await compareFeatures({ samples, reference: REFERENCE }, { dim: DIM, ...defaults });
  assert.deepEqual(good, told);
  assert.ok(good.precision!.value > 0.8 && good.recall!.value > 0.8);
  assert.ok(good.frechet.interval![0] <= good.frechet.value);
});

Deno.test("compareFeatures() takes 10,000 references for precision and recall", async () => {
  // Of 20,000 every other one is taken; those that are not are far from all samples.
  const reference = Float32Array.from({ length: 20_000 }, (_, i) => i % 2 === 0 ? 1e6 + i : i);
  const samples = Float32Array.from({ length: 400 }, (_, i) => 50 * i + 25);
  const options = { dim: 1, resamples: 0, chance: false };
  const { recall, reference: size } = await compareFeatures({ samples, reference }, options);
  assert.deepEqual([recall!.value, size], [1, 20_000]);
});

Deno.test("compareFeatures() gives precision of the samples and recall of the reference", async () => {
  // The samples are a part of the reference: all of them lie within it, and not the other way round.
  const reference = REFERENCE.slice(), samples = REFERENCE.slice(0, 100 * DIM);
  for (let i = samples.length; i < reference.length; i++) reference[i]! += 100;
  const { precision, recall } = await compareFeatures({ samples, reference }, { dim: DIM });
  assert.deepEqual([precision!.value, recall!.value], [1, 0.25]);
  // Of 100, all inside: (1 + z²/100)⁻¹ with z = 1.96.
  assert.deepEqual(precision!.interval!.map((end) => end.toFixed(3)), ["0.963", "1.000"]);
  // A share of 100 in 400 has a deviation of √(¼ ¾ / 400), 0.022.
  const [low, high] = recall!.interval!;
  assert.ok(low > 0.16 && low < 0.23 && high > 0.27 && high < 0.34, `${low} to ${high}`);
});

Deno.test("compareFeatures() takes statistics alone, and refuses too few of either", async () => {
  const samples = normal(50, { seed: 8 });
  const statistics = knownGaussian({
    mean: new Float64Array(DIM),
    covariance: Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1),
  });
  const got = await compareFeatures({ samples, statistics }, { dim: DIM, resamples: 0 });
  assert.deepEqual(
    [got.precision, got.recall, got.chance, got.reference],
    Array(4).fill(undefined),
  );
  assert.ok(got.frechet.value < 0.3);
  await assert.rejects(
    compareFeatures({ samples: normal(4, { seed: 9 }), statistics }, { dim: DIM }),
    /Cannot measure 4 samples: expected at least 5/,
  );
  await assert.rejects(compareFeatures({ samples }, { dim: DIM }), TypeError);
  await assert.rejects(compareFeatures({ samples, reference: samples.subarray(1) }, { dim: DIM }), {
    name: "TypeError",
    message: `Cannot measure ${samples.length - 1} numbers: expected vectors of ${DIM}`,
  });
});

Deno.test("findCopies() finds copies, and none among new samples", async () => {
  const copies = REFERENCE.slice(30, 30 + 40 * DIM);
  const training = REFERENCE, options = { dim: DIM, neighbours: 2, shown: 3 };
  const found = await findCopies({ training, samples: copies }, options);
  assert.deepEqual([...found.neighbours].filter((_, i) => i % 2 === 0), [10, 11, 12]);
  assert.deepEqual([found.nearer, found.samples.quantiles[3]], [1, 0]);
  const fresh = await findCopies({ training, samples: normal(300, { seed: 12 }) }, options);
  assert.ok(fresh.nearer <= fresh.mostByChance, `${fresh.nearer}`);
  // 5 % and three standard errors of 300 samples and 400 training images.
  assert.ok(Math.abs(fresh.mostByChance - 0.0999) < 1e-4, `${fresh.mostByChance}`);
  const picture = "copies.png";
  assert.match(
    copyVerdict({ pixels: found, "the encoder": fresh }, { picture }),
    /^samples lie near a training image more often .* 100\.0 % by pixels and .*: look at copies\.png$/,
  );
  assert.match(
    copyVerdict({ pixels: fresh }, { picture }),
    /^samples lie near a training image no more often .*, against 5\.0 % of the training images$/,
  );
});

Deno.test("drawCopies() shows a sample, its neighbours in two rows, and frames what is near", async () => {
  // Grey images of one pixel: the samples are training images 1 and 3, and something between.
  const training = Float32Array.of(0, 50, 100, 150, 200, 250);
  const samples = Uint8Array.of(50, 150, 120);
  const vectors = { samples: Float32Array.from(samples), training };
  const check = { ...await findCopies(vectors, { dim: 1, neighbours: 3 }), threshold: 5 };
  const picture = drawCopies({ pixel: check, encoder: check }, {
    samples,
    imageSize: 1,
    channels: 1,
    read: (index) => Uint8Array.of(training[index]!),
  });
  assert.equal(picture.data.length, picture.width * picture.height * 3);
  const colours = (wanted: readonly number[]) => {
    let count = 0;
    for (let i = 0; i < picture.data.length; i += 3) {
      count += Number(wanted.every((value, channel) => picture.data[i + channel] === value));
    }
    return count;
  };
  // Two framed tiles of 64 pixels in each of two rows; a frame is 3 pixels wide.
  assert.equal(colours([214, 39, 40]), 4 * (70 ** 2 - 64 ** 2));
  assert.equal(colours([76, 120, 168]), 3 * 4 * 64);
  // The sample 120 itself, twice as large.
  assert.equal(colours([120, 120, 120]), 134 ** 2);
});

Deno.test("drawCopies() puts every image in its place", () => {
  // Three samples and five training images of 2 × 2 pixels in colour, and two neighbours of each.
  const bytes = (count: number, seed: number) => {
    const random = new Random(seed, Stream.Noise);
    return Uint8Array.from({ length: count * 12 }, (_, i) => random.bits(0, 0, i));
  };
  const samples = bytes(3, 1), training = bytes(5, 2);
  const checkOf = (neighbours: number[], neighbourDistances: number[]) =>
    ({ neighbours, neighbourDistances, threshold: 3 }) as unknown as CopyFindings;
  const findings = {
    pixel: checkOf([4, 0, 1, 2, 3, 0], [3, 4, 5, 6, 0, 2]),
    encoder: checkOf([0, 1, 2, 3, 4, 1], [4, 5, 2, 3.5, 9, 9]),
  };
  const picture = drawCopies(findings, {
    ...{ samples, imageSize: 2, channels: 3 },
    read: (index) => training.subarray(12 * index, 12 * index + 12),
  });
  // A block has a sample of 134 pixels, a bar of 4 and two tiles of 64, all 6 apart.
  const width = 6 + 284 + 18 + 284 + 6, height = 6 + 2 * 146 + 6;
  assert.deepEqual([picture.width, picture.height, picture.channels], [width, height, 3]);
  const expected = new Uint8Array(width * height * 3).fill(255);
  const fill = (
    [left, top, wide, high]: readonly [number, number, number, number],
    colourAt: (x: number, y: number) => readonly number[],
  ) => {
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        expected.set(colourAt(x / wide, y / high), ((top + y) * width + left + x) * 3);
      }
    }
  };
  const pixelsOf = (images: Uint8Array, index: number) => (x: number, y: number) => {
    const pixel = (y < 0.5 ? 0 : 2) + (x < 0.5 ? 0 : 1);
    return [0, 4, 8].map((plane) => images[12 * index + plane + pixel]!);
  };
  for (const [sample, [left, top]] of ([[6, 6], [308, 6], [6, 152]] as const).entries()) {
    fill([left, top, 134, 134], pixelsOf(samples, sample));
    for (const [row, space] of (["pixel", "encoder"] as const).entries()) {
      const y = top + 70 * row, bar = row === 0 ? [76, 120, 168] : [245, 133, 24];
      fill([left + 140, y, 4, 64], () => bar);
      for (const k of [0, 1]) {
        const x = left + 150 + 70 * k, place = 2 * sample + k;
        if (findings[space].neighbourDistances[place]! <= 3) {
          fill([x - 3, y - 3, 70, 70], () => [214, 39, 40]);
        }
        fill([x, y, 64, 64], pixelsOf(training, findings[space].neighbours[place]!));
      }
    }
  }
  assert.deepEqual(picture.data, expected);
});
