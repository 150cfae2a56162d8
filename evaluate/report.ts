/**
 * What an evaluation found, as JSON and as a table.
 *
 * @module
 */

import { counted } from "../kernels/core/counted.ts";
import type { Estimate } from "./bootstrap.ts";
import { COPY_QUANTILES, type CopyFindings } from "./copies.ts";
import type { InceptionScoreResult } from "./inception_score.ts";
import type { ChanceDistance, FeatureComparison } from "./measure.ts";

/** What Inception features tell. */
export interface InceptionReport {
  /** SHA-256 of the network's file. */
  readonly fingerprint: string;
  /** FID, on pooled features. */
  readonly fid: number;
  /** sFID, on spatial features; undefined where network or reference has none. */
  readonly sfid: number | undefined;
  /** Inception score; undefined where the network gives no classes. */
  readonly inceptionScore: InceptionScoreResult | undefined;
  /** Precision on pooled features; undefined where the reference has no images. */
  readonly precision: Estimate | undefined;
  /** Recall, likewise. */
  readonly recall: Estimate | undefined;
  /** What as many images of the reference's kind would have as FID; undefined where it was not measured. */
  readonly chance: ChanceDistance | undefined;
}

/** Quantiles of distances to the nearest training image in one space. */
export interface CopyReport
  extends Pick<CopyFindings, "nearer" | "byChance" | "twins" | "mostByChance"> {
  /** Shares of the quantiles. */
  readonly shares: readonly number[];
  /** Of the samples. */
  readonly samples: readonly number[];
  /** Of training images to the nearest other one that is no twin. */
  readonly training: readonly number[];
}

/** Nearest training images in both spaces. */
export interface CopiesReport {
  /** By pixels, in levels of 256. */
  readonly pixel: CopyReport;
  /** By the encoder. */
  readonly encoder: CopyReport;
  /** What it means, in one line. */
  readonly verdict: string;
}

/** An evaluation: the contents of `evaluation.json`. */
export interface EvaluationReport {
  /** Version of this layout. */
  readonly format: 1;
  /** Where the samples come from. */
  readonly samples: {
    /** Checkpoint or file. */
    readonly source: string;
    /** Number. */
    readonly count: number;
    /** Training steps of the checkpoint. */
    readonly step: number | undefined;
    /** The sampler. */
    readonly sampler: string | undefined;
    /** Its steps; undefined where it chooses them, or where others have drawn the samples. */
    readonly steps: number | undefined;
    /** Evaluations of the network for each (NFE), in the mean to a tenth where dopri5 differs between batches. */
    readonly evaluations: number | undefined;
  };
  /** Where the reference comes from. */
  readonly reference: {
    /** File or part of the data. */
    readonly source: string;
    /** Number of images; undefined where there are none. */
    readonly count: number | undefined;
  };
  /** Seed of everything random. */
  readonly seed: number;
  /** In the space of the bank's encoder. */
  readonly encoder: FeatureComparison & {
    /** Name of the encoder's method. */
    readonly kind: string;
    /** SHA-256 of its weights. */
    readonly fingerprint: string;
    /** What the reference is in this space. */
    readonly source: string;
  };
  /** In the space of Inception; undefined without a network. */
  readonly inception: InceptionReport | undefined;
  /** Nearest training images; undefined where they were not asked for, or not found yet. */
  readonly copies: CopiesReport | undefined;
  /** What a person should know of the numbers. */
  readonly warnings: readonly string[];
}

/** The part of what a search found that is written down. */
export function copyReport(findings: CopyFindings): CopyReport {
  const { samples, training, nearer, byChance, twins, mostByChance } = findings;
  return {
    shares: COPY_QUANTILES,
    samples: samples.quantiles,
    training: training.quantiles,
    nearer,
    byChance,
    twins,
    mostByChance,
  };
}

