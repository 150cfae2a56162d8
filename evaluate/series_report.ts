/**
 * What evaluations found that differ in one thing, as JSON, as a table and as a plot: in the steps of the
 * sampler, or in those of training.
 *
 * @module
 */

import { dirname } from "node:path";
import type { ChanceDistance } from "./measure.ts";
import {
  alignedTable,
  estimateCells,
  type EvaluationReport,
  formatNumber,
  headingLines,
  samplerOf,
} from "./report.ts";

/** Evaluations of one model: the contents of `steps.json` and `checkpoints.json`. */
export interface EvaluationSeries {
  /** Version of this layout. */
  readonly format: 1;
  /** What they differ in: evaluations of the network for a sample (NFE), or the steps of training. */
  readonly over: "network evaluations" | "training steps";
  /** Name of the sampler. */
  readonly sampler: string;
  /**
   * Training steps that go once through the data; undefined where it is not known how many images they are, or
   * where not all steps had batches of one size.
   */
  readonly stepsPerEpoch: number | undefined;
  /** One for each value, in rising order, each as `evaluation.json` has it. */
  readonly evaluations: readonly EvaluationReport[];
}

/** A column of the table: its title, and its cell for an evaluation that has one. */
type Column = readonly [title: string, cell: (evaluation: EvaluationReport) => string | undefined];

const MEASURES: readonly Column[] = [
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

/** The columns that tell the rows of a table apart. */
function columnsOf({ over, stepsPerEpoch }: EvaluationSeries): readonly Column[] {
  if (over === "network evaluations") {
    return [
      ["steps", ({ samples }) => samples.steps?.toString()],
      ["NFE", ({ samples }) => samples.evaluations?.toString()],
    ];
  }
  const epochOf = ({ samples: { step } }: EvaluationReport) =>
    stepsPerEpoch === undefined ? undefined : formatNumber(step! / stepsPerEpoch);
  return [["training step", ({ samples }) => samples.step!.toString()], ["epoch", epochOf]];
}

/** The evaluations as lines for people: a Markdown table with a row for each, and what goes with it. */
export function describeSeries(series: EvaluationSeries): string[] {
  const { over, evaluations } = series;
  const [first] = evaluations as [EvaluationReport], { encoder, inception, samples } = first;
  const heading = over === "network evaluations"
    ? headingLines(first, `, ${series.sampler}`)
    : headingLines(
      {
        ...first,
        samples: { ...samples, source: `each checkpoint of ${dirname(samples.source)}` },
      },
      samplerOf(first),
    );
  const columns = [...columnsOf(series), ...MEASURES].filter(([, cell]) =>
    evaluations.some((evaluation) => cell(evaluation) !== undefined)
  );
  const chances = [[encoder.chance, encoder.kind], [inception?.chance, "Inception"]] as const;
  const warnings = new Set(evaluations.flatMap(({ warnings }) => warnings));
  return [
    ...heading,
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

function chanceLine({ value }: ChanceDistance, space: string): string {
  return `the same by chance (${space}): ${formatNumber(value)}`;
}

/**
 * The panels of the plot, over what the evaluations differ in: the distance in the encoder's space, and FID
 * if there is one.
 */
export function seriesPanels(series: EvaluationSeries) {
  const { sampler, evaluations } = series;
  const [{ encoder, inception, samples: { count }, reference }] = evaluations as [EvaluationReport];
  const { xs, ...axis } = axisOf(series);
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

/** The horizontal axis, and where on it each evaluation lies. */
function axisOf({ over, stepsPerEpoch, evaluations }: EvaluationSeries) {
  if (over === "network evaluations") {
    const xs = evaluations.map(({ samples }) => samples.evaluations!);
    const xTitle = "evaluations of the network for a sample (NFE)";
    return { xs, xTitle, logX: true, xValues: [...new Set(xs)] };
  }
  const xs = evaluations.map(({ samples }) => samples.step!);
  return { xs, trainingSteps: { perEpoch: stepsPerEpoch }, logX: false };
}

function levelsOf(chance: ChanceDistance | undefined) {
  if (chance === undefined) return [];
  return [{ name: "by chance", y: chance.value }];
}
