/**
 * Plots of a run as SVG: the one file that knows the plotting library.
 *
 * @module
 */

import { parse, scheme, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { RunRecord } from "./run_log.ts";

/** Options of {@linkcode plotLoss}. */
export interface PlotLossOptions {
  /** What the loss is where there is no alignment loss, for the title of the axis. */
  readonly denoising: string;
}

/** Options of {@linkcode plotEvaluation}. */
export interface PlotEvaluationOptions {
  /** Images of a measurement at most, for the title of the axis; not said when left out. */
  readonly images?: number;
  /** Steps that go once through the data, to name epochs below steps; not named when left out. */
  readonly stepsPerEpoch?: number | undefined;
}

type Panel = Extract<TopLevelSpec, { vconcat: unknown }>["vconcat"][number];

const WIDTH = 640;
/** Colour of the loss, and of what has one colour. */
export const LOSS_COLOUR = "#4c78a8";
const LEVEL_COLOUR = "#666666";
/** A note over the right end of a panel. */
export const PANEL_NOTE = { anchor: "end", fontSize: 11, fontWeight: "normal" } as const;
/** Fonts of pictures with panels. */
export const FONTS = {
  axis: { titleFontSize: 12, labelFontSize: 11 },
  font: "sans-serif",
} as const;
/** Lines in place of dots, solid where the curves have pale bands, and names in full. */
const LEGEND = {
  symbolType: "stroke",
  symbolSize: 300,
  symbolOpacity: 1,
  symbolStrokeWidth: 2,
  labelLimit: 260,
} as const;
/** Colours of the first, second, … curve of {@linkcode plotCurves}: Tableau's ten. */
const CURVE_COLOURS: readonly string[] = scheme("tableau10");
/** Training steps that an axis names one by one, at most. */
const MOST_NAMED = 10;
/** Dashes of the first, second, … style of {@linkcode plotCurves}. */
const DASHES: readonly number[][] = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]];

/**
 * Draws the loss over the steps of a run, raw in pale and as a running mean in full, and below it the
 * alignment loss where records have one, and gives the SVG.
 *
 * @throws {RangeError} when no record has a finite `loss`.
 */
export async function plotLoss(
  records: readonly RunRecord[],
  { denoising }: PlotLossOptions,
): Promise<string> {
  const losses = records.filter(({ loss }) => Number.isFinite(loss));
  if (losses.length === 0) {
    throw new RangeError("Cannot plot the loss: no record has one, expected at least one");
  }
  const aligned = losses.filter(({ alignmentLoss }) => Number.isFinite(alignmentLoss));
  const x = stepAxis(losses.map(({ step }) => step));
  const total = aligned.length > 0
    ? "training loss (denoising + weighted alignment)"
    : `training loss (${denoising})`;
  const spec: TopLevelSpec = {
    vconcat: [
      lossPanel(losses, { x, field: "loss", title: total }),
      ...(aligned.length > 0
        ? [lossPanel(aligned, { x, field: "alignmentLoss", title: "alignment loss (−cosine)" })]
        : []),
    ],
    config: FONTS,
  };
  return await drawSvg(spec);
}

/**
 * Draws the Fréchet distance of samples over the steps of a run, from the records that have a
 * `frechet` value, and gives the SVG. A line shows the last `frechetHeldOut`: what images that
 * training never saw have, as near as samples need to come.
 *
 * @throws {RangeError} when no record has a finite `frechet`.
 */
export async function plotEvaluation(
  records: readonly RunRecord[],
  { images, stepsPerEpoch }: PlotEvaluationOptions = {},
): Promise<string> {
  const measured = records.filter(({ frechet }) => Number.isFinite(frechet));
  const heldOut = measured.at(-1)?.["frechetHeldOut"];
  return await plotCurves([{
    trainingSteps: { perEpoch: stepsPerEpoch },
    yTitle: [
      "Fréchet distance to the",
      "training images (encoder space)",
      ...(images === undefined ? [] : [`of up to ${images} images`]),
    ],
    curves: [{
      name: "samples",
      points: measured.map(({ step, frechet }) => ({ x: step, y: Number(frechet) })),
    }],
    levels: typeof heldOut === "number" ? [{ name: "held-out images", y: heldOut }] : [],
  }]);
}

/**
 * Draws how much of the variance of a bank's snippets their first directions hold, and gives the SVG:
 * `shares` of each direction, largest first.
 *
 * @throws {RangeError} when there are no shares.
 */
export async function plotEnergy(shares: readonly number[]): Promise<string> {
  if (shares.length === 0) {
    throw new RangeError("Cannot plot the energy: there are no directions, expected at least one");
  }
  let sum = 0;
  const values = shares.map((share, index) => ({ directions: index + 1, kept: sum += share }));
  return await drawSvg({
    width: WIDTH,
    height: 280,
    data: { values },
    mark: { type: "line", color: LOSS_COLOUR, strokeWidth: 2, point: shares.length < 40 },
    encoding: {
      x: {
        field: "directions",
        type: "quantitative",
        title: "rank: principal directions kept",
        axis: { format: ",d", tickMinStep: 1 },
        scale: { domain: [0, shares.length], nice: false },
      },
      y: {
        field: "kept",
        type: "quantitative",
        title: "share of the variance kept",
        axis: { format: "%" },
        scale: { domain: [0, 1] },
      },
    },
  });
}

