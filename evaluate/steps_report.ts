/**
 * What evaluations with different numbers of steps found, as JSON, as a table and as a plot.
 *
 * @module
 */

import type { ChanceDistance } from "./measure.ts";
import {
  alignedTable,
  estimateCells,
  type Evaluation,
  formatNumber,
  headingLines,
} from "./report.ts";

/** Evaluations of one model by the steps of its sampler: the contents of `steps.json`. */
export interface StepsEvaluation {
  /** Version of this layout. */
  readonly format: 1;
  /** Name of the sampler. */
  readonly sampler: string;
  /** One for each number of steps, each as `evaluation.json` has it. */
  readonly evaluations: readonly Evaluation[];
}

/** A column of the table: its title, and its cell for an evaluation that has one. */
type Column = readonly [title: string, cell: (evaluation: Evaluation) => string | undefined];

const COLUMNS: readonly Column[] = [
  ["steps", ({ samples }) => samples.steps?.toString()],
  ["NFE", ({ samples }) => samples.evaluations?.toString()],
  ["Fréchet distance", ({ encoder }) => cellOf(encoder.frechet.value)],
  ["95 % interval", ({ encoder }) => estimateCells(encoder.frechet)[1] || undefined],
  ["precision", ({ encoder }) => cellOf(encoder.precision?.value)],
  ["recall", ({ encoder }) => cellOf(encoder.recall?.value)],
  ["FID", ({ inception }) => cellOf(inception?.fid)],
  ["sFID", ({ inception }) => cellOf(inception?.sfid)],
  ["Inception score", ({ inception }) => cellOf(inception?.inceptionScore?.mean)],
  ["precision (Inception)", ({ inception }) => cellOf(inception?.precision?.value)],
  ["recall (Inception)", ({ inception }) => cellOf(inception?.recall?.value)],
];

function cellOf(value: number | undefined): string | undefined {
  return value === undefined ? undefined : formatNumber(value);
}

/** The evaluations as lines for people: a Markdown table with a row for each, and what goes with it. */
export function describeSteps({ sampler, evaluations }: StepsEvaluation): string[] {
  const [{ encoder, inception }] = evaluations as [Evaluation];
  const columns = COLUMNS.filter(([, cell]) =>
    evaluations.some((evaluation) => cell(evaluation) !== undefined)
  );
  const chances = [[encoder.chance, encoder.kind], [inception?.chance, "Inception"]] as const;
  const warnings = new Set(evaluations.flatMap(({ warnings }) => warnings));
  return [
    ...headingLines(evaluations[0]!, `, ${sampler}`),
    `features   ${encoder.kind} (${encoder.dim})`,
    "",
    ...alignedTable(
      columns.map(([title]) => title),
      evaluations.map((evaluation) => columns.map(([, cell]) => cell(evaluation) ?? "")),
    ),
    "",
    ...chances.flatMap(([chance, name]) => chance ? [chanceLine(chance, name)] : []),
    ...(warnings.size > 0 ? [""] : []),
    ...[...warnings].map((warning) => `warning: ${warning}`),
  ];
}

function chanceLine({ value, count }: ChanceDistance, space: string): string {
  return `the same of ${count} reference images to the others (${space}): ${formatNumber(value)}`;
}

/** A distance over the evaluations of the network. */
export interface StepsPanel {
  /** Title of the horizontal axis. */
  readonly xTitle: string;
  /** The distance, in lines. */
  readonly yTitle: readonly string[];
  /** The axis of evaluations is logarithmic. */
  readonly logX: true;
  /** The evaluations that were measured. */
  readonly xValues: readonly number[];
  /** The one curve. */
  readonly curves: readonly {
    /** Name of the sampler. */
    readonly name: string;
    /** Evaluations, distances and their intervals. */
    readonly points: readonly {
      readonly x: number;
      readonly y: number;
      readonly low?: number;
      readonly high?: number;
    }[];
  }[];
  /** What chance gives, where it was measured. */
  readonly levels: readonly { readonly name: string; readonly y: number }[];
}

/** The panels of the plot: the distance in the encoder's space, and FID if there is one. */
export function stepsPanels({ sampler, evaluations }: StepsEvaluation): StepsPanel[] {
  const [{ encoder, inception, samples: { count }, reference }] = evaluations as [Evaluation];
  const xs = evaluations.map(({ samples }) => samples.evaluations!);
  const axis = {
    xTitle: "evaluations of the network for a sample (NFE)",
    logX: true,
    xValues: [...new Set(xs)],
  } as const;
  const panels = [{
    ...axis,
    yTitle: [`Fréchet distance (${encoder.kind})`, `of ${count} samples to ${encoder.source}`],
    curves: [{
      name: sampler,
      points: evaluations.map(({ encoder: { frechet: { value, interval } } }, i) => ({
        x: xs[i]!,
        y: value,
        ...(interval && { low: interval[0], high: interval[1] }),
      })),
    }],
    levels: levelsOf(encoder.chance),
  }];
  if (inception === undefined) return panels;
  return [...panels, {
    ...axis,
    yTitle: [`FID of ${count} samples`, `to ${reference.source}`],
    curves: [{
      name: sampler,
      points: evaluations.map((each, i) => ({ x: xs[i]!, y: each.inception!.fid })),
    }],
    levels: levelsOf(inception.chance),
  }];
}

function levelsOf(chance: ChanceDistance | undefined): StepsPanel["levels"] {
  if (chance === undefined) return [];
  return [{ name: `${chance.count} reference images`, y: chance.value }];
}
