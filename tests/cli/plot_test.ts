import assert from "node:assert/strict";
import { plotCurves, plotEnergy, plotEvaluation, plotLoss, plotMap } from "../../cli/plot.ts";
import { plotRoofline } from "../../cli/plot_roofline.ts";
import type { RunRecord } from "../../cli/run_log.ts";

function falling(count: number): RunRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    step: 10 * index,
    loss: 0.2 + Math.exp(-index / 20) + 0.05 * Math.sin(2.4 * index),
  }));
}

/** Points of each line of the loss panel, in pixels. */
function lines(svg: string): [x: number, y: number][][] {
  return [
    ...svg.matchAll(
      /<path aria-roledescription="line mark" d="([^"]*)"|<path [^>]*d="(M[^"]*L[^"]*)"[^>]*stroke="#4c78a8"/g,
    ),
  ]
    .map((match) => (match[1] ?? match[2])!)
    .map((path) =>
      path.slice(1).split("L").map((point) => point.split(",").map(Number) as [number, number])
    );
}

/** The texts of a picture, each with its place in its panel. */
function textsOf(svg: string): { text: string; bold: boolean; x: number; y: number }[] {
  return [...svg.matchAll(/<text [^>]*translate\(([-\d.]+),([-\d.]+)\)([^>]*)>([^<]+)</g)].map(
    ([, x, y, rest, text]) => ({
      text: text!,
      bold: rest!.includes('font-weight="bold"'),
      x: Number(x),
      y: Number(y),
    }),
  );
}

const LOSS = { denoising: "mean squared error" };

Deno.test("plotLoss() draws the loss raw and smoothed, with titles on the axes", async () => {
  const svg = await plotLoss(falling(200), LOSS);
  assert.match(svg, /^<svg /);
  assert.match(svg, />optimiser steps</);
  assert.match(svg, />training loss \(mean squared error\)</);
  const other = await plotLoss(falling(20), { denoising: "weighted squared error" });
  assert.match(other, />training loss \(weighted squared error\)</);
  assert(!svg.includes("Fréchet"));
  assert(!svg.includes("NaN"));
  const [raw, mean, ...others] = lines(svg);
  assert.equal(others.length, 0);
  assert.equal(raw?.length, 200);
  assert.equal(mean?.length, 200);
});

Deno.test("plotLoss() draws the alignment loss below, where records have one", async () => {
  const records = falling(60).map((record, i) => ({ ...record, alignmentLoss: -i / 100 }));
  const svg = await plotLoss(records, LOSS);
  assert.match(svg, />training loss \(denoising \+ weighted alignment\)</);
  assert.match(svg, />alignment loss \(−cosine\)</);
  assert.equal(lines(svg).length, 4);
  assert(!svg.includes("NaN"));
});

Deno.test("plotLoss() smooths the noise away without bending the ends", async () => {
  const [raw, mean] = lines(await plotLoss(falling(200), LOSS));
  function roughness(line: [number, number][]): number {
    return line.slice(2).reduce(
      (sum, [, y], index) => sum + Math.abs(y - 2 * line[index + 1]![1] + line[index]![1]),
      0,
    );
  }
  assert(roughness(mean!) < roughness(raw!) / 4);
  assert.deepEqual(mean![0], raw![0]);
  assert.deepEqual(mean!.at(-1), raw!.at(-1));
});

Deno.test("plotEvaluation() draws measured distances and the held-out images' own", async () => {
  const records = falling(50).map((record, index) =>
    index % 10 === 0 ? { ...record, frechet: 30 - index / 2, frechetHeldOut: 4 } : record
  );
  const svg = await plotEvaluation(records);
  assert.match(svg, />Fréchet distance to the</);
  assert.doesNotMatch(svg, />of up to/);
  assert.match(await plotEvaluation(records, { images: 128 }), />of up to 128 images</);
  assert.match(svg, />held-out images</);
  assert.equal(svg.match(/aria-roledescription="circle"/g)?.length, 5);
  assert.match(svg, /'optimiser steps' for a linear scale with values from 0 to 400/);
  const alone = await plotEvaluation([{ step: 3, frechet: 2 }]);
  assert.doesNotMatch(alone, /held-out/);
  await assert.rejects(plotEvaluation(falling(3)), RangeError);
});