/** What was measured as lines for people: a Markdown table, and warnings below. */
export function describeMeasures(evaluation: EvaluationReport): string[] {
  const { encoder, inception, warnings } = evaluation;
  const space = `${encoder.kind} (${encoder.dim})`;
  const rows: (readonly [string, string, string, string])[] = [
    ["Fréchet distance", space, ...estimateCells(encoder.frechet)],
  ];
  if (encoder.chance) rows.push(chanceRow(encoder.chance, space));
  if (encoder.precision) rows.push(["precision", space, ...estimateCells(encoder.precision)]);
  if (encoder.recall) rows.push(["recall", space, ...estimateCells(encoder.recall)]);
  if (inception) {
    const { fid, sfid, inceptionScore, precision, recall, chance } = inception;
    rows.push(["FID", "Inception", formatNumber(fid), ""]);
    if (chance) rows.push(chanceRow(chance, "Inception"));
    if (sfid !== undefined) rows.push(["sFID", "Inception", formatNumber(sfid), ""]);
    if (inceptionScore) {
      const { mean, deviation, splits } = inceptionScore;
      const spread = splits > 1 ? `± ${formatNumber(deviation)} over ${splits} splits` : "";
      rows.push(["Inception score", "Inception", formatNumber(mean), spread]);
    }
    if (precision) rows.push(["precision", "Inception", ...estimateCells(precision)]);
    if (recall) rows.push(["recall", "Inception", ...estimateCells(recall)]);
  }
  const lines = [
    ...headingLines(evaluation, samplerOf(evaluation)),
    "",
    ...alignedTable(["measure", "features", "value", "95 % interval"], rows),
  ];
  if (warnings.length > 0) lines.push("", ...warnings.map((warning) => `warning: ${warning}`));
  return lines;
}

/** A search for copies as lines for people: a Markdown table, and what it means below. */
export function describeCopies({ pixel, encoder, verdict }: CopiesReport): string[] {
  const spaces = [["pixels, levels of 256", pixel], ["encoder", encoder]] as const;
  return [
    ...alignedTable(
      ["distance to the nearest training image", ...COPY_QUANTILES.map(percent)],
      spaces.flatMap(([name, { samples, training }]) => [
        [`samples (${name})`, ...samples.map(formatNumber)],
        [`other training images (${name})`, ...training.map(formatNumber)],
      ]),
    ),
    "",
    verdict,
  ];
}

/** What was measured against what, as lines; `how` says how the samples were drawn. */
export function headingLines(
  { samples, reference, encoder }: EvaluationReport,
  how: string,
): string[] {
  const count = reference.count === undefined ? "" : `${reference.count} of `;
  const lines = [
    `samples    ${samples.count} of ${samples.source}${how}`,
    `reference  ${count}${reference.source}`,
  ];
  if (encoder.source !== reference.source) {
    lines.push(`           for ${encoder.kind}: ${encoder.reference} of ${encoder.source}`);
  }
  return lines;
}

/** How the samples were drawn, to stand behind their source; empty where others have drawn them. */
export function samplerOf({ samples: { sampler, evaluations } }: EvaluationReport): string {
  return sampler === undefined
    ? ""
    : `, ${sampler}, ${counted(evaluations!, "network evaluation")} each (NFE)`;
}

function chanceRow(
  { value }: ChanceDistance,
  space: string,
): readonly [string, string, string, string] {
  return ["the same by chance", space, formatNumber(value), ""];
}

/** An estimate as the cells of its value and of its interval, which may be empty. */
export function estimateCells({ value, interval }: Estimate): [string, string] {
  return [formatNumber(value), interval ? interval.map(formatNumber).join(" … ") : ""];
}

/** A number to four digits. */
export function formatNumber(value: number): string {
  return value === 0 ? "0" : value >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

function percent(share: number): string {
  return `${100 * share} %`;
}

/** A Markdown table whose columns are aligned: its lines. */
export function alignedTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [
    line(head),
    `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`,
    ...rows.map(line),
  ];
}