/** One point of {@linkcode plotMap}. */
export interface PlotPoint {
  /** Horizontal coordinate. */
  readonly x: number;
  /** Vertical coordinate. */
  readonly y: number;
  /** Class, which gives the colour; empty for none. */
  readonly className: string;
}

/** Classes that colours can tell apart. */
const MOST_COLOURS = 20;

/**
 * Draws points on a plane, coloured by class, and gives the SVG. Beyond 20 classes the larger 19 have
 * colours of their own.
 *
 * @throws {RangeError} when there are no points.
 */
export async function plotMap(points: readonly PlotPoint[]): Promise<string> {
  if (points.length === 0) {
    throw new RangeError("Cannot plot a map: there are no points, expected at least one");
  }
  const shown = withFewClasses(points);
  const classes = new Set(shown.map(({ className }) => className));
  const coloured = classes.size > 1 || !classes.has("");
  return await drawSvg({
    width: WIDTH,
    height: WIDTH,
    data: { values: shown.map(({ x, y, className }) => ({ x, y, className })) },
    mark: { type: "circle", size: 16, opacity: 0.7 },
    encoding: {
      x: { field: "x", type: "quantitative", title: "first principal component" },
      y: { field: "y", type: "quantitative", title: "second principal component" },
      color: coloured
        ? {
          field: "className",
          type: "nominal",
          title: "class",
          scale: { scheme: classes.size > 10 ? "tableau20" : "tableau10" },
        }
        : { value: LOSS_COLOUR },
    },
  });
}

/** A point of a curve, and the interval that it lies in. */
export interface CurvePoint {
  /** Horizontal coordinate. */
  readonly x: number;
  /** Vertical coordinate; a point without a finite one is left out. */
  readonly y: number;
  /** Lower end of the interval; no band where it is left out. */
  readonly low?: number;
  /** Upper end of the interval. */
  readonly high?: number;
}

/** A named line through points. */
export interface Curve {
  /** What the colour stands for. */
  readonly name: string;
  /** What the dashes stand for, where lines of one colour differ. */
  readonly style?: string;
  /** The points, in order. */
  readonly points: readonly CurvePoint[];
}

/** Curves over one pair of axes. */
export interface CurvePanel {
  /** Title of the horizontal axis. Default `optimiser steps`. */
  readonly xTitle?: string;
  /**
   * The horizontal axis is that of training steps, each named where they are few, with epochs below where
   * it is known how many steps make one.
   */
  readonly trainingSteps?: { readonly perEpoch: number | undefined };
  /** Title of the vertical axis; one line each. */
  readonly yTitle: string | readonly string[];
  /** Logarithmic horizontal axis. */
  readonly logX?: boolean;
  /** Values that the horizontal axis names; chosen by the library when left out. */
  readonly xValues?: readonly number[];
  /** Begin the vertical axis at zero. Default `true`. */
  readonly zero?: boolean;
  /** Mark the points; for few of them. Default `true`. */
  readonly marked?: boolean;
  /** The curves. */
  readonly curves: readonly Curve[];
  /** Grey horizontal lines to compare with. */
  readonly levels?: readonly { readonly name: string; readonly y: number }[];
}

/**
 * Draws curves with their intervals as bands, one panel under the other, and gives the SVG.
 *
 * @throws {RangeError} when a panel has no point with finite coordinates.
 */
export async function plotCurves(panels: readonly CurvePanel[]): Promise<string> {
  return await drawSvg({
    vconcat: panels.map(curvePanel),
    resolve: { scale: { color: "independent", strokeDash: "independent" } },
    config: FONTS,
  });
}