Deno.test("plotEvaluation() names epochs below steps", async () => {
  const records = [100, 200, 300].map((step) => ({ step, frechet: 1 / step }));
  const svg = await plotEvaluation(records, { stepsPerEpoch: 40 });
  assert.match(svg, />optimiser steps, and epochs below</);
  for (const [step, epochs] of [["100", "2.5"], ["200", "5"], ["300", "7.5"]]) {
    assert.match(svg, new RegExp(`>${step}</tspan><tspan[^>]*>${epochs}</tspan>`), step);
  }
  assert.doesNotMatch(await plotEvaluation(records), /epochs|<tspan>100/);
});

Deno.test("plotCurves() draws a band where there is an interval, and leaves out what is not finite", async () => {
  const points = [1, 2, 4, 8].map((x) => ({ x, y: 1 / x, low: 0.5 / x, high: 2 / x }));
  const svg = await plotCurves([{
    xTitle: "evaluations",
    yTitle: "distance",
    logX: true,
    xValues: [1, 8],
    curves: [
      { name: "first", style: "solid", points },
      { name: "second", style: "dashed", points: [...points.slice(1), { x: 16, y: Infinity }] },
    ],
    levels: [{ name: "goal", y: 0.1 }],
  }]);
  for (const text of ["evaluations", "distance", "first", "second", "solid", "dashed", "goal"]) {
    assert(svg.includes(`>${text}<`), text);
  }
  // The level is named in the legend, in grey, and not across the curves.
  const legend = svg.slice(svg.indexOf('role="graphics-symbol" aria-roledescription="legend"'));
  assert(legend.includes(">goal<") && legend.includes('stroke="#666666"'));
  assert(!svg.slice(0, svg.length - legend.length).includes(">goal<"));
  assert.equal(svg.match(/aria-roledescription="area mark"/g)?.length, 2);
  assert.equal(svg.match(/aria-roledescription="circle"/g)?.length, 7);
  assert(!svg.includes("NaN"));
  await assert.rejects(
    plotCurves([{ xTitle: "", yTitle: "", curves: [{ name: "", points: [{ x: 1, y: NaN }] }] }]),
    RangeError,
  );
});

Deno.test("plotLoss() leaves out what is not finite", async () => {
  const records: RunRecord[] = [...falling(20), { step: 200, loss: null }, {
    step: 210,
    loss: NaN,
  }];
  assert.equal(lines(await plotLoss(records, LOSS))[0]?.length, 20);
});

Deno.test("plotLoss() draws a single record and refuses none", async () => {
  assert.match(await plotLoss([{ step: 5, loss: 1 }], LOSS), /^<svg /);
  for (const records of [[], [{ step: 1 }], [{ step: 1, loss: null }]]) {
    await assert.rejects(plotLoss(records, LOSS), RangeError);
  }
});

Deno.test("plotLoss() bears a long run", async () => {
  const svg = await plotLoss(falling(20_000), LOSS);
  assert.equal(lines(svg)[0]?.length, 20_000);
});

Deno.test("plotEnergy() draws the running sum of the shares", async () => {
  const svg = await plotEnergy([0.5, 0.3, 0.2]);
  assert.match(svg, /^<svg/);
  assert.match(svg, /share of the variance kept/);
  // One point of the line for each direction.
  assert.match(svg, /aria-label="[^"]*directions kept: 2;[^"]*: 80\.0*%"/);
  await assert.rejects(plotEnergy([]), RangeError);
});

