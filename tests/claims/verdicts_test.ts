import assert from "node:assert/strict";
import {
  formatInterval,
  formatNumber,
  ifFollowing,
  outcomeAbove,
  outcomeBelow,
  outcomeOfAll,
} from "../../claims/claim.ts";
import * as compression from "../../claims/compression.ts";
import { type Factor, formatFactor } from "../../claims/factor.ts";
import * as interpolation from "../../claims/interpolation.ts";
import * as masking from "../../claims/masking.ts";
import * as novelImages from "../../claims/novel_images.ts";
import { markdownTable, overviewPage, type Result } from "../../claims/pages.ts";
import * as samplingSpeed from "../../claims/sampling_speed.ts";
import { SCALES } from "../../claims/scales.ts";
import * as solvers from "../../claims/solvers.ts";
import type { Estimate, Interval } from "../../claims/statistics.ts";
import * as trainingSpeed from "../../claims/training_speed.ts";

function interval(low: number, high: number): Interval {
  return { value: (low + high) / 2, low, high };
}

/** An estimate without doubt. */
function certain(value: number): Estimate {
  return { value, replicates: new Float64Array(4).fill(value) };
}

Deno.test("outcomes need the whole interval on one side", () => {
  assert.equal(outcomeAbove(interval(0.1, 0.2), 0), "shown");
  assert.equal(outcomeAbove(interval(-0.1, 0.2), 0), "undecided");
  assert.equal(outcomeAbove(interval(-0.2, -0.1), 0), "refuted");
  assert.equal(outcomeBelow(interval(0.1, 0.2), 0.3), "shown");
  assert.equal(outcomeBelow(interval(0.1, 0.4), 0.3), "undecided");
  assert.equal(outcomeBelow(interval(0.2, 0.5), 0.3), "undecided");
  assert.equal(outcomeBelow(interval(0.4, 0.5), 0.3), "refuted");
  assert.equal(outcomeAbove(interval(NaN, NaN), 0), "undecided");
  assert.equal(outcomeOfAll(["shown", "shown"]), "shown");
  assert.equal(outcomeOfAll(["shown", "undecided"]), "undecided");
  assert.equal(outcomeOfAll(["undecided", "refuted"]), "refuted");
});

Deno.test("crossing() reads a step off the line between two, over its logarithm", () => {
  const steps = [100, 400, 1600];
  const at = (curve: number[], target: number) => trainingSpeed.crossing(curve, { steps, target });
  assert.equal(at([3, 2, 1], 3), 100);
  assert.equal(Math.round(at([3, 2, 1], 2.5)!), 200);
  assert.equal(Math.round(at([3, 2, 1], 1)!), 1600);
  assert.equal(at([3, 2, 1], 0.5), undefined);
  // The first time counts, whatever comes after.
  assert.equal(Math.round(at([3, 1, 2], 2)!), 200);
});

/** A factor that is the same at least and at most. */
function known(bounds: Interval): Factor {
  return { least: bounds, most: bounds };
}

Deno.test("claim a is shown for a factor of steps above 2, bounded by the checkpoints", () => {
  const steps = [100, 400, 1600];
  const speedUp = (label: number[], memory: number[]) =>
    trainingSpeed.speedUpOf({ steps, label: label.map(certain), memory: memory.map(certain) });
  const exact = speedUp([5, 4, 2.5], [3, 2, 1]);
  assert.deepEqual([Math.round(exact.least.value), exact.most], [8, exact.least]);
  const never = speedUp([5, 4, 2], [9, 8, 7]);
  assert.deepEqual([never.least.value, never.most.value], [0, 0]);
  const fast = trainingSpeed.verdictOf(speedUp([5, 4, 3], [2, 1, 1]), steps);
  assert.equal(fast.outcome, "shown");
  assert.match(fast.text, /takes at least 16 \[16, at least 16\] times/);
  const slow = trainingSpeed.verdictOf(never, steps);
  assert.equal(slow.outcome, "refuted");
  assert.match(slow.text, /does not reach .* within 1600 steps/);
  assert.equal(trainingSpeed.verdictOf(known(interval(1.5, 4)), steps).outcome, "undecided");
  assert.equal(trainingSpeed.verdictOf(known(interval(1.5, 1.9)), steps).outcome, "refuted");
});

Deno.test("claims a and b are not refuted where GMem is ahead at the first of what was tried", () => {
  const costs = [4, 8, 16];
  // The label model is nearest at the first, which tells nothing of what GMem takes at the least.
  const label = [2, 3, 3].map(certain), memory = [1, 1, 1].map(certain);
  const verdicts = [
    trainingSpeed.verdictOf(trainingSpeed.speedUpOf({ steps: costs, label, memory }), costs),
    samplingSpeed.verdictOf(samplingSpeed.savingOf({ budgets: costs, label, memory }), costs),
  ];
  for (const { outcome, text } of verdicts) {
    assert.equal(outcome, "undecided");
    assert.match(text, /takes at least 1 \[1, at least 1\] times/);
  }
});

