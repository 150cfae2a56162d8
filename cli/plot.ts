/**
 * Plots of a run as SVG: the one file that knows the plotting library.
 *
 * @module
 */

import { parse, scheme, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { RunRecord } from "./run_log.ts";

/** Options of {@linkcode plotEvaluation}. */
export interface PlotEvaluationOptions {
  /** Images of a measurement at most, for the title of the axis; not said when left out. */
  readonly images?: number;
  /** Steps that go once through the data, to name epochs below steps; not named when left out. */
  readonly stepsPerEpoch?: number;
}

type Panel = Extract<TopLevelSpec, { vconcat: unknown }>["vconcat"][number];

const WIDTH = 640;
const LOSS_COLOUR = "#4c78a8";
const LEVEL_COLOUR = "#666666";
/** A note over the right end of a panel. */
const PANEL_NOTE = { anchor: "end", fontSize: 11, fontWeight: "normal" } as const;
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
/** Dashes of the first, second, … style of {@linkcode plotCurves}. */
const DASHES: readonly number[][] = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]];

/**
 * Draws the loss over the steps of a run, raw in pale and as a running mean in full, and below it the
 * alignment loss where records have one, and gives the SVG.
 *
 * @throws {RangeError} when no record has a finite `loss`.
 */
export async function plotLoss(records: readonly RunRecord[]): Promise<string> {
  const losses = records.filter(({ loss }) => Number.isFinite(loss));
  if (losses.length === 0) {
    throw new RangeError("Cannot plot the loss: no record has one, expected at least one");
  }
  const aligned = losses.filter(({ alignmentLoss }) => Number.isFinite(alignmentLoss));
  const x = stepAxis(losses.map(({ step }) => step));
  const total = aligned.length > 0
    ? "training loss (denoising + weighted alignment)"
    : "training loss (mean squared error)";
  const spec: TopLevelSpec = {
    background: "white",
    padding: 12,
    vconcat: [
      lossPanel(losses, { x, field: "loss", title: total }),
      ...(aligned.length > 0
        ? [lossPanel(aligned, { x, field: "alignmentLoss", title: "alignment loss (−cosine)" })]
        : []),
    ],
    config: { axis: { titleFontSize: 12, labelFontSize: 11 }, font: "sans-serif" },
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
    xTitle: stepsPerEpoch === undefined ? "optimiser steps" : "optimiser steps, and epochs below",
    ...(stepsPerEpoch !== undefined && { xDivisor: stepsPerEpoch }),
    // Of few measurements each step is named.
    ...(measured.length <= 10 && { xValues: measured.map(({ step }) => step) }),
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
  const classes = new Set(shown.map(({ className }) => className));
  const coloured = classes.size > 1 || !classes.has("");
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
  /** Title of the horizontal axis. */
  readonly xTitle: string;
  /** Title of the vertical axis; one line each. */
  readonly yTitle: string | readonly string[];
  /** Logarithmic horizontal axis. */
  readonly logX?: boolean;
  /** Values that the horizontal axis names; chosen by the library when left out. */
  readonly xValues?: readonly number[];
  /** Name a value divided by this below each value of the horizontal axis. */
  readonly xDivisor?: number;
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
    background: "white",
    padding: 12,
    vconcat: panels.map(curvePanel),
    resolve: { scale: { color: "independent", strokeDash: "independent" } },
    config: { axis: { titleFontSize: 12, labelFontSize: 11 }, font: "sans-serif" },
  });
}