Deno.test("plotMap() colours points by class, and keeps colours for the largest of many", async () => {
  const two = await plotMap([
    { x: 0, y: 1, className: "cat" },
    { x: 1, y: 0, className: "dog" },
  ]);
  assert.match(two, />cat</);
  assert.match(two, />dog</);
  const many = Array.from({ length: 60 }, (_, i) => ({
    x: i,
    y: -i,
    className: `class ${i < 30 ? i % 15 : i}`,
  }));
  const svg = await plotMap(many);
  // The 15 with two points, and four of those with one.
  for (const kept of [14, 33]) assert.match(svg, new RegExp(`>class ${kept}<`));
  assert.doesNotMatch(svg, />class 34</);
  assert.match(svg, />other classes</);
  assert.doesNotMatch(svg, />class 59</);
  const plain = await plotMap([{ x: 0, y: 0, className: "" }]);
  assert.doesNotMatch(plain, />class</);
  await assert.rejects(plotMap([]), RangeError);
});

Deno.test("plotRoofline() draws both ceilings, and numbers the points that its list names", async () => {
  const svg = await plotRoofline([
    { label: "block: qkv linear", kind: "small", intensity: 80, gigaflops: 30 },
    { label: "block: gate", kind: "small", intensity: 1, gigaflops: 0.5 },
    { label: "512³", kind: "products", intensity: 40, gigaflops: 60 },
    { label: "", kind: "large", intensity: 2, gigaflops: 1 },
    { label: "copied", kind: "large", intensity: 0, gigaflops: 0 },
    { label: "moved", kind: "large", intensity: 0, gigaflops: 2 },
    { label: "idle", kind: "large", intensity: 2, gigaflops: 0 },
  ], { gigaflops: 90, gigabytes: 3 });
  assert.match(svg, />multiply-adds: 90\.0 GFLOP\/s</);
  assert.match(svg, />copy kernel: 3\.00 GB\/s</);
  const texts = textsOf(svg);
  // Numbers go from left to right in each kind, and stand in the list and once in the panel.
  for (const [i, name] of ["block: gate", "block: qkv linear", "512³"].entries()) {
    const { y } = texts.find(({ text }) => text === name)!;
    const numbers = texts.filter(({ text, bold }) => bold && text === `${i + 1}`);
    assert.equal(numbers.length, 2, name);
    assert.equal(numbers.filter((each) => each.y === y).length, 1, name);
  }
  for (const kind of ["small", "products"]) assert.ok(texts.some(({ text }) => text === kind));
  // What does no arithmetic has no place on a logarithmic axis.
  assert.doesNotMatch(svg, />(copied|moved|idle)</);
  assert(!svg.includes("NaN"));
});

Deno.test("plotRoofline() keeps numbers off each other and off points, and refuses none", async () => {
  const point = { kind: "small", intensity: 10, gigaflops: 1 };
  const names = Array.from({ length: 12 }, (_, i) => `op ${i}`);
  const svg = await plotRoofline(names.map((label) => ({ ...point, label })), {
    gigaflops: 90,
    gigabytes: 3,
  });
  const texts = textsOf(svg);
  const listed = new Set(texts.filter(({ text }) => text.startsWith("op ")).map(({ y }) => y));
  const numbers = texts.filter(({ text, bold, y }) => bold && /^\d+$/.test(text) && !listed.has(y));
  const dot = /aria-roledescription="circle" transform="translate\(([\d.]+),([\d.]+)\)"/.exec(svg)!;
  assert.equal(numbers.length, 12);
  for (const [i, { x, y }] of numbers.entries()) {
    // Letters stand 3 pixels below their middle.
    const toDot = Math.hypot(x - Number(dot[1]), y - 3 - Number(dot[2]));
    const apart = numbers.slice(0, i).map((other) => Math.hypot(x - other.x, y - other.y));
    assert.ok(Math.min(toDot, ...apart) > 10, `${toDot}, ${apart}`);
  }
  await assert.rejects(plotRoofline([], { gigaflops: 1, gigabytes: 1 }), RangeError);
});