Deno.test("a factor is open above where more than 2.5 % of the resamplings are", () => {
  const steps = [100, 200, 400], all = new Float64Array(200);
  /** GMem is ahead at the first checkpoint in so many of 200 resamplings, else at the second. */
  const speedUp = (ahead: number) => {
    const steady = (value: number) => ({ value, replicates: all.map(() => value) });
    const first = { value: 4, replicates: all.map((_, i) => i < ahead ? 2 : 4) };
    return trainingSpeed.speedUpOf({
      steps,
      label: [5, 4, 3].map(steady),
      memory: [first, steady(3), steady(3)],
    });
  };
  assert.match(formatFactor(speedUp(8)), /^2\S* \[2\S*, at least 4\S*\]$/);
  assert.match(formatFactor(speedUp(2)), /^2\S* \[2\S*, 2\S*\]$/);
});

Deno.test("claim b is shown for half of the evaluations", () => {
  const budgets = [4, 8, 16];
  const saving = (label: number[], memory: number[]) =>
    samplingSpeed.savingOf({ budgets, label: label.map(certain), memory: memory.map(certain) });
  const half = saving([4, 3, 2], [5, 2, 1]);
  assert.equal(half.least.value, 2);
  assert.equal(samplingSpeed.verdictOf(half, budgets).outcome, "shown");
  const same = saving([4, 3, 2], [5, 3, 2]);
  assert.equal(samplingSpeed.verdictOf(same, budgets).outcome, "refuted");
  const never = samplingSpeed.verdictOf(saving([4, 3, 2], [5, 4, 3]), budgets);
  assert.equal(never.outcome, "refuted");
  assert.match(never.text, /does not reach/);
  const first = samplingSpeed.verdictOf(saving([4, 3, 2], [1, 1, 1]), budgets);
  assert.equal(first.outcome, "shown");
  assert.match(first.text, /takes at least 4 \[4, at least 4\] times/);
  const least = { value: 2, low: 1, high: 4 };
  const wide = samplingSpeed.verdictOf({ least, most: { ...least, high: Infinity } }, budgets);
  assert.equal(wide.outcome, "undecided");
  assert.match(wide.text, /takes 2 \[1, at least 4\] times/);
});

Deno.test("claims c to g compare with their thresholds", () => {
  const masked = (low: number, high: number) =>
    masking.verdictOf({ distance: interval(low, high), cosine: interval(0, 0.1) });
  assert.equal(masked(-0.02, -0.01).outcome, "shown");
  assert.equal(masked(-0.02, 0.01).outcome, "undecided");
  assert.match(masked(0.1, 0.2).text, /the distance changes by 0\.150 \[0\.100, 0\.200\]/);
  const cost = (low: number, high: number) =>
    compression.verdictOf({ cost: interval(low, high), rank: 32, dim: 64 });
  assert.equal(cost(-0.05, 0.05).outcome, "shown");
  assert.equal(cost(0.2, 0.3).outcome, "refuted");
  assert.match(cost(0.2, 0.3).text, /rank 32 of 64 costs 25 \[20, 30\] %/);
  const sde = (low: number, high: number) =>
    solvers.verdictOf({ gain: interval(low, high), evaluations: 32 }).outcome;
  assert.deepEqual([sde(0.1, 0.2), sde(-0.2, -0.1)], ["shown", "refuted"]);
  const novel = (gap: Interval, kept: Interval) => novelImages.verdictOf({ gap, kept }).outcome;
  assert.equal(novel(interval(0.3, 0.4), interval(0.85, 0.9)), "shown");
  assert.equal(novel(interval(0.3, 0.4), interval(0.5, 0.6)), "refuted");
  assert.equal(novel(interval(-0.1, 0.1), interval(0.85, 0.9)), "undecided");
  const smooth = (path: Interval, jump: Interval) =>
    interpolation.verdictOf({ path, jump, random: interval(7, 8) }).outcome;
  assert.equal(smooth(interval(1.1, 1.3), interval(1.5, 2)), "shown");
  assert.equal(smooth(interval(1.1, 1.3), interval(5, 6)), "refuted");
  assert.equal(smooth(interval(1.1, 2.5), interval(1.5, 2)), "undecided");
});

Deno.test("ifFollowing() takes a verdict back where samples do not follow their snippets", () => {
  const verdict = { outcome: "shown", text: "it is so" } as const;
  assert.equal(ifFollowing(verdict, interval(0.5, 0.6)), verdict);
  const back = ifFollowing(verdict, interval(0.01, 0.05));
  assert.equal(back.outcome, "undecided");
  assert.match(back.text, /^it is so; but samples hardly follow/);
  // A cosine that may as well be below what is needed.
  assert.equal(ifFollowing(verdict, interval(0.1, 0.5)).outcome, "undecided");
});