function curvePanel(panel: CurvePanel): Panel {
  const { curves, levels = [], logX = false, trainingSteps, zero = true, marked = true } = panel;
  const { xTitle = "optimiser steps" } = panel;
  const values = curves.flatMap(({ name, style = "", points }) =>
    points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))
      .map((point) => ({ ...point, name, style }))
  );
  if (values.length === 0) {
    throw new RangeError("Cannot plot curves: they have no finite point, expected at least one");
  }
  const styles = [...new Set(curves.map(({ style = "" }) => style))];
  const names = [...new Set(curves.map(({ name }) => name))];
  const levelNames = levels.map(({ name }) => name);
  const colours = names.map((_, i) => CURVE_COLOURS[i % CURVE_COLOURS.length]!);
  const steps = trainingSteps && [...new Set(values.map(({ x }) => x))];
  const perEpoch = trainingSteps?.perEpoch;
  const xValues = steps && steps.length <= MOST_NAMED ? steps : panel.xValues;
  const x = {
    field: "x",
    type: "quantitative" as const,
    title: perEpoch === undefined ? xTitle : `${xTitle}, and epochs below`,
    axis: {
      grid: true,
      ...(xValues && { values: [...xValues] }),
      ...(perEpoch !== undefined && {
        labelExpr: `[datum.label, format(datum.value / ${perEpoch}, ".3~r")]`,
      }),
    },
    scale: { type: logX ? "log" as const : "linear" as const, nice: false },
  };
  const y = {
    field: "y",
    type: "quantitative" as const,
    title: typeof panel.yTitle === "string" ? panel.yTitle : [...panel.yTitle],
    scale: { zero },
  };
  const color = {
    field: "name",
    type: "nominal" as const,
    title: null,
    scale: {
      domain: [...names, ...levelNames],
      range: [...colours, ...levels.map(() => LEVEL_COLOUR)],
    },
    legend: names.length + levels.length > 1 ? LEGEND : null,
  };
  const strokeDash = {
    field: "style",
    type: "nominal" as const,
    title: null,
    scale: { domain: styles, range: DASHES.slice(0, styles.length) },
    legend: styles.length > 1 ? { ...LEGEND, symbolStrokeColor: "black" } : null,
  };
  const banded = values.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
  return {
    width: WIDTH,
    height: 280,
    layer: [
      // Named by the legend: a name beside the line would lie across curves.
      {
        data: { values: [...levels] },
        mark: { type: "rule", strokeWidth: 2 },
        encoding: { y, color },
      },
      {
        data: { values: banded },
        mark: { type: "area", opacity: 0.15 },
        encoding: {
          x,
          y: { ...y, field: "low" },
          y2: { field: "high" },
          color,
          detail: strokeDash,
        },
      },
      {
        data: { values },
        mark: { type: "line", strokeWidth: 2 },
        encoding: { x, y, color, strokeDash },
      },
      // Dots of their own: as part of the lines they would take the strokes out of the legend.
      {
        data: { values: marked ? values : [] },
        mark: { type: "circle", size: 36, opacity: 1 },
        encoding: { x, y, color },
      },
    ],
  };
}

function withFewClasses(points: readonly PlotPoint[]): PlotPoint[] {
  const counts = new Map<string, number>();
  for (const { className } of points) counts.set(className, (counts.get(className) ?? 0) + 1);
  if (counts.size <= MOST_COLOURS) return [...points];
  const kept = new Set(
    [...counts].sort(([, a], [, b]) => b - a).slice(0, MOST_COLOURS - 1).map(([name]) => name),
  );
  return points.map((point) =>
    kept.has(point.className) ? point : { ...point, className: "other classes" }
  );
}

/** Draws what a specification of Vega-Lite says, on white with a margin, and gives the SVG. */
export async function drawSvg(spec: TopLevelSpec): Promise<string> {
  const { spec: drawn } = compile({ background: "white", padding: 12, ...spec });
  const view = new View(parse(drawn), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function stepAxis(steps: readonly number[]) {
  return {
    field: "step",
    type: "quantitative" as const,
    title: "optimiser steps",
    axis: { format: ",d", tickMinStep: 1 },
    scale: { domain: [0, steps.reduce((most, step) => Math.max(most, step))], nice: false },
  };
}

function lossPanel(
  losses: readonly RunRecord[],
  { x, field, title }: { x: ReturnType<typeof stepAxis>; field: string; title: string },
): Panel {
  const y = (name: string) => ({
    field: name,
    type: "quantitative" as const,
    title,
    scale: { zero: false },
  });
  return {
    width: WIDTH,
    height: 280,
    title: { text: "pale: every record · full: running mean", ...PANEL_NOTE },
    data: { values: smoothed(losses, field) },
    layer: [
      {
        mark: { type: "line", color: LOSS_COLOUR, opacity: 0.3, strokeWidth: 1 },
        encoding: { x, y: y(field) },
      },
      {
        mark: { type: "line", color: LOSS_COLOUR, strokeWidth: 2, point: losses.length === 1 },
        encoding: { x, y: y("smoothed") },
      },
    ],
  };
}

/**
 * Adds a running mean over a twentieth of the records. The window is as wide on either side, so it
 * narrows at both ends: one that is cut off there would bend the curve where the loss falls
 * fastest.
 */
function smoothed(losses: readonly RunRecord[], field: string): RunRecord[] {
  const widest = Math.min(100, Math.ceil(losses.length / 40));
  const sums = [0];
  for (const record of losses) sums.push(sums.at(-1)! + Number(record[field]));
  return losses.map((record, index) => {
    const side = Math.min(widest, index, losses.length - 1 - index);
    const sum = sums[index + side + 1]! - sums[index - side]!;
    return { ...record, smoothed: sum / (2 * side + 1) };
  });
}
