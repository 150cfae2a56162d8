/**
 * Claim b: with the bank, fewer evaluations of the network give the same distance.
 *
 * @module
 */

import type { Curve } from "../cli/plot.ts";
import { type Arm, type ModelArm, nameOf } from "./arm.ts";
import { type Claim, type Findings, outcomeAbove, type Verdict } from "./claim.ts";
import { type Factor, factorOf, formatFactor, rangeOf } from "./factor.ts";
import { evaluationsPanel, pointsOf } from "./figures.ts";
import type { Laboratory } from "./laboratory.ts";
import { derive, type Estimate, type Interval, intervalOf } from "./statistics.ts";

/** Fewer evaluations by this factor count as fewer. */
const FEWER = 2;

/** The samplers that are compared, with their names. */
export const SAMPLERS = {
  euler: "Euler",
  heun: "Heun",
  "euler-maruyama": "Euler–Maruyama",
  "sde-heun": "SDE-Heun",
} as const;

/** Name of a sampler that is compared. */
export type Sampler = keyof typeof SAMPLERS;

const NAMES = Object.keys(SAMPLERS) as Sampler[];

/** Claim b. */
export const SAMPLING_SPEED: Claim = {
  letter: "b",
  slug: "sampling_speed",
  title: "Sampling speed",
  statement: "With the bank, the distance that the label-conditioned SiT reaches takes fewer " +
    "evaluations of the network (NFE).",
  source: "section 5.2, table 3",
  arms: (laboratory) =>
    ([laboratory.gmem, "label"] as const).flatMap((model) =>
      NAMES.flatMap((sampler) => samplerArms(laboratory, { model, sampler }))
    ),
  conclude,
};

/** The arms of a sampler, one for each number of evaluations. */
export function samplerArms(
  laboratory: Laboratory,
  { model, sampler }: { model: ModelArm; sampler: Sampler },
): Arm[] {
  return laboratory.scale.budgets.map((evaluations) =>
    laboratory.arm({ model, sampler, evaluations })
  );
}

/** A sampler's samples, for each number of evaluations. */
interface SamplerCurve {
  readonly sampler: Sampler;
  /** Their distances. */
  readonly distances: readonly Estimate[];
  /** The same over the evaluations that they cost. */
  readonly points: Curve["points"];
}

/** What samplers give with a model, and the least distance of all for each number of evaluations. */
export async function measureSamplers(
  laboratory: Laboratory,
  { model, samplers }: { model: ModelArm; samplers: readonly Sampler[] },
): Promise<{ curves: SamplerCurve[]; best: Estimate[] }> {
  const { scale: { samples: count, budgets }, trainReference } = laboratory;
  const bootstrap = laboratory.bootstrap(count), curves: SamplerCurve[] = [];
  for (const sampler of samplers) {
    const distances: Estimate[] = [], evaluations: number[] = [];
    for (const arm of samplerArms(laboratory, { model, sampler })) {
      const samples = await laboratory.samples(arm);
      distances.push(bootstrap.frechet(samples.encodings, trainReference));
      evaluations.push(samples.evaluations);
    }
    curves.push({ sampler, distances, points: pointsOf(evaluations, distances) });
  }
  const best = budgets.map((_, i) =>
    derive(curves.map(({ distances }) => distances[i]!), Math.min)
  );
  return { curves, best };
}

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { gmem, scale: { budgets, samples } } = laboratory;
  const models = [["SiT, labels", "label"], [nameOf(gmem), gmem]] as const;
  const rows: (string | number | Interval)[][] = [], curves = [];
  const best: Estimate[][] = [];
  for (const [name, model] of models) {
    const measured = await measureSamplers(laboratory, { model, samplers: NAMES });
    for (const { sampler, distances, points } of measured.curves) {
      rows.push([name, SAMPLERS[sampler], ...distances.map(intervalOf)]);
      curves.push({ name: SAMPLERS[sampler], style: name, points });
    }
    best.push(measured.best);
    rows.push([name, "**best**", ...measured.best.map(intervalOf)]);
  }
  const largest = budgets.at(-1)! / budgets[0]!;
  const saving = savingOf({ budgets, label: best[0]!, memory: best[1]! });
  return {
    verdict: verdictOf(saving, budgets),
    tables: [{ columns: ["model", "sampler", ...budgets.map((budget) => `NFE ${budget}`)], rows }],
    panels: [evaluationsPanel(laboratory, { budgets, curves })],
    pictures: [],
    notes: [
      `At each number of evaluations each model's best sampler counts. The factor is the number of evaluations at which the label model has its least distance, over the fewest at which GMem is as near. Both are among the numbers that were tried, so the factor is a coarse one and can be told up to ${largest} only. What is told is at most 1 where the label model happens to be nearest at the fewest evaluations, and a lower bound where GMem is as near at the fewest.`,
      "SDE-Heun takes an odd number of evaluations, one less than its column says.",
      `${samples} samples for each number, all from the same noises.`,
    ],
  };
}

/**
 * How many evaluations for the label model one for GMem is worth: those with which the label model
 * has its least distance, over the fewest with which GMem is as near.
 */
export function savingOf(
  { budgets, label, memory }: {
    budgets: readonly number[];
    label: readonly Estimate[];
    memory: readonly Estimate[];
  },
): Factor {
  return factorOf({
    costs: budgets,
    label,
    memory,
    reach: (curve, target) => budgets[curve.findIndex((value) => value <= target)],
  });
}

/** What a factor of evaluations says: fewer where all of its interval is at {@linkcode FEWER}. */
export function verdictOf(saving: Factor, budgets: readonly number[]): Verdict {
  // The factor takes few values, 2 among them: at the threshold is enough.
  const outcome = outcomeAbove(rangeOf(saving), FEWER * (1 - 1e-9));
  if (saving.least.value === 0) {
    return {
      outcome,
      text: "GMem does not reach the label model's best distance with " +
        `${budgets.at(-1)} evaluations`,
    };
  }
  return {
    outcome,
    text: `to reach its best distance, the label model takes ${formatFactor(saving)} times the ` +
      `evaluations that GMem takes to reach the same (asked: ${FEWER} or more)`,
  };
}
