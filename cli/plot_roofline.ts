/**
 * The plot of measured ops under the ceilings of an adapter.
 *
 * @module
 */

import { drawSvg, FONTS, LOSS_COLOUR, PANEL_NOTE } from "./plot.ts";

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
  const x = logAxis("intensity", {
    title: "operations for each byte that has to be moved",
    domain: [least, most],
  });
  const y = logAxis("gigaflops", { title: "GFLOP/s", domain: [bottom, top] });
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
    config: FONTS,
  });
}

function logAxis(field: string, { title, domain }: { title: string; domain: [number, number] }) {
  return {
    field,
    type: "quantitative" as const,
    title,
    scale: { type: "log" as const, domain, nice: false },
    axis: { format: "~g", grid: false },
  };
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
