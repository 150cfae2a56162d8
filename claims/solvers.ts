/**
 * Claim e: the SDE beats the ODE.
 *
 * @module
 */

import { type Claim, type Findings, formatInterval, outcomeAbove, type Verdict } from "./claim.ts";
import { evaluationsPanel } from "./figures.ts";
import { measureSamplers, samplerArms, SAMPLERS } from "./sampling_speed.ts";
import { difference, type Estimate, type Interval, intervalOf } from "./statistics.ts";
import type { Laboratory } from "./laboratory.ts";

const ODE = ["euler", "heun"] as const,
  SDE = ["euler-maruyama", "sde-heun"] as const;

/** Claim e. */
export const SOLVERS: Claim = {
  letter: "e",
  slug: "solvers",
  title: "SDE against ODE",
  statement: "SDE samplers come nearer to the data than ODE samplers with as many evaluations.",
  source: "appendix A.2, table 4",
  arms: (laboratory) =>
    [...ODE, ...SDE].flatMap((sampler) =>
      samplerArms(laboratory, { model: laboratory.gmem, sampler })
    ),
  conclude,
};

async function conclude(laboratory: Laboratory): Promise<Findings> {
  const { gmem: model, scale: { budgets, samples } } = laboratory;
  const rows: (string | Interval)[][] = [], curves = [];
  const best: Estimate[][] = [];
  for (const [kind, samplers] of [["ODE", ODE], ["SDE", SDE]] as const) {
    const measured = await measureSamplers(laboratory, { model, samplers });
    for (const { sampler, distances, points } of measured.curves) {
      const name = `${kind}: ${SAMPLERS[sampler]}`;
      rows.push([name, ...distances.map(intervalOf)]);
      curves.push({ name, points });
    }
    best.push(measured.best);
  }
  const gains = budgets.map((_, i) => intervalOf(difference(best[0]![i]!, best[1]![i]!)));
  rows.push(["best ODE − best SDE", ...gains]);
  return {
    verdict: verdictOf({ gain: gains.at(-1)!, evaluations: budgets.at(-1)! }),
    tables: [{ columns: ["sampler", ...budgets.map((budget) => `NFE ${budget}`)], rows }],
    panels: [evaluationsPanel(laboratory, { budgets, curves })],
    pictures: [],
    notes: [
      `The samples are those of GMem in claim b: ${samples} for each number, from the same first noises. The claim is judged at the most evaluations, where neither is short of steps; the paper names no number for this comparison and takes 100 else (section 5.1).`,
      "SDE samplers have the diffusion w = σ and end by one step of length 0.04 along the mean, as in SiT.",
    ],
  };
}

/** What the best ODE's distance less the best SDE's says. */
export function verdictOf({ gain, evaluations }: { gain: Interval; evaluations: number }): Verdict {
  return {
    outcome: outcomeAbove(gain, 0),
    text: `with ${evaluations} evaluations the best SDE sampler is nearer than the best ODE ` +
      `sampler by ${formatInterval(gain)} (asked: more than 0)`,
  };
}