Deno.test("wayOf() measures length and jumps of a way", () => {
  // Along a line at even speed in two dimensions, and with all of the way in one jump.
  const even = Float32Array.from({ length: 18 }, (_, i) => i % 2 === 0 ? Math.floor(i / 2) : 1);
  const sudden = Float32Array.from({ length: 18 }, (_, i) => i % 2 === 0 && i >= 8 ? 8 : 0);
  const both = new Float32Array([...even, ...sudden]);
  const way = (pair: number) => interpolation.wayOf(both, { pair, dim: 2 });
  assert.deepEqual(way(0), {
    path: 8,
    largest: 1,
    straight: 8,
    away: [0, 1, 2, 3, 4, 5, 6, 7, 8],
  });
  assert.deepEqual(way(1), {
    path: 8,
    largest: 8,
    straight: 8,
    away: [0, 0, 0, 0, 8, 8, 8, 8, 8],
  });
});

Deno.test("ranksFirst() finds rows whose own candidate is nearest", () => {
  const rows = Float32Array.of(1, 0, 0, 1, 1, 0);
  const candidates = Float32Array.of(1, 0, 0, 1, 0, -1);
  assert.deepEqual(novelImages.ranksFirst(rows, { candidates, dim: 2 }), Uint8Array.of(1, 1, 0));
});

Deno.test("numbers and intervals are written to three digits that count", () => {
  assert.equal(formatNumber(600), "600");
  assert.equal(formatNumber(-0.01234), "−0.0123");
  assert.equal(formatNumber(Infinity), "∞");
  assert.equal(formatInterval({ value: 0.1061, low: 0.0999, high: 0.112 }), "0.106 [0.100, 0.112]");
  assert.equal(formatInterval({ value: 1.5, low: 1, high: 2 }), "1.50 [1.00, 2.00]");
  assert.equal(formatInterval({ value: 8, low: 4, high: Infinity }), "8 [4, ∞]");
  assert.equal(formatInterval({ value: 0, low: -0.00001, high: 0.3 }), "0.000 [0.000, 0.300]");
  assert.equal(
    markdownTable({
      title: "T",
      columns: ["a", "b"],
      rows: [["x", { value: 1, low: 1, high: 2 }]],
    }),
    "T:\n\n| a | b |\n|---|---|\n| x | 1 [1, 2] |",
  );
});

Deno.test("overviewPage() lists verdicts by scale, counts those shown, and names all seeds, devices and days", () => {
  const result = (
    letter: "a" | "b",
    outcome: "shown" | "undecided",
    { seed, date }: { seed: number; date: string },
  ): Result => ({
    letter,
    title: `Title ${letter}`,
    statement: `Statement ${letter}.`,
    source: "section 1",
    verdict: { outcome, text: `by ${letter}` },
    scale: SCALES.tiny,
    seed,
    device: "some adapter",
    date,
    tables: [],
    notes: [],
  });
  const page = overviewPage([{
    folder: "tiny",
    results: [
      { name: "a_one", result: result("a", "shown", { seed: 7, date: "2026-11-23" }) },
      { name: "b_two", result: result("b", "undecided", { seed: 0, date: "2026-11-22" }) },
    ],
  }]);
  assert(page.includes("## Scale tiny: 1 of 2 shown"), page);
  assert(page.includes("| (a) [Title a](results/tiny/a_one.md) | shown | by a |"), page);
  assert(page.includes("| (b) [Title b](results/tiny/b_two.md) | undecided | by b |"), page);
  assert(page.includes("- (a) Statement a."), page);
  assert(page.includes("Seed 0 and 7, some adapter, 2026-11-22 and 2026-11-23."), page);
  assert(page.includes("Not tested at this scale: (c), (d), (e), (f), (g)."), page);
});

Deno.test("every scale has what the claims ask for", () => {
  for (const scale of Object.values(SCALES)) {
    const { name, checkpoints, overrides, maskRatios, budgets, rankShares } = scale;
    const last = overrides.find((each) => each.startsWith("train.steps="))?.split("=")[1];
    assert.equal(checkpoints.at(-1), Number(last), name);
    for (const rising of [checkpoints, budgets, maskRatios]) {
      assert.deepEqual(rising, [...rising].sort((a, b) => a - b), name);
    }
    assert(maskRatios.includes(0) && maskRatios.includes(0.4), name);
    assert(rankShares.includes(0.5), name);
    assert([...budgets, scale.evaluations].every((budget) => budget % 2 === 0), name);
    assert(Object.keys(SCALES).includes(name), name);
  }
});
