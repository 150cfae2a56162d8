/**
 * What a claim is, and what testing it gives.
 *
 * @module
 */

import type { CurvePanel } from "../cli/plot.ts";
import type { Arm } from "./arm.ts";
import type { Laboratory } from "./laboratory.ts";
import type { Interval } from "./statistics.ts";

/** The letters of the claims. */
export const LETTERS = ["a", "b", "c", "d", "e", "f", "g"] as const;

/** The letter of a claim. */
export type Letter = (typeof LETTERS)[number];

/** What the numbers say of a claim. */
export interface Verdict {
  /**
   * `shown`: the whole 95 % interval is on the claim's side of the threshold. `refuted`: the whole
   * interval is on the other side. `undecided`: the threshold lies within the interval.
   */
  readonly outcome: "shown" | "undecided" | "refuted";
  /** By how much, in one sentence. */
  readonly text: string;
}

/** A cell of a table: a text, an exact number, or a measured one. */
export type Cell = string | number | Interval;

/** A table with named columns. */
export interface Table {
  /** What the table shows; nothing for the only one of a page. */
  readonly title?: string;
  /** Heads of the columns. */
  readonly columns: readonly string[];
  /** Rows, each with a cell for every column. */
  readonly rows: readonly (readonly Cell[])[];
}

/** Images in rows. */
export interface Picture {
  /** Part of the file's name. */
  readonly name: string;
  /** What the rows and columns are. */
  readonly caption: string;
  /** Images [N, C, H, W] in [−1, 1], row by row. */
  readonly images: Float32Array;
  /** Images in a row. */
  readonly columns: number;
}

/** What testing a claim gave. */
export interface Findings {
  /** What the numbers say. */
  readonly verdict: Verdict;
  /** The numbers. */
  readonly tables: readonly Table[];
  /** The numbers as curves, one panel under the other. */
  readonly panels: readonly CurvePanel[];
  /** Images. */
  readonly pictures: readonly Picture[];
  /** How it was measured, and what to beware of. */
  readonly notes: readonly string[];
}

/** One claim of the paper, and how it is tested. */
export interface Claim {
  /** Its letter on the command line. */
  readonly letter: Letter;
  /** Name of its files, after the letter. */
  readonly slug: string;
  /** Heading. */
  readonly title: string;
  /** What is claimed, in one sentence. */
  readonly statement: string;
  /** Where the paper says so. */
  readonly source: string;
  /** Settings of a second laboratory, in which the claim is measured as well; undefined where there is none. */
  alsoWith?(laboratory: Laboratory): readonly string[] | undefined;
  /** The samples that the test needs in a laboratory, in the order in which they are best drawn. */
  arms(laboratory: Laboratory): Arm[];
  /** Measures the samples. */
  conclude(laboratory: Laboratory): Promise<Findings>;
}

/** Whether an interval lies above a threshold (`shown`), below it (`refuted`), or around it. */
export function outcomeAbove(interval: Interval, threshold: number): Verdict["outcome"] {
  if (interval.low > threshold) return "shown";
  return interval.high < threshold ? "refuted" : "undecided";
}

/** Whether an interval lies below a threshold (`shown`), above it (`refuted`), or around it. */
export function outcomeBelow(interval: Interval, threshold: number): Verdict["outcome"] {
  if (interval.high < threshold) return "shown";
  return interval.low > threshold ? "refuted" : "undecided";
}

/** `shown` where all parts are; `refuted` where one is. */
export function outcomeOfAll(parts: readonly Verdict["outcome"][]): Verdict["outcome"] {
  if (parts.includes("refuted")) return "refuted";
  return parts.every((part) => part === "shown") ? "shown" : "undecided";
}

/**
 * Cosine between samples and their snippets below which a model does not follow them yet: what is
 * done to its snippets then shows nothing.
 */
const LEAST_FOLLOWING = 0.2;

/** A verdict, taken back where the model does not follow its snippets by {@linkcode LEAST_FOLLOWING}. */
export function ifFollowing(verdict: Verdict, following: Interval): Verdict {
  if (outcomeAbove(following, LEAST_FOLLOWING) === "shown") return verdict;
  return {
    outcome: "undecided",
    text: `${verdict.text}; but samples hardly follow their snippets yet, by a cosine of ` +
      `${formatInterval(following)} (needed: more than ${LEAST_FOLLOWING})`,
  };
}

/** A number as pages write it, with three digits that count. */
export function formatNumber(value: number): string {
  return formatWith(value, Number.isInteger(value) ? 0 : digitsOf(Math.abs(value)));
}

/** A number with its interval, `0.106 [0.101, 0.112]`. */
export function formatInterval(interval: Interval): string {
  const { value, low, high } = formatAlike(interval);
  return `${value} [${low}, ${high}]`;
}

/** As {@linkcode formatInterval}, of shares in percent. */
export function formatPercent({ value, low, high }: Interval): string {
  return formatInterval({ value: 100 * value, low: 100 * low, high: 100 * high });
}

/** The three numbers of an interval, to the same digit. */
export function formatAlike(
  { value, low, high }: Interval,
): { value: string; low: string; high: string } {
  const finite = [value, low, high].filter(Number.isFinite);
  const digits = finite.every(Number.isInteger)
    ? 0
    : digitsOf(Math.max(...finite.map((each) => Math.abs(each))));
  const text = (number: number) => formatWith(number, digits);
  return { value: text(value), low: text(low), high: text(high) };
}

function digitsOf(magnitude: number): number {
  if (magnitude >= 10) return magnitude >= 100 ? 0 : 1;
  return magnitude >= 1 ? 2 : magnitude >= 0.1 ? 3 : 4;
}

function formatWith(value: number, digits: number): string {
  if (Number.isNaN(value)) return "none";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}
