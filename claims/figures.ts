/**
 * From samples and estimates to points and rows of images.
 *
 * @module
 */

import { selectRows, spreadIndices } from "../bank/select_rows.ts";
import type { Curve, CurvePanel } from "../cli/plot.ts";
import type { Laboratory } from "./laboratory.ts";
import { type Estimate, intervalOf } from "./statistics.ts";

/** Points of a curve with their intervals. */
export function pointsOf(
  x: readonly number[],
  estimates: readonly Estimate[],
): { x: number; y: number; low: number; high: number }[] {
  return estimates.map((estimate, i) => {
    const { value, low, high } = intervalOf(estimate);
    return { x: x[i]!, y: value, low, high };
  });
}

/** A line at the distance of the held-out images to the training images. */
export function heldOutLevel(
  { heldOut, heldOutDistance }: Laboratory,
): { name: string; y: number } {
  return { name: `${heldOut.size} held-out images`, y: heldOutDistance };
}

/** Distances over the evaluations of the network that a sample costs. */
export function evaluationsPanel(
  laboratory: Laboratory,
  { budgets, curves }: { budgets: readonly number[]; curves: readonly Curve[] },
): CurvePanel {
  return {
    xTitle: "evaluations of the network for a sample (NFE)",
    yTitle: ["Fréchet distance to the training", `images (${laboratory.spaceName})`],
    logX: true,
    xValues: budgets,
    curves,
    levels: [heldOutLevel(laboratory)],
  };
}

/** `count` images spread over each set [n, C, H, W] of `samples`, one set after the other. */
export function rowsOf(
  sets: readonly Float32Array[],
  { count, samples }: { count: number; samples: number },
): Float32Array {
  const length = sets[0]!.length / samples;
  const out = new Float32Array(sets.length * count * length);
  for (const [row, images] of sets.entries()) {
    const shown = selectRows(images, { indices: spreadIndices(count, samples), width: length });
    out.set(shown, row * count * length);
  }
  return out;
}

/** Points of the share of values that lie at or below each of them. */
export function cumulative(values: Float64Array): { x: number; y: number }[] {
  const sorted = values.toSorted();
  return Array.from(sorted, (x, i) => ({ x, y: (i + 1) / sorted.length }));
}