function curvePanel(panel: CurvePanel): Panel {
  const { curves, levels = [], logX = false, xValues, xDivisor, zero = true, marked = true } =
    panel;
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
  const x = {
    field: "x",
    type: "quantitative" as const,
    title: panel.xTitle,
    axis: {
      grid: true,
      ...(xValues && { values: [...xValues] }),
      ...(xDivisor !== undefined && {
        labelExpr: `[datum.label, format(datum.value / ${xDivisor}, ".3~r")]`,
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

/** A measured op under the ceilings of an adapter; see {@linkcode plotRoofline}. */
export interface RooflinePoint {
  /** Name in the list of numbered points; points without one are only drawn. */
  readonly label: string;
  /** Kind, which gives the colour, and a part of the list. */
  readonly kind: string;
  /** Floating-point operations for each byte that has to be moved. */
  readonly intensity: number;
  /** Speed in GFLOP/s. */
  readonly gigaflops: number;
}

/** What bounds all points of {@linkcode plotRoofline}. */
export interface Roof {
  /** Most GFLOP/s. */
  readonly gigaflops: number;
  /** Most GB/s. */
  readonly gigabytes: number;
}

/** Width and height of the panel of {@linkcode plotRoofline}, and width of its list, in pixels. */
const ROOFLINE = { width: 700, height: 520, list: 300 } as const;
/** Colours of the first, second, … kind of points. */
const KIND_COLOURS: readonly string[] = [LOSS_COLOUR, "#e45756", "#54a24b", "#b279a2"];

/** A place in a panel, in pixels from its left and its top. */
interface Place {
  readonly x: number;
  readonly y: number;
}

/**
 * Draws measured ops under what an adapter allows, the roofline of Williams, Waterman and Patterson
 * (2009), and gives the SVG: speed over operations for each byte, both logarithmic, below the lesser
 * of the arithmetic and the memory ceiling. Points with a label have a number, from left to right in
 * each kind, and a list beside the panel names them.
 *
 * @throws {RangeError} when no point has an intensity and a speed above 0.
 */
export async function plotRoofline(
  points: readonly RooflinePoint[],
  roof: Roof,
): Promise<string> {
  const shown = points.filter(({ intensity, gigaflops }) => intensity > 0 && gigaflops > 0);
  if (shown.length === 0) {
    throw new RangeError("Cannot plot a roofline: no point has a speed, expected at least one");
  }
  const { width, height, list } = ROOFLINE;
  const ridge = roof.gigaflops / roof.gigabytes;
  const intensities = shown.map(({ intensity }) => intensity);
  const least = Math.min(ridge, ...intensities) / 2;
  const most = Math.max(ridge, ...intensities) * 2;
  const bottom = Math.min(least * roof.gigabytes, ...shown.map(({ gigaflops }) => gigaflops)) / 2;
  const top = roof.gigaflops * 2;
  const placeOf = ({ intensity, gigaflops }: Pick<RooflinePoint, "intensity" | "gigaflops">) => ({
    x: width * Math.log(intensity / least) / Math.log(most / least),
    y: height * Math.log(top / gigaflops) / Math.log(top / bottom),
  });
  const corners = [
    { intensity: least, gigaflops: least * roof.gigabytes },
    { intensity: ridge, gigaflops: roof.gigaflops },
    { intensity: most, gigaflops: roof.gigaflops },
  ];
  const [foot, bend] = corners.map(placeOf) as [Place, Place, Place];
  const x = {
    field: "intensity",
    type: "quantitative" as const,
    title: "operations for each byte that has to be moved",
    scale: { type: "log" as const, domain: [least, most], nice: false },
    axis: { format: "~g", grid: false },
  };
  const y = {
    field: "gigaflops",
    type: "quantitative" as const,
    title: "GFLOP/s",
    scale: { type: "log" as const, domain: [bottom, top], nice: false },
    axis: { format: "~g", grid: false },
  };
  const kinds = [...new Set(shown.map(({ kind }) => kind))];
  const color = {
    field: "kind",
    type: "nominal" as const,
    scale: { domain: kinds, range: kinds.map((_, i) => KIND_COLOURS[i % KIND_COLOURS.length]!) },
    legend: null,
  };
  const numbered = kinds.flatMap((kind) =>
    shown.filter((point) => point.kind === kind && point.label !== "")
      .sort((a, b) => a.intensity - b.intensity || a.gigaflops - b.gigaflops)
  ).map((point, i) => ({ ...point, number: `${i + 1}` }));
  const places = placeNumbers(numbered.map(placeOf), {
    dots: shown.map(placeOf),
    below: (at) => Math.max(bend.y, bend.y + (foot.y - bend.y) * (bend.x - at) / bend.x),
  });
  const numbers = numbered.map((point, i) => {
    const { x, y } = places[i]!, from = placeOf(point);
    return { ...point, atX: x, atY: y, fromX: from.x, fromY: from.y };
  });
  const rows = kinds.flatMap((kind) => [
    { kind, number: "", label: "", heading: kind },
    ...numbered.filter((point) => point.kind === kind).map(({ number, label }) => ({
      kind,
      number,
      label,
      heading: "",
    })),
  ]).map((row, i) => ({ ...row, y: 8 + 17 * i }));
  const pixel = (field: string) => ({ field, type: "quantitative" as const, scale: null });
  const grey = "#555555";
  return await drawSvg({
    background: "white",
    padding: 12,
    hconcat: [
      {
        width,
        height,
        title: { text: "pale: ops that the list leaves out", ...PANEL_NOTE },
        layer: [
          {
            data: { values: corners },
            mark: { type: "line", color: "#888888", strokeWidth: 2 },
            encoding: { x, y },
          },
          {
            data: { values: [{ name: `copy kernel: ${roof.gigabytes.toPrecision(3)} GB/s` }] },
            mark: {
              type: "text",
              dy: -9,
              color: grey,
              angle: Math.atan2(bend.y - foot.y, bend.x) * 180 / Math.PI,
            },
            encoding: {
              x: { value: bend.x / 2 },
              y: { value: (foot.y + bend.y) / 2 },
              text: { field: "name" },
            },
          },
          {
            data: {
              values: [{ name: `multiply-adds: ${roof.gigaflops.toPrecision(3)} GFLOP/s` }],
            },
            mark: { type: "text", align: "right", dx: -6, dy: -9, color: grey },
            encoding: { x: { value: width }, y: { value: bend.y }, text: { field: "name" } },
          },
          {
            data: { values: shown.filter(({ label }) => label === "") },
            mark: { type: "circle", size: 30, opacity: 0.4 },
            encoding: { x, y, color },
          },
          {
            // Beside its dot a number needs no line to it.
            data: {
              values: numbers.filter(({ atX, atY, fromX, fromY }) =>
                Math.hypot(atX - fromX, atY - fromY) > 2 * NUMBER_RADIUS
              ),
            },
            mark: { type: "rule", opacity: 0.5, aria: false },
            encoding: {
              x: pixel("fromX"),
              y: pixel("fromY"),
              x2: { field: "atX" },
              y2: { field: "atY" },
              color,
            },
          },
          {
            data: { values: numbers },
            mark: { type: "circle", size: 50, opacity: 1 },
            encoding: { x, y, color },
          },
          {
            data: { values: numbers },
            mark: {
              type: "circle",
              size: 4 * NUMBER_RADIUS ** 2,
              color: "white",
              opacity: 1,
              aria: false,
            },
            encoding: { x: pixel("atX"), y: pixel("atY") },
          },
          {
            data: { values: numbers },
            mark: { type: "text", fontSize: 11, fontWeight: "bold" },
            encoding: { x: pixel("atX"), y: pixel("atY"), text: { field: "number" }, color },
          },
        ],
      },
      {
        width: list,
        height,
        view: { stroke: null },
        data: { values: rows },
        layer: [
          { field: "heading", align: "left" as const, fontWeight: "bold" as const, at: 0 },
          { field: "number", align: "right" as const, fontWeight: "bold" as const, at: 20 },
          { field: "label", align: "left" as const, fontWeight: "normal" as const, at: 28 },
        ].map(({ field, align, fontWeight, at }) => ({
          mark: { type: "text" as const, align, fontWeight, baseline: "middle" as const },
          encoding: { x: { value: at }, y: pixel("y"), text: { field }, color },
        })),
      },
    ],
    config: { axis: { titleFontSize: 12, labelFontSize: 11 }, font: "sans-serif" },
  });
}

/** Half of what a number takes, and radius of a dot, in pixels. */
const NUMBER_RADIUS = 7, DOT_RADIUS = 4;

/** The nearest place beside each point where its number covers no dot and no other number. */
function placeNumbers(
  points: readonly Place[],
  options: {
    /** What must stay visible. */
    readonly dots: readonly Place[];
    /** The roof's height over an x. */
    readonly below: (x: number) => number;
  },
): Place[] {
  const { dots, below } = options;
  const placed: Place[] = [];
  const isFree = ({ x, y }: Place) =>
    x > NUMBER_RADIUS && x < ROOFLINE.width - NUMBER_RADIUS &&
    y < ROOFLINE.height - NUMBER_RADIUS && y > below(x) + NUMBER_RADIUS &&
    dots.every((dot) => Math.hypot(dot.x - x, dot.y - y) > NUMBER_RADIUS + DOT_RADIUS) &&
    placed.every((other) => Math.hypot(other.x - x, other.y - y) > 2 * NUMBER_RADIUS);
  for (const point of points) {
    placed.push(placesAround(point).find(isFree) ?? point);
  }
  return placed;
}

/** Places on circles around a point, nearest first. */
function placesAround({ x, y }: Place): Place[] {
  const directions = 24;
  return Array.from({ length: 20 * directions }, (_, i) => {
    const radius = NUMBER_RADIUS + DOT_RADIUS + 1 + 5 * Math.floor(i / directions);
    const angle = 2 * Math.PI * (i % directions) / directions;
    return { x: x + radius * Math.cos(angle), y: y + radius * Math.sin(angle) };
  });
}

async function drawSvg(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
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
  const y = (field: string) => ({
    field,
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
