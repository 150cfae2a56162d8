/**
 * How many times the cost of one model another one takes to come as near to the data.
 *
 * @module
 */

import { formatAlike } from "./claim.ts";
import { derive, type Estimate, type Interval, intervalOf } from "./statistics.ts";

/** A factor of which it may be known only that it is at least so large. */
export interface Factor {
  /** The least that it can be. */
  readonly least: Interval;
  /** The most that it can be, as a whole and at its ends: the same, or ∞ where nothing bounds it. */
  readonly most: Interval;
}

/**
 * The cost at which the label model has its least distance, over that at which GMem has come as near; 0
 * where it does not. Where GMem is as near at the first of the costs already, it might be so at any lower
 * one, and the factor is a lower bound.
 */
export function factorOf(
  { costs, label, memory, reach }: {
    /** What was tried, rising. */
    readonly costs: readonly number[];
    /** Distances of the label model, one for each cost. */
    readonly label: readonly Estimate[];
    /** Distances of GMem. */
    readonly memory: readonly Estimate[];
    /** The cost at which a curve first comes down to a target; undefined where it does not. */
    readonly reach: (curve: readonly number[], target: number) => number | undefined;
  },
): Factor {
  const count = costs.length;
  /** The factor, where what is reached at the first cost is taken to be reached at `first`. */
  const factor = (first: number) =>
    intervalOf(derive([...label, ...memory], (...values) => {
      const labels = values.slice(0, count), least = Math.min(...labels);
      const reached = reach(values.slice(count), least);
      if (reached === undefined) return 0;
      return costs[labels.indexOf(least)]! / (reached === costs[0] ? first : reached);
    }));
  return { least: factor(costs[0]!), most: factor(0) };
}

/** All that a factor can be, from the lower end of the least to the upper end of the most. */
export function rangeOf({ least, most }: Factor): Interval {
  return { ...least, high: most.high };
}

/** A factor with its interval, `at least 8 [1, at least 8]`: what nothing bounds may be larger. */
export function formatFactor({ least, most }: Factor): string {
  const high = most.high === Infinity ? least.high : most.high;
  const text = formatAlike({ ...least, high });
  const atLeast = (end: number) => end === Infinity ? "at least " : "";
  return `${atLeast(most.value)}${text.value} [${text.low}, ${atLeast(most.high)}${text.high}]`;
}
