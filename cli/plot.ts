/**
 * Plots of a run as SVG: the one file that knows the plotting library.
 *
 * @module
 */

import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { RunRecord } from "./run_log.ts";

/** Options of {@linkcode plotLoss}. */
export interface PlotLossOptions {
  /** Heading of the picture; none when left out. */
  readonly title?: string;
  /** Logarithmic axis of steps, which shows the first steps of a long run. */
  readonly logStep?: boolean;
}

type Panel = Extract<TopLevelSpec, { vconcat: unknown }>["vconcat"][number];

const WIDTH = 640;
const LOSS_COLOUR = "#4c78a8";
const DISTANCE_COLOUR = "#e45756";

/**
 * Draws the loss over the steps of a run, raw in pale and as a running mean in full, and gives the
 * SVG. Where records have a `frechet` value, a second panel below shows that distance over the same
 * steps.
 *
 * @throws {RangeError} when no record has a finite `loss`.
 */
export async function plotLoss(
  records: readonly RunRecord[],
  options: PlotLossOptions = {},
): Promise<string> {
  const { title, logStep = false } = options;
  // A logarithmic axis has no place for step 0.
  const shown = logStep ? records.filter(({ step }) => step > 0) : records;
  const losses = shown.filter(({ loss }) => Number.isFinite(loss));
  const distances = shown.filter(({ frechet }) => Number.isFinite(frechet));
  if (losses.length === 0) {
    throw new RangeError("Cannot plot the loss: no record has one, expected at least one");
  }
  const steps = [...losses, ...distances].map(({ step }) => step);
  const x = stepAxis(steps, logStep);
  const panels = [lossPanel(losses, x)];
  if (distances.length > 0) panels.push(distancePanel(distances, x));
  const spec: TopLevelSpec = {
    ...(title === undefined ? {} : { title }),
    background: "white",
    padding: 12,
    vconcat: panels,
    config: { axis: { titleFontSize: 12, labelFontSize: 11 }, font: "sans-serif" },
  };
  return await drawSvg(spec);
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
    background: "white",
    padding: 12,
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
  const coloured = shown.some(({ className }) => className !== "");
  return await drawSvg({
    background: "white",
    padding: 12,
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
          scale: { scheme: "tableau20" },
        }
        : { value: LOSS_COLOUR },
    },
  });
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

async function drawSvg(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function stepAxis(steps: readonly number[], logStep: boolean) {
  return {
    field: "step",
    type: "quantitative" as const,
    title: "optimizer steps",
    axis: { format: ",d", tickMinStep: 1 },
    scale: {
      type: logStep ? "log" as const : "linear" as const,
      domain: [
        logStep ? steps.reduce((least, step) => Math.min(least, step)) : 0,
        steps.reduce((most, step) => Math.max(most, step)),
      ],
      nice: false,
    },
  };
}

function lossPanel(losses: readonly RunRecord[], x: ReturnType<typeof stepAxis>): Panel {
  return {
    width: WIDTH,
    height: 280,
    title: {
      text: "pale: every record · full: running mean",
      anchor: "end",
      fontSize: 11,
      fontWeight: "normal",
    },
    data: { values: smoothed(losses) },
    layer: [
      {
        mark: { type: "line", color: LOSS_COLOUR, opacity: 0.3, strokeWidth: 1 },
        encoding: { x, y: lossAxis("loss") },
      },
      {
        mark: { type: "line", color: LOSS_COLOUR, strokeWidth: 2, point: losses.length === 1 },
        encoding: { x, y: lossAxis("smoothed") },
      },
    ],
  };
}

function lossAxis(field: string) {
  return {
    field,
    type: "quantitative" as const,
    title: "training loss (mean squared error)",
    scale: { zero: false },
  };
}

function distancePanel(distances: readonly RunRecord[], x: ReturnType<typeof stepAxis>): Panel {
  return {
    width: WIDTH,
    height: 160,
    data: { values: [...distances] },
    mark: { type: "line", color: DISTANCE_COLOUR, point: { color: DISTANCE_COLOUR } },
    encoding: {
      x,
      y: {
        field: "frechet",
        type: "quantitative",
        title: ["Fréchet distance", "(squared encoder units)"],
        scale: { zero: true },
      },
    },
  };
}

/**
 * Adds a running mean over a twentieth of the records. The window is as wide on either side, so it
 * narrows at both ends: one that is cut off there would bend the curve where the loss falls
 * fastest.
 */
function smoothed(losses: readonly RunRecord[]): RunRecord[] {
  const widest = Math.min(100, Math.ceil(losses.length / 40));
  const sums = [0];
  for (const { loss } of losses) sums.push(sums.at(-1)! + Number(loss));
  return losses.map((record, index) => {
    const side = Math.min(widest, index, losses.length - 1 - index);
    const sum = sums[index + side + 1]! - sums[index - side]!;
    return { ...record, smoothed: sum / (2 * side + 1) };
  });
}
