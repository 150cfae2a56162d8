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
